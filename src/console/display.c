/*
 * display.c - the two kinds of display: EGA text memory (BIOS machines) and a
 * linear framebuffer (UEFI machines).
 *
 * Both are device memory, mapped once through MmMapIoSpace and kept for as long
 * as the kernel runs, because a bug check must be able to draw without asking
 * anybody for anything. Mapping RAM would be exposure; this is not RAM. The
 * framebuffer is mapped write-combined and never read: reading it is slow on
 * every machine, so screen.c keeps the text itself.
 *
 * Drawing functions run at HIGH_LEVEL under the print lock, or without it in a
 * bug check: they touch mapped device memory and constants only, and never
 * fault. Colours are grey on black, as the firmware leaves the screen.
 */
#include "screen.h"

#define EGA_PHYSICAL      0xB8000
#define EGA_COLUMNS       80
#define EGA_ROWS          25
#define EGA_GREY_ON_BLACK 0x0700
#define EGA_CRTC_INDEX    0x3D4
#define EGA_CRTC_DATA     0x3D5
#define EGA_CURSOR_HIGH   0x0E
#define EGA_CURSOR_LOW    0x0F
#define FB_TYPE_RGB       1 /* multiboot2 framebuffer types */
#define FB_TYPE_TEXT      2
#define FB_GREY           0xC0

static volatile USHORT *ConpEga;           /* (c) */
static volatile UCHAR *ConpPixels;         /* (c) */
static LOADER_FRAMEBUFFER ConpFramebuffer; /* (c) */
static ULONG ConpForeground;               /* (c) one pixel */

static VOID ConpDrawEga(ULONG Row, ULONG Column, UCHAR Character, BOOLEAN Cursor)
{
    ULONG Place = Row * EGA_COLUMNS + Column;

    ConpEga[Place] = (USHORT)(EGA_GREY_ON_BLACK | Character);
    if (Cursor) {
        __outbyte(EGA_CRTC_INDEX, EGA_CURSOR_HIGH);
        __outbyte(EGA_CRTC_DATA, (UCHAR)(Place >> 8));
        __outbyte(EGA_CRTC_INDEX, EGA_CURSOR_LOW);
        __outbyte(EGA_CRTC_DATA, (UCHAR)Place);
    }
}

BOOLEAN ConpOpenEga(const LOADER_FRAMEBUFFER *Framebuffer, PCON_DISPLAY Display)
{
    PHYSICAL_ADDRESS Base = {.QuadPart = EGA_PHYSICAL};

    if (Framebuffer->Type != FB_TYPE_TEXT || Framebuffer->Width != EGA_COLUMNS || Framebuffer->Height < EGA_ROWS) {
        return FALSE;
    }
    ConpEga = MmMapIoSpace(Base, EGA_COLUMNS * EGA_ROWS * sizeof(USHORT), MmNonCached);
    *Display = (CON_DISPLAY){EGA_ROWS, EGA_COLUMNS, ConpDrawEga};
    return ConpEga != NULL;
}

static VOID ConpPutPixel(volatile UCHAR *Place, ULONG Value)
{
    if (ConpFramebuffer.BitsPerPixel == 32) {
        *(volatile ULONG *)Place = Value;
        return;
    }
    for (ULONG Byte = 0; Byte < ConpFramebuffer.BitsPerPixel / 8u; Byte++) {
        Place[Byte] = (UCHAR)(Value >> 8 * Byte);
    }
}

static VOID ConpDrawPixels(ULONG Row, ULONG Column, UCHAR Character, BOOLEAN Cursor)
{
    ULONG PixelBytes = ConpFramebuffer.BitsPerPixel / 8;
    volatile UCHAR *Line = ConpPixels + (ULONG64)Row * CON_CELL_HEIGHT * ConpFramebuffer.Pitch +
                           (ULONG64)Column * CON_CELL_WIDTH * PixelBytes;

    for (ULONG Y = 0; Y < CON_CELL_HEIGHT; Y++, Line += ConpFramebuffer.Pitch) {
        ULONG Dots = ConpFont[Character - CON_GLYPH_FIRST][Y * CON_GLYPH_ROWS / CON_CELL_HEIGHT] << 2;

        if (Cursor) {
            Dots = ~Dots;
        }
        for (ULONG X = 0; X < CON_CELL_WIDTH; X++) {
            ConpPutPixel(Line + X * PixelBytes, (Dots & 0x80 >> X) != 0 ? ConpForeground : 0);
        }
    }
}

/* One colour channel at its place; channels of fewer than 8 bits take the
 * highest ones. */
static ULONG ConpChannel(UCHAR Position, UCHAR Size)
{
    return Size == 0 ? 0 : (ULONG)(FB_GREY >> (8 - (Size < 8 ? Size : 8))) << Position;
}

BOOLEAN ConpOpenFramebuffer(const LOADER_FRAMEBUFFER *Framebuffer, PCON_DISPLAY Display)
{
    PHYSICAL_ADDRESS Base = {.QuadPart = (LONGLONG)Framebuffer->PhysicalBase};
    ULONG Rows = Framebuffer->Height / CON_CELL_HEIGHT;
    ULONG Columns = Framebuffer->Width / CON_CELL_WIDTH;

    if (Framebuffer->Type != FB_TYPE_RGB || Framebuffer->PhysicalBase == 0 || Framebuffer->BitsPerPixel < 16 ||
        Framebuffer->BitsPerPixel > 32 || Rows == 0 || Columns == 0 ||
        Framebuffer->Pitch < Framebuffer->Width * (Framebuffer->BitsPerPixel / 8u)) {
        return FALSE;
    }
    ConpFramebuffer = *Framebuffer;
    ConpForeground = ConpChannel(Framebuffer->RedPosition, Framebuffer->RedSize) |
                     ConpChannel(Framebuffer->GreenPosition, Framebuffer->GreenSize) |
                     ConpChannel(Framebuffer->BluePosition, Framebuffer->BlueSize);
    ConpPixels = MmMapIoSpace(Base, (SIZE_T)Framebuffer->Pitch * Framebuffer->Height, MmWriteCombined);
    *Display = (CON_DISPLAY){Rows, Columns, ConpDrawPixels};
    return ConpPixels != NULL;
}
