/*
 * seh.c - structured exception handling in ring 3: the kernel's suite, built for a program.
 *
 * Exceptions, filters, termination handlers and what they do to one another follow the same source in both halves (src/rtl/exception.c), so
 * one suite judges both. What a program cannot do (raise IRQL) leaves itself out.
 */
#include "../../kernel/seh.c"
