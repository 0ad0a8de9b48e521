/*
 * protection.c - protections: as services give them (PAGE_...), as software PTEs carry them (MM_...), as hardware bits.
 *
 * The five bits are NT's: three say what is allowed, two modify it: guard, not cached, both together write-combined; both with no access
 * allowed is PAGE_NOACCESS, and guard alone marks a page taken out of a VAD that is committed as a whole. Pure arithmetic but
 * for MiQueryPage, which looks at a PTE: working-set lock.
 *
 * Source: memory protection constants in the Windows documentation.
 */
#include "../misection.h"
#include "../miprocess.h"

#define MI_ACCESS_MASK 7u

static const ULONG MiPageOf[8] = {PAGE_NOACCESS,  PAGE_READONLY,  PAGE_EXECUTE,           PAGE_EXECUTE_READ,
                                  PAGE_READWRITE, PAGE_WRITECOPY, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_WRITECOPY};

ULONG MiMakeProtection(ULONG PageProtection)
{
    ULONG Modifier = PageProtection & (PAGE_GUARD | PAGE_NOCACHE | PAGE_WRITECOMBINE);
    ULONG Base = PageProtection & ~Modifier, Protection = 0;

    while (Protection < RTL_NUMBER_OF(MiPageOf) && MiPageOf[Protection] != Base) {
        Protection++;
    }
    if (Protection == RTL_NUMBER_OF(MiPageOf) || (Base == PAGE_NOACCESS && Modifier != 0)) {
        return MM_INVALID_PROTECTION;
    }
    if (Base == PAGE_NOACCESS) {
        return MM_NOACCESS;
    }
    switch (Modifier) { /* they exclude one another */
    case 0:
        return Protection;
    case PAGE_GUARD:
        return Protection | MM_GUARD_PAGE;
    case PAGE_NOCACHE:
        return Protection | MM_NOCACHE;
    case PAGE_WRITECOMBINE:
        return Protection | MM_GUARD_PAGE | MM_NOCACHE;
    default:
        return MM_INVALID_PROTECTION;
    }
}

ULONG MiPageProtection(ULONG Protection)
{
    static const ULONG Modifier[4] = {0, PAGE_NOCACHE, PAGE_GUARD, PAGE_WRITECOMBINE};

    if ((Protection & MI_ACCESS_MASK) == 0) {
        return PAGE_NOACCESS;
    }
    return MiPageOf[Protection & MI_ACCESS_MASK] | Modifier[(Protection >> 3) & 3];
}

MI_CACHE_TYPE MiProtectionCacheType(ULONG Protection)
{
    switch (Protection & (MM_NOCACHE | MM_GUARD_PAGE)) {
    case MM_NOCACHE:
        return MiUncached;
    case MM_NOCACHE | MM_GUARD_PAGE:
        return MiWriteCombined;
    default:
        return MiWriteBack;
    }
}

ULONG64 MiUserPteBits(ULONG Protection)
{
    ULONG64 Bits = PTE_VALID | PTE_USER | PTE_ACCESSED;

    if ((Protection & MI_ACCESS_MASK) == 0 || MiIsGuardProtection(Protection)) {
        return 0;
    }
    if ((Protection & MI_PROTECT_WRITE) != 0) {
        Bits |= PTE_WRITE | PTE_DIRTY;
    }
    if ((Protection & MI_PROTECT_EXECUTE) == 0) {
        Bits |= PTE_NX;
    }
    return Bits | MiCacheBits(MiProtectionCacheType(Protection));
}

BOOLEAN MiIsUniformVad(PMI_VAD Vad)
{
    return Vad->Type != MiVadMapped || (!Vad->Image && !Vad->ControlArea->Reserve);
}

ULONG MiFirstProtection(PMI_VAD Vad, ULONG64 Vpn)
{
    if (Vad->Image) {
        return MiPartOf(MiSubsectionOfPage(Vad->ControlArea, Vad->FirstPage + Vpn - Vad->StartVpn))->Protection;
    }
    return Vad->Protection;
}

VOID MiQueryPage(PMI_VAD Vad, ULONG64 Vpn, PMI_PAGE_INFO Info)
{
    PMMPTE Pte = MiResidentUserPte(MI_VPN_ADDRESS(Vpn));

    Info->Vad = Vad;
    Info->Pte.Long = Pte == NULL ? 0 : Pte->Long;
    if (Vad->LargePages) {
        Info->Committed = TRUE;
        Info->Protection = MiIsLargeAddress(MI_VPN_ADDRESS(Vpn)) ? MiLargeProtection(MI_VPN_ADDRESS(Vpn))
                                                                 : Vad->Protection; /* it is being filled */
    } else if (Info->Pte.Long == 0) {
        Info->Committed = MiIsUniformVad(Vad) || Vad->Image ? Vad->CommitAll : MiPrototypeOfView(Vad, Vpn)->Long != 0;
        Info->Protection = MiFirstProtection(Vad, Vpn);
    } else if (Vad->Type == MiVadLocked) {
        Info->Committed = TRUE;
        Info->Protection = Vad->Protection;
    } else if (Info->Pte.Hard.Valid && Info->Pte.Hard.Prototype) {
        Info->Committed = TRUE;
        Info->Protection = MiSharedProtection(Info->Pte);
    } else if (Info->Pte.Hard.Valid) {
        Info->Committed = TRUE;
        Info->Protection = (ULONG)MiPfn(MiPteFrame(Info->Pte))->OriginalPte.Soft.Protection;
    } else { /* all software forms have the protection in the same bits */
        Info->Committed = !MiIsDecommitted(Info->Pte);
        Info->Protection = (ULONG)Info->Pte.Soft.Protection;
    }
}
