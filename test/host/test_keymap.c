/*
 * test_keymap.c - what keys type: the table of the US layout, shifts, locks, control characters and sequences.
 *
 * The kernel's own source is compiled here; scan codes go in as the keyboard driver gives them, make and break, and what the console would
 * read comes out. Keys that type nothing, and breaks without a make, are fed too.
 */
#include "console/keymap.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static CON_KEYBOARD Keyboard;

/* Presses a key (code, and flags in the high byte); what it types is compared. */
static void Press(unsigned Key, const char *Expected)
{
    CHAR Text[CON_KEY_TEXT];
    ULONG Count = ConpTranslateKey(&Keyboard, (UCHAR)Key, Key >> 8, Text);

    assert_int_equal(Count, strlen(Expected));
    assert_memory_equal(Text, Expected, Count);
    assert_int_equal(ConpTranslateKey(&Keyboard, (UCHAR)Key, (Key >> 8) | CON_KEY_BREAK, Text), 0);
}

static void Hold(unsigned Key, int Down)
{
    CHAR Text[CON_KEY_TEXT];

    assert_int_equal(ConpTranslateKey(&Keyboard, (UCHAR)Key, (Key >> 8) | (Down ? 0 : CON_KEY_BREAK), Text), 0);
}

static int Reset(void **State)
{
    (void)State;
    memset(&Keyboard, 0, sizeof(Keyboard));
    return 0;
}

static void Plain(void **State)
{
    (void)State;
    Press(0x1E, "a");
    Press(0x02, "1");
    Press(0x39, " ");
    Press(0x1C, "\r");
    Press(0x0E, "\b");
    Press(0x01, "\x1B");
    Press(0x29, "`");
    Press(0x2B, "\\");
    Press(0x35, "/");
    Press(0x3B, ""); /* F1 */
    Press(0x7F, "");
}

static void Shifted(void **State)
{
    (void)State;
    Hold(0x2A, 1);
    Press(0x1E, "A");
    Press(0x02, "!");
    Press(0x28, "\"");
    Hold(0x36, 1);
    Hold(0x2A, 0);
    Press(0x1E, "A"); /* the other one is still down */
    Hold(0x36, 0);
    Press(0x1E, "a");
    Hold(0x22A, 1); /* made up by the keyboard around another key */
    Press(0x1E, "a");
}

static void Locked(void **State)
{
    (void)State;
    Press(0x3A, "");
    Press(0x1E, "A");
    Press(0x02, "1");
    Hold(0x2A, 1);
    Press(0x1E, "a");
    Press(0x02, "!");
    Hold(0x2A, 0);
    Press(0x3A, "");
    Press(0x1E, "a");
    Press(0x47, "\x1B[H"); /* the keypad's 7 */
    Press(0x45, "");
    Press(0x47, "7");
    Press(0x247, "\x1B[H"); /* the grey Home key does not care */
}

static void Controls(void **State)
{
    (void)State;
    Hold(0x21D, 1);
    Press(0x2E, "\x03");
    Press(0x1A, "\x1B");
    Press(0x02, "1");
    Hold(0x21D, 0);
    Hold(0x38, 1);
    Press(0x21, "\x1B"
                "f");
    Hold(0x38, 0);
}

static void Sequences(void **State)
{
    (void)State;
    Press(0x248, "\x1B[A");
    Press(0x250, "\x1B[B");
    Press(0x24D, "\x1B[C");
    Press(0x24B, "\x1B[D");
    Press(0x24F, "\x1B[F");
    Press(0x253, "\x1B[3~");
    Press(0x249, "\x1B[5~");
    Press(0x4A, "-");
    Press(0x4E, "+");
    Press(0x24E, "");
    Press(0x4C, ""); /* 5 without Num Lock */
    Press(0x235, "/");
    Press(0x21C, "\r");
    Press(0x41D, ""); /* Pause: E1 1D 45 */
    Press(0x445, "");
    Press(0x47, "\x1B[H");
}

int main(void)
{
    const struct CMUnitTest Tests[] = {
        cmocka_unit_test_setup(Plain, Reset),     cmocka_unit_test_setup(Shifted, Reset),
        cmocka_unit_test_setup(Locked, Reset),    cmocka_unit_test_setup(Controls, Reset),
        cmocka_unit_test_setup(Sequences, Reset),
    };

    return cmocka_run_group_tests(Tests, NULL, NULL);
}
