/*
 * screen.h - the console's display: cells of text on EGA memory or on a linear
 * framebuffer.
 */
#pragma once

#include <ntos/loader.h>
#include <ntos/ntos.h>
#include "font.h"

#define CON_COLUMNS_MAX 160
#define CON_ROWS_MAX    64

/* Draws one cell, the cursor's inverted. Called at HIGH_LEVEL with the print
 * lock. */
typedef VOID (*PCON_DRAW)(ULONG Row, ULONG Column, UCHAR Character, BOOLEAN Cursor);

/* What a display looks like; Draw NULL: there is none. */
typedef struct _CON_DISPLAY {
    ULONG Rows;
    ULONG Columns;
    PCON_DRAW Draw;
} CON_DISPLAY, *PCON_DISPLAY;

/* Maps the display that the loader found and keeps it mapped. FALSE: there is
 * none, or it cannot be mapped. */
BOOLEAN ConpOpenEga(const LOADER_FRAMEBUFFER *Framebuffer, PCON_DISPLAY Display);
BOOLEAN ConpOpenFramebuffer(const LOADER_FRAMEBUFFER *Framebuffer, PCON_DISPLAY Display);
