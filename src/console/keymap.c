/*
 * keymap.c - what a key types: US layout, scan codes of set 1.
 *
 * Shift, Ctrl, Alt are states of two keys each, Caps Lock and Num Lock change with each press. Ctrl with a letter or one of @[\]^_ gives the
 * control character; Alt puts an escape before what the key gives. Keys without characters give the sequences that VT100 and xterm send,
 * which is what comes over the serial line from a terminal. Pause and Print Screen give nothing.
 *
 * No state but the caller's, no locks; it is compiled for the host too. Source: IBM PS/2 keyboard scan code tables; ECMA-48, xterm's control sequences.
 */
#include "keymap.h"

#define KEY_CONTROL     0x1D
#define KEY_LEFT_SHIFT  0x2A
#define KEY_RIGHT_SHIFT 0x36
#define KEY_ALT         0x38
#define KEY_CAPS_LOCK   0x3A
#define KEY_NUM_LOCK    0x45
#define KEY_KEYPAD      0x47 /* 7 8 9 - 4 5 6 + 1 2 3 0 . */
#define KEY_KEYPAD_END  0x53
#define KEY_SLASH       0x35
#define KEY_ENTER       0x1C

/* By scan code; 0: no character. */
static const CHAR ConpPlain[] = "\0\x1B"
                                "1234567890-=\b\tqwertyuiop[]\r\0"
                                "asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const CHAR ConpShifted[] = "\0\x1B"
                                  "!@#$%^&*()_+\b\tQWERTYUIOP{}\r\0"
                                  "ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";
C_ASSERT(sizeof(ConpPlain) == 0x3A + 1 && sizeof(ConpShifted) == sizeof(ConpPlain));

static const CHAR ConpKeypad[] = "789-456+1230.";
C_ASSERT(sizeof(ConpKeypad) - 1 == KEY_KEYPAD_END - KEY_KEYPAD + 1);

/* The same keys without Num Lock, and the grey ones beside them: the sequence after ESC [; a blank: none. */
static const CHAR ConpMoves[][3] = {"H", "A", "5~", "-", "D", " ", "C", "+", "F", "B", "6~", "2~", "3~"};
C_ASSERT(RTL_NUMBER_OF(ConpMoves) == KEY_KEYPAD_END - KEY_KEYPAD + 1);

/* Keys that only change the state. FALSE: the key is none of them. */
static BOOLEAN ConpShiftKey(PCON_KEYBOARD Keyboard, UCHAR Code, ULONG Flags)
{
    BOOLEAN Down = (Flags & CON_KEY_BREAK) == 0, Right = (Flags & CON_KEY_E0) != 0;

    switch (Code) {
    case KEY_LEFT_SHIFT:
    case KEY_RIGHT_SHIFT:
        if (!Right) { /* with E0 they surround other keys, made up by the keyboard */
            *(Code == KEY_LEFT_SHIFT ? &Keyboard->LeftShift : &Keyboard->RightShift) = Down;
        }
        return TRUE;
    case KEY_CONTROL:
        *(Right ? &Keyboard->RightControl : &Keyboard->LeftControl) = Down;
        return TRUE;
    case KEY_ALT:
        *(Right ? &Keyboard->RightAlt : &Keyboard->LeftAlt) = Down;
        return TRUE;
    case KEY_CAPS_LOCK:
        Keyboard->CapsLock ^= Down;
        return TRUE;
    case KEY_NUM_LOCK:
        Keyboard->NumLock ^= Down;
        return TRUE;
    default:
        return FALSE;
    }
}

static CHAR ConpCharacter(const CON_KEYBOARD *Keyboard, UCHAR Code, ULONG Flags)
{
    BOOLEAN Shift = Keyboard->LeftShift || Keyboard->RightShift;
    CHAR Plain;

    if ((Flags & CON_KEY_E0) != 0 && Code != KEY_ENTER && Code != KEY_SLASH) {
        return 0;
    }
    if (Code >= KEY_KEYPAD && Code <= KEY_KEYPAD_END) {
        CHAR Digit = ConpKeypad[Code - KEY_KEYPAD];

        return Keyboard->NumLock || ConpMoves[Code - KEY_KEYPAD][0] == Digit ? Digit
                                                                             : 0; /* minus and plus do not move */
    }
    if (Code >= sizeof(ConpPlain) - 1) {
        return 0;
    }
    Plain = ConpPlain[Code];
    if (Keyboard->CapsLock && Plain >= 'a' && Plain <= 'z') {
        Shift = !Shift;
    }
    if (Shift && (Flags & CON_KEY_E0) == 0) {
        Plain = ConpShifted[Code];
    }
    if (Keyboard->LeftControl || Keyboard->RightControl) {
        CHAR Upper = Plain >= 'a' && Plain <= 'z' ? (CHAR)(Plain - 'a' + 'A') : Plain;

        return Upper >= '@' && Upper <= '_' ? (CHAR)(Upper - '@') : Plain;
    }
    return Plain;
}

ULONG ConpTranslateKey(PCON_KEYBOARD Keyboard, UCHAR Code, ULONG Flags, CHAR Text[CON_KEY_TEXT])
{
    ULONG Count = 0;
    CHAR Character;

    if ((Flags & CON_KEY_E1) != 0 || ConpShiftKey(Keyboard, Code, Flags) || (Flags & CON_KEY_BREAK) != 0) {
        return 0;
    }
    Character = ConpCharacter(Keyboard, Code, Flags);
    if (Character != 0) {
        if (Keyboard->LeftAlt || Keyboard->RightAlt) {
            Text[Count++] = 0x1B;
        }
        Text[Count++] = Character;
        return Count;
    }
    if (Code < KEY_KEYPAD || Code > KEY_KEYPAD_END || ConpMoves[Code - KEY_KEYPAD][0] < '0') {
        return 0;
    }
    Text[Count++] = 0x1B;
    Text[Count++] = '[';
    for (ULONG Index = 0; Index < 2 && ConpMoves[Code - KEY_KEYPAD][Index] != 0; Index++) {
        Text[Count++] = ConpMoves[Code - KEY_KEYPAD][Index];
    }
    return Count;
}
