/*
 * condev.h - the console device (\Device\Console), as programs see it.
 *
 * Reads give lines (bytes of UTF-8, "\r\n" at their end) unless the open file is in raw mode, where they give what was typed, keys that have no
 * character as VT100 sequences. Writes print. The control codes below are all buffered; none needs a special right but
 * IOCTL_CONSOLE_KERNEL_COMMAND. The implementation is src/console/device.c.
 */
#pragma once

#include <ntos/ntos.h>

#define CONSOLE_DEVICE_TYPE 0x50 /* FILE_DEVICE_CONSOLE of the Windows headers */

#define CONSOLE_CODE(Number, Access) CTL_CODE(CONSOLE_DEVICE_TYPE, 0x800 + (Number), METHOD_BUFFERED, Access)

/* Output: CONSOLE_INFO. */
#define IOCTL_CONSOLE_GET_INFO CONSOLE_CODE(0, FILE_ANY_ACCESS)
/* Input: ULONG, CONSOLE_MODE_*. For this open file only. */
#define IOCTL_CONSOLE_SET_MODE CONSOLE_CODE(1, FILE_READ_ACCESS)
/* Input: HANDLE of a job (JOB_OBJECT_TERMINATE), whose processes Ctrl-C ends from now on; NULL: nobody's. */
#define IOCTL_CONSOLE_SET_FOREGROUND CONSOLE_CODE(2, FILE_READ_ACCESS)
/* Input: HANDLE of an event (EVENT_MODIFY_STATE), set by Ctrl-C, which spares the calling process then; NULL: no more. Of this open file. */
#define IOCTL_CONSOLE_SET_CTRL_EVENT CONSOLE_CODE(3, FILE_READ_ACCESS)
/*
 * Input: CONSOLE_COMMAND_REQUEST and the line, UTF-8, without a terminator. Runs a command of the kernel's console; needs SeDebugPrivilege.
 * STATUS_OBJECT_NAME_NOT_FOUND: there is no such command. STATUS_INVALID_DEVICE_STATE: the kernel's own prompt is open.
 */
#define IOCTL_CONSOLE_KERNEL_COMMAND CONSOLE_CODE(4, FILE_WRITE_ACCESS)

#define CONSOLE_MODE_LINES 0
#define CONSOLE_MODE_RAW   1

typedef struct _CONSOLE_INFO {
    ULONG Rows, Columns; /* of the display; 24 by 80 where there is only the serial line */
    ULONG Mode;          /* of this open file */
    ULONG Screen;        /* 1: there is a display */
} CONSOLE_INFO, *PCONSOLE_INFO;
C_ASSERT(sizeof(CONSOLE_INFO) == 16);

typedef struct _CONSOLE_COMMAND_REQUEST {
    HANDLE Output; /* a file for what the command prints (FILE_WRITE_DATA); NULL: the console */
} CONSOLE_COMMAND_REQUEST, *PCONSOLE_COMMAND_REQUEST;
C_ASSERT(sizeof(CONSOLE_COMMAND_REQUEST) == 8);
