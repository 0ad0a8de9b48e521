/*
 * fuzz_peimage.c - libFuzzer target: any bytes as a boot image. `make fuzz` builds it; run build/host/fuzz_peimage [CORPUS].
 *
 * Does what the loader does with a module: header, layout, relocation, every import, a look-up of each imported name among the
 * image's own exports. The sanitizers are the judges.
 */
#include <stdlib.h>
#include "../../../src/rtl/peimage.c"

#define MAXIMUM_IMAGE (1u << 20) /* larger ones cost time and show nothing new */
#define MAXIMUM_STEPS 100000

int LLVMFuzzerTestOneInput(const uint8_t *Bytes, size_t Size);

int LLVMFuzzerTestOneInput(const uint8_t *Bytes, size_t Size)
{
    PE_VIEW View;
    PE_IMPORT_CURSOR Cursor = {0};
    PE_IMPORT Import;
    PE_EXPORT Export;

    if (PeReadHeader(Bytes, Size, &View.Header) != PeOk || View.Header.SizeOfImage > MAXIMUM_IMAGE) {
        return 0;
    }
    View.Base = malloc(View.Header.SizeOfImage);
    PeLayOut(Bytes, &View.Header, View.Base);
    PeRelocate(&View, 0xFFFFF80012340000ULL);
    for (int Step = 0; Step < MAXIMUM_STEPS && PeNextImport(&View, &Cursor, &Import) == PeOk; Step++) {
        if (Import.Name != 0) {
            PeFindExportByName(&View, Import.Name, &Export);
        } else {
            PeFindExportByOrdinal(&View, Import.Ordinal, &Export);
        }
        Put64(View.Base + Import.SlotRva, 0xFFFFF80000001000ULL);
    }
    free(View.Base);
    return 0;
}
