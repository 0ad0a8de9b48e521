/*
 * gccdrv.h - what gccdrv.sys and those who talk to it agree on.
 */
#pragma once

#define GCCDRV_DEVICE L"\\Device\\GccDrv"
#define GCCDRV_LINK   L"\\DosDevices\\GccDrv"

#define GCCDRV_CODE(Function, Method) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + (Function), Method, FILE_ANY_ACCESS)
#define GCCDRV_BUFFERED               GCCDRV_CODE(1, METHOD_BUFFERED)
#define GCCDRV_IN_DIRECT              GCCDRV_CODE(2, METHOD_IN_DIRECT)
#define GCCDRV_OUT_DIRECT             GCCDRV_CODE(3, METHOD_OUT_DIRECT)
#define GCCDRV_NEITHER                GCCDRV_CODE(4, METHOD_NEITHER)
#define GCCDRV_RUN_WORK               GCCDRV_CODE(5, METHOD_BUFFERED)
#define GCCDRV_RUN_TIMER              GCCDRV_CODE(6, METHOD_BUFFERED)
#define GCCDRV_RUN_MDL                GCCDRV_CODE(7, METHOD_BUFFERED)

/* Answers; all of one size. */
typedef struct _GCCDRV_WORK {
    LONG Runs;
    LONG Irql;
} GCCDRV_WORK;

typedef struct _GCCDRV_SUM {
    LONG TimesHundred;
    LONG Reserved;
} GCCDRV_SUM;

typedef struct _GCCDRV_MDL {
    LONG Mapped;
    LONG Differences;
} GCCDRV_MDL;
