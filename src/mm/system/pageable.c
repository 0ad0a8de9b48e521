/*
 * pageable.c - drivers that let parts of themselves be paged out, and lock them when they must not be.
 *
 * Images are resident as long as they are loaded (docs/limits.md), so locking has nothing to bring in, and unlocking lets nothing go.
 * What these routines owe their callers beyond that they do: a handle names the image that an address lies in, and an address
 * that lies in no image, or a handle that names none, is a bug check.
 *
 * IRQL: <= APC_LEVEL. Locks: none. The caller's image stays loaded.
 *
 * Source: MmLockPagableDataSection and its neighbours in the Windows driver documentation.
 */
#include <ntos/ke.h>
#include <ntos/mm.h>

/* Start of the image an address lies in. */
static PVOID MiImageOf(PVOID Address)
{
    KI_IMAGE Image;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (!KiFindImage((ULONG64)Address, &Image)) {
        KeBugCheckEx(MEMORY_MANAGEMENT, 0x1005, (ULONG_PTR)Address, 0, 0);
    }
    return (PVOID)Image.Base;
}

static VOID MiCheckImageHandle(PVOID Handle)
{
    if (MiImageOf(Handle) != Handle) {
        KeBugCheckEx(MEMORY_MANAGEMENT, 0x1006, (ULONG_PTR)Handle, 0, 0);
    }
}

/* Keeps the section of an image that an address lies in resident; returns the handle for the other two. */
PVOID NTAPI MmLockPagableDataSection(PVOID AddressWithinSection)
{
    return MiImageOf(AddressWithinSection);
}

/* Again, by the handle. */
VOID NTAPI MmLockPagableSectionByHandle(PVOID ImageSectionHandle)
{
    MiCheckImageHandle(ImageSectionHandle);
}

/* Undoes one lock. */
VOID NTAPI MmUnlockPagableImageSection(PVOID ImageSectionHandle)
{
    MiCheckImageHandle(ImageSectionHandle);
}

/* Lets a whole driver be paged out, which nothing does yet; returns the start of its image. */
PVOID NTAPI MmPageEntireDriver(PVOID AddressWithinSection)
{
    return MiImageOf(AddressWithinSection);
}

/* Takes that back. */
VOID NTAPI MmResetDriverPaging(PVOID AddressWithinSection)
{
    MiImageOf(AddressWithinSection);
}
