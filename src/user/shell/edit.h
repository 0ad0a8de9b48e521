/*
 * edit.h - what the line editor and the completion of names share.
 */
#pragma once

#include "shell.h"

typedef struct _SH_EDIT {
    PSTR Line; /* the caller's buffer of Bytes */
    ULONG Bytes, Length, Cursor;
    ULONG Recalled; /* lines back in the history; 0: the line being typed */
    PCSTR Prompt;
} SH_EDIT;

VOID EditInsert(SH_EDIT *Edit, CHAR Character);
VOID EditShowAgain(SH_EDIT *Edit); /* prompt and line, on a new line */
/* Completes the word before the cursor as a file's name, as far as it is unambiguous; shows the names if there is nothing to add. (complete.c) */
VOID EditComplete(SH_EDIT *Edit);
