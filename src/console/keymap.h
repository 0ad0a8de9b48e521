/*
 * keymap.h - from keys to characters: a US keyboard, and VT100's sequences for keys that have none (keymap.c).
 */
#pragma once

#include <ntos/ntos.h>

#define CON_KEY_E0    0x02 /* flags of a key, as KEYBOARD_INPUT_DATA has them */
#define CON_KEY_E1    0x04
#define CON_KEY_BREAK 0x01

#define CON_KEY_TEXT 8 /* bytes a key may give, at most */

/* What is held down or switched on. */
typedef struct _CON_KEYBOARD {
    BOOLEAN LeftShift, RightShift, LeftControl, RightControl, LeftAlt, RightAlt;
    BOOLEAN CapsLock, NumLock;
} CON_KEYBOARD, *PCON_KEYBOARD;

/**
 * ConpTranslateKey - takes in one key that went down or up.
 *
 * @Keyboard  the state, kept from key to key
 * @Code      scan code of set 1, without its break bit
 * @Flags     CON_KEY_*
 * @Text      gets the bytes that were typed by it
 * returns    their number; 0: none
 *
 * IRQL: any.
 */
ULONG ConpTranslateKey(PCON_KEYBOARD Keyboard, UCHAR Code, ULONG Flags, CHAR Text[CON_KEY_TEXT]);
