/*
 * path.c - file names as typed at the console, and as printed there.
 *
 * The console speaks UTF-8, the object manager UTF-16. The current directory is always the root of D:, the disc: a
 * kernel console has no per-process directory and one place is enough. Conversions refuse what is not well-formed
 * UTF-8 (overlong forms, surrogates, beyond U+10FFFF) rather than guess a name.
 *
 * No state, no locks; buffers are the caller's. IRQL: any, except that names live in the caller's memory.
 */
#include "consolep.h"

/* Decodes one character at *Text and moves on; 0xFFFFFFFF when it is malformed. Source: RFC 3629, section 3. */
static ULONG ConpNextCharacter(PCSTR *Text)
{
    static const ULONG Smallest[] = {0, 0x80, 0x800, 0x10000};
    const UCHAR *Next = (const UCHAR *)*Text;
    ULONG Character = *Next++;
    ULONG More = Character < 0x80 ? 0 : Character < 0xC0 ? 4 : Character < 0xE0 ? 1 : Character < 0xF0 ? 2 : 3;

    if (More == 4 || Character >= 0xF8) {
        return MAXULONG;
    }
    if (More != 0) {
        Character &= 0x3FU >> More;
        for (ULONG Index = 0; Index < More; Index++) {
            if ((*Next & 0xC0) != 0x80) {
                return MAXULONG;
            }
            Character = Character << 6 | (*Next++ & 0x3F);
        }
        if (Character < Smallest[More] || Character > 0x10FFFF || (Character >= 0xD800 && Character < 0xE000)) {
            return MAXULONG;
        }
    }
    *Text = (PCSTR)Next;
    return Character;
}

static BOOLEAN ConpAppend(PUNICODE_STRING Name, WCHAR Character)
{
    if (Name->Length + sizeof(WCHAR) > Name->MaximumLength) {
        return FALSE;
    }
    Name->Buffer[Name->Length / sizeof(WCHAR)] = Character;
    Name->Length += sizeof(WCHAR);
    return TRUE;
}

static BOOLEAN ConpAppendUtf8(PUNICODE_STRING Name, PCSTR Text)
{
    while (*Text != 0) {
        ULONG Character = ConpNextCharacter(&Text);

        if (Character == MAXULONG) {
            return FALSE;
        }
        if (Character == '/') {
            Character = '\\';
        }
        if (Character >= 0x10000) {
            if (!ConpAppend(Name, (WCHAR)(0xD800 + ((Character - 0x10000) >> 10)))) {
                return FALSE;
            }
            Character = 0xDC00 + ((Character - 0x10000) & 0x3FF);
        }
        if (!ConpAppend(Name, (WCHAR)Character)) {
            return FALSE;
        }
    }
    return TRUE;
}

static BOOLEAN ConpBeginsWith(PCSTR Text, PCSTR Prefix)
{
    while (*Prefix != 0 && *Text == *Prefix) {
        Text++;
        Prefix++;
    }
    return *Prefix == 0;
}

NTSTATUS ConpNtPath(PCSTR Path, PUNICODE_STRING Name)
{
    PCSTR Prefix = "\\??\\D:\\";

    Name->Length = 0;
    if (ConpBeginsWith(Path, "\\??\\") || ConpBeginsWith(Path, "\\Device\\") || ConpBeginsWith(Path, "\\SystemRoot")) {
        Prefix = "";
    } else if (Path[0] != 0 && Path[1] == ':') {
        Prefix = "\\??\\";
    } else if (Path[0] == '\\' || Path[0] == '/') {
        Prefix = "\\??\\D:";
    }
    return ConpAppendUtf8(Name, Prefix) && ConpAppendUtf8(Name, Path) ? STATUS_SUCCESS : STATUS_OBJECT_NAME_INVALID;
}

VOID ConpToUtf8(const WCHAR *Text, ULONG Characters, PSTR Buffer, ULONG Bytes)
{
    ULONG Used = 0;

    for (ULONG Index = 0; Index < Characters; Index++) {
        ULONG Character = Text[Index];

        if (Character >= 0xD800 && Character < 0xDC00 && Index + 1 < Characters && Text[Index + 1] >= 0xDC00 &&
            Text[Index + 1] < 0xE000) {
            Character = 0x10000 + ((Character - 0xD800) << 10) + (Text[++Index] - 0xDC00);
        } else if (Character >= 0xD800 && Character < 0xE000) {
            Character = '?';
        }
        ULONG More = Character < 0x80 ? 0 : Character < 0x800 ? 1 : Character < 0x10000 ? 2 : 3;

        if (Used + More + 2 > Bytes) {
            break;
        }
        Buffer[Used++] = (CHAR)(More == 0 ? Character : (0xF00U >> More & 0xF0) | Character >> 6 * More);
        while (More-- != 0) {
            Buffer[Used++] = (CHAR)(0x80 | (Character >> 6 * More & 0x3F));
        }
    }
    Buffer[Used] = 0;
}
