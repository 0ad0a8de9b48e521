/*
 * mmhost.h - a machine for the memory manager's pure files: types, one thread, a database in host memory.
 *
 * src/mm/pfndef.h includes it when ORIEL_HOST is defined. The PFN lock is a flag that the arrows' asserts look at; the test supplies
 * what a real machine does with frames and translations.
 */
#pragma once

#include <ntos/ntos.h>
#include <ntos/loader.h>

typedef uint64_t PFN_FRAME;
typedef UCHAR KIRQL;

#ifndef NT_SUCCESS
#define NT_SUCCESS(Status) ((Status) >= 0)
#endif
#define InterlockedIncrement(Target)   __atomic_add_fetch((Target), 1, __ATOMIC_SEQ_CST)
#define InterlockedDecrement(Target)   __atomic_sub_fetch((Target), 1, __ATOMIC_SEQ_CST)
#define InterlockedIncrement64(Target) __atomic_add_fetch((Target), 1, __ATOMIC_SEQ_CST)
#define InterlockedDecrement64(Target) __atomic_sub_fetch((Target), 1, __ATOMIC_SEQ_CST)
#define ExInjectFault(Kind)            FALSE /* frames run out here when the test takes them */
#define MM_PAGE_SIZE                   0x1000ULL
#define MM_LARGE_PAGE                  0x200000ULL

extern struct _MMPFN *HostDatabase;
#define MI_PFN_DATABASE HostDatabase
