/*
 * font.h - the letters of the framebuffer, shared by the kernel's console and the 32-bit loader: plain C, no other header.
 */
#pragma once

#define CON_CELL_WIDTH  8
#define CON_CELL_HEIGHT 16
#define CON_GLYPH_FIRST ' '
#define CON_GLYPHS      95
#define CON_GLYPH_ROWS  8

extern const unsigned char ConpFont[CON_GLYPHS][CON_GLYPH_ROWS];
