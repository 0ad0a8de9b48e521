/*
 * tdll.h - what the test DLLs td... share: the order of their beginnings and ends, told to who asked for it.
 *
 * A program that wants to know lays a TD_LOG at PEB.SubSystemData, which nothing else uses. Each DllMain notes its letter: large for the
 * process, small for threads, behind a '-' as an end.
 */
#pragma once

#include <oriel/program.h>

typedef struct _TD_LOG {
    CHAR Text[64];
    ULONG Length;
    BOOLEAN Threads; /* note those too */
    BOOLEAN Refuse;  /* tdfail says no */
} TD_LOG, *PTD_LOG;

BOOLEAN NTAPI DllMain(PVOID Base, ULONG Reason, PVOID Reserved);

static inline PTD_LOG TdLog(VOID)
{
    return RtlGetCurrentPeb()->SubSystemData;
}

static inline VOID TdNote(CHAR Letter)
{
    PTD_LOG Log = TdLog();

    if (Log->Length < sizeof(Log->Text) - 1) {
        Log->Text[Log->Length++] = Letter;
        Log->Text[Log->Length] = 0;
    }
}

static inline VOID TdNoteReason(CHAR Letter, ULONG Reason)
{
    PTD_LOG Log = TdLog();
    BOOLEAN Thread = Reason == DLL_THREAD_ATTACH || Reason == DLL_THREAD_DETACH;

    if (Log == NULL || (Thread && !Log->Threads)) {
        return;
    }
    if (Reason == DLL_PROCESS_DETACH || Reason == DLL_THREAD_DETACH) {
        TdNote('-');
    }
    TdNote((CHAR)(Thread ? Letter + 'a' - 'A' : Letter));
}
