/*
 * ktapp.h - between the files of the runner.
 */
#pragma once

#include <ntos/ktap.h>

/* "pool:17", NULL: none. FALSE: it is not that. */
BOOLEAN KtapSetFaults(PCSTR Text);
BOOLEAN KtapFaults(VOID);
/* Runs a case under them and judges what stays behind; returns what its line is to say. PASSIVE_LEVEL. */
PCSTR KtapRunFaulted(PKTAP_CONTEXT Ktap, const KTAP_CASE_ENTRY *Case);
VOID KtapShowFaults(VOID); /* how many there were, if they were on */
