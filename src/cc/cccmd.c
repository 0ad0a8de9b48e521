/*
 * cccmd.c - the console command `cc`: what is cached, what is mapped, and the counters.
 *
 * Prints one line a shared cache map with its views in use, then the counters of Cc and of the faults and paging reads
 * below it. The list is copied under the view mutex and printed without it, since the console may be slow.
 *
 * IRQL: PASSIVE_LEVEL.
 */
#include "ccp.h"
#include <ntos/console.h>

/* Lines kept of the list; what is beyond is counted. */
#define CCP_SHOWN_MAPS 24

typedef struct _CCP_SHOWN {
    LONG64 FileSize;
    ULONG Opens, Views;
    PFILE_OBJECT FileObject; /* referenced */
} CCP_SHOWN;

static ULONG CcpCopyMaps(CCP_SHOWN *Shown, PULONG Total)
{
    ULONG Count = 0;

    *Total = 0;
    ExAcquireFastMutex(&CcpViewMutex);
    for (PLIST_ENTRY Link = CcpMaps.Flink; Link != &CcpMaps; Link = Link->Flink) {
        PSHARED_CACHE_MAP Map = CONTAINING_RECORD(Link, SHARED_CACHE_MAP, Link);

        if (Count < CCP_SHOWN_MAPS) {
            ObReferenceObject(Map->FileObject);
            Shown[Count++] = (CCP_SHOWN){Map->FileSize.QuadPart, Map->OpenCount, Map->Views, Map->FileObject};
        }
        ++*Total;
    }
    ExReleaseFastMutex(&CcpViewMutex);
    return Count;
}

static VOID CcpCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    CCP_SHOWN Shown[CCP_SHOWN_MAPS];
    ULONG Total, Count = CcpCopyMaps(Shown, &Total);

    ConPrint("%lu shared cache maps, %llu of %lu views mapped (peak %llu)\n", Total, CcCounters.ViewsNow,
             CcpVacbCount(), CcCounters.ViewsPeak);
    if (Count != 0) {
        ConPrint("        size opens views  file\n");
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        PFILE_OBJECT FileObject = Shown[Index].FileObject;

        ConPrint("%12lld %5lu %5lu  ", Shown[Index].FileSize, Shown[Index].Opens, Shown[Index].Views);
        if (FileObject->FileName.Length != 0) {
            ConPrint("%wZ\n", &FileObject->FileName);
        } else {
            ConPrint("(stream)\n");
        }
        ObDereferenceObject(FileObject);
    }
    if (Total > Count) {
        ConPrint("(%lu more)\n", Total - Count);
    }
    ConPrint("copies    %llu calls, %llu bytes, %llu data maps\n", CcCounters.CopyReads, CcCounters.CopyBytes,
             CcCounters.DataMaps);
    ConPrint("views     %llu hits, %llu misses, %llu evicted, %llu idle, %llu waits\n", CcCounters.ViewHits,
             CcCounters.ViewMisses, CcCounters.ViewEvictions, CcCounters.IdleDrops, CcCounters.VacbWaits);
    ConPrint("faults    %llu soft, %llu zero, %llu spurious, %llu collided, %llu waits for frames\n",
             MmFaultCounters.Soft, MmFaultCounters.DemandZero, MmFaultCounters.Spurious, MmFaultCounters.Collided,
             MmFaultCounters.ShortageWaits);
    ConPrint("page-in   %llu reads, %llu pages, %llu errors; %llu pages taken back from standby\n",
             MmFaultCounters.PageReads, MmFaultCounters.PagesRead, MmFaultCounters.ReadErrors,
             MmFaultCounters.StandbyHits);
    ConPrint("segments  %llu alive, %llu deleted\n", MmFaultCounters.Segments, MmFaultCounters.SegmentsDeleted);
}

CONSOLE_COMMAND(CcpCommandEntry, "cc", "", "cached files, mapped views, fault and page-in counters", CcpCommand);
