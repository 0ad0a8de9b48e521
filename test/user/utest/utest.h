/*
 * utest.h - the cases of utest that have a file of their own.
 */
#pragma once

ULONG SharedPageLives(VOID); /* sharedpage.c */
ULONG SharedPageIsFixed(VOID);
