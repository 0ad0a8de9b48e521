/*
 * fuzz_iso.c - libFuzzer target: any bytes as a disc. `make fuzz` builds it; run build/host/fuzz_iso [CORPUS].
 *
 * The input is laid out as sectors from 16 on (the system area before it holds nothing), so that small inputs reach
 * the descriptors at once. Mounts the disc and walks its whole tree; the sanitizers and the walker's own checks are the judges.
 */
#include "../isowalk.h"

int LLVMFuzzerTestOneInput(const uint8_t *Bytes, size_t Size);

int LLVMFuzzerTestOneInput(const uint8_t *Bytes, size_t Size)
{
    size_t Before = ISO_FIRST_DESCRIPTOR * ISO_SECTOR;
    uint8_t *Image = calloc(1, Before + Size);
    ISOWALK Walk = {0};

    if (Size != 0) {
        memcpy(Image + Before, Bytes, Size);
    }
    IsoWalk(&Walk, Image, Before + Size);
    free(Image);
    return 0;
}
