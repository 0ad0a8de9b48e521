/*
 * directory.c - reading directories through the cache.
 *
 * A directory is a cached stream like any file; its sectors are mapped by CcMapData one at a time while the parser looks
 * at them, so that a directory costs memory only while it is searched. A reader must be ended on every path, also when
 * Cc raises: users call CdEndReading in a __finally.
 *
 * Damage is reported by the parser as IsoCorrupt and becomes STATUS_DISK_CORRUPT_ERROR; a sector that cannot be read raises the
 * drive's status instead. Locks: the VCB is held exclusive throughout, which serialises searches on one volume; reading a page of
 * a directory takes no lock of ours.
 */
#include "cd.h"

VOID CdBeginReading(PCD_READER Reader, PCD_FCB Directory)
{
    RtlZeroMemory(Reader, sizeof(*Reader));
    Reader->Directory = Directory;
}

VOID CdEndReading(PCD_READER Reader)
{
    if (Reader->Bcb != NULL) {
        CcUnpinData(Reader->Bcb);
        Reader->Bcb = NULL;
    }
}

/* ISO_READ_SECTOR: maps the sector at Offset; raises on an I/O error. */
static const uint8_t *CdMapSector(void *Context, uint32_t Offset)
{
    PCD_READER Reader = Context;
    LARGE_INTEGER At = {.QuadPart = Offset};
    PVOID Data;

    if (Reader->Bcb != NULL && Reader->Offset == Offset) {
        return Reader->Data;
    }
    CdEndReading(Reader);
    if (!CcMapData(Reader->Directory->Stream, &At, ISO_SECTOR, MAP_WAIT, &Reader->Bcb, &Data)) {
        Reader->Bcb = NULL;
        return NULL;
    }
    Reader->Offset = Offset;
    Reader->Data = Data;
    return Data;
}

/**
 * CdNextEntry - the next record of the directory that is an entry: associated files are passed over.
 *
 * @Offset  where to begin; gets where to go on
 * returns  as IsoNextRecord
 *
 * The directory's stream must be open (CdOpenStream).  Locks: VCB exclusive.  Raises what Cc raises.
 */
ISO_RESULT CdNextEntry(PCD_READER Reader, PULONG Offset, ISO_RECORD *Record)
{
    PCD_FCB Directory = Reader->Directory;
    ISO_RESULT Result;

    do {
        uint32_t Next = *Offset;

        Result =
            IsoNextRecord(&Directory->Vcb->Iso, CdMapSector, Reader, (uint32_t)Directory->Extent.Bytes, &Next, Record);
        *Offset = Next;
    } while (Result == IsoOk && (Record->Flags & ISO_FLAG_ASSOCIATED) != 0);
    return Result;
}

/* Identifier of the file that an entry names. */
ULONGLONG CdEntryId(PCD_FCB Directory, const ISO_RECORD *Record)
{
    if (Record->Kind == IsoNameSelf) {
        return Directory->FileId;
    }
    if (Record->Kind == IsoNameParent) {
        return Directory->Parent != NULL ? Directory->Parent->FileId : Directory->FileId;
    }
    return (ULONGLONG)Directory->Extent.Sector * ISO_SECTOR + Record->Offset;
}

/**
 * CdLookup - finds a name in a directory.
 *
 * Errors: STATUS_OBJECT_NAME_NOT_FOUND, STATUS_DISK_CORRUPT_ERROR, those of CdOpenStream.  Raises what Cc raises.
 *
 * Locks: VCB exclusive.
 */
NTSTATUS CdLookup(PCD_FCB Directory, PUNICODE_STRING Name, BOOLEAN IgnoreCase, ISO_RECORD *Record)
{
    CD_READER Reader;
    ISO_RESULT Result = IsoOk;
    ULONG Offset = 0;
    NTSTATUS Status = CdOpenStream(Directory);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = STATUS_OBJECT_NAME_NOT_FOUND;
    CdBeginReading(&Reader, Directory);
    __try {
        while ((Result = CdNextEntry(&Reader, &Offset, Record)) == IsoOk) {
            UNICODE_STRING Entry;

            Entry.Buffer = Record->Name;
            Entry.Length = Entry.MaximumLength = (USHORT)(Record->NameLength * sizeof(WCHAR));
            if (Record->Kind == IsoNameOrdinary && RtlEqualUnicodeString(&Entry, Name, IgnoreCase)) {
                Status = STATUS_SUCCESS;
                break;
            }
        }
    } __finally {
        CdEndReading(&Reader);
    }
    return Result == IsoCorrupt ? STATUS_DISK_CORRUPT_ERROR : Status;
}
