/*
 * tls.h - static thread-local storage for one image: the directory, and the bounds of the template that the linker gathers in .tls.
 *
 * Included by one source of an image that has __declspec(thread) variables; a run-time library would bring it along.
 */
#pragma once

#include <oriel/program.h>

typedef struct _TLS_USED {
    PVOID Start, End;
    PULONG Index;
    PVOID Callbacks;
    ULONG ZeroFill, Characteristics;
} TLS_USED;

ULONG _tls_index;
static __attribute__((section(".tls"), used)) ULONG64 TlsStart;
static __attribute__((section(".tls$ZZZ"), used)) ULONG64 TlsEnd;
__attribute__((section(".rdata$T"), used)) const TLS_USED _tls_used = {&TlsStart, &TlsEnd, &_tls_index, NULL, 0, 0};
