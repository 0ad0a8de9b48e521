/*
 * statusname.h - the name of an NTSTATUS (statusname.c).
 */
#pragma once

#include <ntos/ntos.h>

/* "STATUS_SUCCESS"; "status" for one without a name here. IRQL: any. */
PCSTR ConpStatusName(NTSTATUS Status);
