/*
 * screen.c - the loader's few lines on the machine's display.
 *
 * Two forms: EGA text cells, and a linear framebuffer of 32 bits a pixel, where letters are drawn dot by dot in the font
 * that the console uses. Until GRUB's information has been read the VGA text page is assumed; writes to it
 * do no harm where there is none. A framebuffer above 4 GB cannot be reached with 32-bit pointers, and other
 * depths are not worth code here: both leave the screen blank, and COM1 has the sentence.
 */
#include "osloader.h"
#include "../console/font.h"

#define VGA_TEXT         0xB8000u
#define VGA_ATTRIBUTE    0x0700u /* grey on black */
#define DOTS_SET         0x00C0C0C0u
#define FRAMEBUFFER_RGB  1
#define FRAMEBUFFER_TEXT 2
#define GLYPH_DOTS       5 /* of the cell's eight columns, from the third on */

static volatile uint16_t *Cells = (volatile uint16_t *)VGA_TEXT; /* text form */
static uint8_t *Pixels;                                          /* framebuffer form */
static uint32_t Pitch;
static uint32_t Columns = 80, Rows = 25, Column, Row;

static void DrawText(char Char)
{
    Cells[Row * Columns + Column] = (uint16_t)(VGA_ATTRIBUTE | (uint8_t)Char);
}

static void DrawDots(char Char)
{
    uint32_t Glyph = (uint8_t)Char - (uint32_t)CON_GLYPH_FIRST;

    if (Glyph >= CON_GLYPHS) {
        Glyph = '?' - CON_GLYPH_FIRST;
    }
    for (uint32_t Y = 0; Y < CON_CELL_HEIGHT; Y++) {
        uint32_t Dots = (uint32_t)ConpFont[Glyph][Y * CON_GLYPH_ROWS / CON_CELL_HEIGHT] << 2;
        volatile uint32_t *Line = (volatile uint32_t *)(Pixels + (Row * CON_CELL_HEIGHT + Y) * Pitch);

        for (uint32_t X = 0; X < CON_CELL_WIDTH; X++) {
            Line[Column * CON_CELL_WIDTH + X] = (Dots >> (CON_CELL_WIDTH - 1 - X) & 1) != 0 ? DOTS_SET : 0;
        }
    }
}

static void Draw(char Char)
{
    if (Pixels != 0) {
        DrawDots(Char);
    } else if (Cells != 0) {
        DrawText(Char);
    }
}

static void ClearLine(void)
{
    for (Column = 0; Column < Columns; Column++) {
        Draw(' ');
    }
    Column = 0;
}

void OslScreenOpen(const LOADER_FRAMEBUFFER *Framebuffer)
{
    uint64_t Bytes = (uint64_t)Framebuffer->Pitch * Framebuffer->Height;

    if (Framebuffer->PhysicalBase == 0) {
        return;
    }
    Cells = 0;
    if (Framebuffer->PhysicalBase + Bytes > 0xFFFFFFFFULL) {
        return;
    }
    if (Framebuffer->Type == FRAMEBUFFER_TEXT) {
        Cells = (volatile uint16_t *)(uint32_t)Framebuffer->PhysicalBase;
        Columns = Framebuffer->Width;
        Rows = Framebuffer->Height;
    } else if (Framebuffer->Type == FRAMEBUFFER_RGB && Framebuffer->BitsPerPixel == 32 &&
               Framebuffer->Pitch / 4 >= Framebuffer->Width) {
        Pixels = (uint8_t *)(uint32_t)Framebuffer->PhysicalBase;
        Pitch = Framebuffer->Pitch;
        Columns = Framebuffer->Width / CON_CELL_WIDTH;
        Rows = Framebuffer->Height / CON_CELL_HEIGHT;
    }
    if (Columns == 0 || Rows == 0) {
        Cells = 0;
        Pixels = 0;
    }
    for (Row = Rows; Row-- != 0;) {
        ClearLine();
    }
    Row = 0;
}

void OslScreenPut(char Char)
{
    if (Char == '\n' || Column == Columns) {
        Row = Row + 1 < Rows ? Row + 1 : 0; /* wraps: the loader says a few lines only */
        ClearLine();
    }
    if (Char != '\n') {
        Draw(Char);
        Column++;
    }
}
