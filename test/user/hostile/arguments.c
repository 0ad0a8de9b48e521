/*
 * arguments.c - an argument of each kind: right for its service, or wrong in one of the ways that its kind can be wrong.
 *
 * A right argument is what a program that knows the service could give; whether the call succeeds depends on the others too. How many random
 * numbers an argument takes depends on its kind alone. What the program relies on - when waits end, which memory is changed, whose process it
 * is - is made with `Still`, so that it may be wrong but does not change.
 */
#include "hostile.h"

#define PICK(Table) (Table)[Random(RTL_NUMBER_OF(Table))]

typedef struct _SIMPLE_SID {
    UCHAR Revision, Count;
    SID_IDENTIFIER_AUTHORITY Authority;
    ULONG Sub[2];
} SIMPLE_SID;

static SIMPLE_SID World = {SID_REVISION, 1, {SECURITY_WORLD_SID_AUTHORITY}, {SECURITY_WORLD_RID}},
                  System = {SID_REVISION, 1, {SECURITY_NT_AUTHORITY}, {SECURITY_LOCAL_SYSTEM_RID}},
                  Admins = {
                      SID_REVISION, 2, {SECURITY_NT_AUTHORITY}, {SECURITY_BUILTIN_DOMAIN_RID, DOMAIN_ALIAS_RID_ADMINS}};

/* ---- Numbers ---- */

static ULONG64 OneOf(const ULONG *Values, ULONG Count, BOOLEAN Hostile)
{
    ULONG Value = Values[Random(Count)], Shift = Random(32);
    ULONG64 Wrong = RandomNumber();

    return !Hostile ? Value : (Shift & 1) != 0 ? Wrong : Value ^ 1ULL << Shift;
}
#define ONE_OF(Table, Hostile) OneOf(Table, RTL_NUMBER_OF(Table), Hostile)

static ULONG64 Limited(ULONG Limit, BOOLEAN Hostile)
{
    ULONG Value = Random(Limit);
    ULONG64 Wrong = RandomNumber();

    return Hostile ? Wrong : Value;
}

/* A class or control code: the drawn one, or one that has succeeded before. */
static ULONG64 Classed(PCALL Call, ULONG64 Drawn, BOOLEAN Hostile)
{
    Call->Used.Class = !Hostile && Call->Known.Length != 0 ? Call->Known.Class : Drawn;
    return Call->Used.Class;
}

static ULONG64 Number(PCALL Call, UCHAR Kind, UCHAR Parameter, BOOLEAN Hostile)
{
    static const ULONG Access[] = {MAXIMUM_ALLOWED, MAXIMUM_ALLOWED, GENERIC_READ, GENERIC_ALL,
                                   GENERIC_READ | SYNCHRONIZE};
    static const ULONG FileAccess[] = {SYNCHRONIZE | FILE_READ_DATA, GENERIC_READ | SYNCHRONIZE,
                                       GENERIC_READ | SYNCHRONIZE, SYNCHRONIZE | FILE_READ_ATTRIBUTES,
                                       GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE};
    static const ULONG Allocation[] = {MEM_RESERVE,
                                       MEM_COMMIT,
                                       MEM_COMMIT | MEM_RESERVE,
                                       MEM_COMMIT,
                                       MEM_RESET,
                                       MEM_RESERVE | MEM_TOP_DOWN,
                                       MEM_RESERVE | MEM_WRITE_WATCH,
                                       MEM_RESERVE | MEM_RESERVE_PLACEHOLDER,
                                       MEM_RESET_UNDO};
    static const ULONG Free[] = {MEM_DECOMMIT, MEM_DECOMMIT, MEM_RELEASE, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER};
    static const ULONG Protect[] = {PAGE_READWRITE,         PAGE_READONLY,
                                    PAGE_READWRITE,         PAGE_EXECUTE_READ,
                                    PAGE_NOACCESS,          PAGE_READWRITE | PAGE_GUARD,
                                    PAGE_READONLY,          PAGE_WRITECOPY,
                                    PAGE_EXECUTE_READWRITE, PAGE_READWRITE | PAGE_NOCACHE};
    static const ULONG Section[] = {SEC_COMMIT, SEC_RESERVE, SEC_COMMIT, SEC_COMMIT | SEC_NOCACHE, SEC_IMAGE};
    static const ULONG Options[] = {0, FILE_SYNCHRONOUS_IO_NONALERT, FILE_NON_DIRECTORY_FILE, 0, FILE_SEQUENTIAL_ONLY};
    static const ULONG FsControls[] = {FSCTL_PIPE_PEEK,         FSCTL_PIPE_LISTEN,      FSCTL_PIPE_DISCONNECT,
                                       FSCTL_PIPE_TRANSCEIVE,   FSCTL_PIPE_IMPERSONATE, FSCTL_PIPE_WAIT,
                                       FSCTL_PIPE_ASSIGN_EVENT, FSCTL_PIPE_QUERY_EVENT};
    static const ULONG Controls[] = {0x24000, 0x24050, 0x2404C, 0x70000, 0x70140, 0x2D1400, 0x2D1080, 0x4D014, 0x41018};

    switch (Kind) {
    case KAccess:
        return ONE_OF(Access, Hostile);
    case KFileAccess:
        return ONE_OF(FileAccess, Hostile);
    case KAllocation:
        return ONE_OF(Allocation, Hostile);
    case KFree:
        return ONE_OF(Free, Hostile);
    case KProtect:
        return ONE_OF(Protect, Hostile);
    case KSection:
        return ONE_OF(Section, Hostile);
    case KOptions:
        return ONE_OF(Options, Hostile);
    case KFsControl:
        return Classed(Call, ONE_OF(FsControls, Hostile), Hostile);
    case KControl:
        return Classed(Call, ONE_OF(Controls, Hostile), Hostile);
    case KClass:
        return Classed(Call, Limited(Parameter + 1U, Hostile), Hostile);
    case KBits:
        return Limited(256, Hostile) & (Hostile ? MAXULONG64 : Parameter);
    case KBool:
        return Limited(2, Hostile);
    case KOneTwo:
        return 1 + Limited(2, Hostile);
    case KOne:
        return 1 + Limited(1, Hostile);
    case KFour:
        return 4 + Limited(1, Hostile);
    case KSmall:
        return 1 + Limited(8, Hostile);
    case KZero:
        return Limited(1, Hostile);
    case KStack:
        return Limited(4, FALSE) * 0x10000 + (Hostile ? 1U : 0U);
    case KTimerBytes:
        return sizeof(TIMER_SET_COALESCABLE_TIMER_INFO) + Limited(1, Hostile);
    case KThreadId:
        return Limited(2, Hostile) == 0 ? (ULONG64)Self.UniqueThread : Limited(4, Hostile);
    default:
        return RandomNumber(); /* KAny, KNumber */
    }
}

/* ---- Pointers to a word or two ---- */

static ULONG64 Words(ULONG64 First, ULONG64 Second, BOOLEAN Hostile, BOOLEAN Still)
{
    ULONG64 Contents[2] = {First, Second};

    return PlaceFor(Contents, sizeof(Contents), Hostile, Still);
}

ULONG64 SoonPointer(VOID)
{
    static LARGE_INTEGER Now;

    Now.QuadPart = 0;
    return (ULONG64)&Now;
}

/* When a wait ends: at once, or after the next tick. */
static ULONG64 Soon(BOOLEAN Hostile)
{
    ULONG Way = Random(32);
    ULONG64 Place = Words(Way == 0 ? (ULONG64)-1000 : 0, 0, Hostile, TRUE);

    return Place == 0 ? SoonPointer() : Place;
}

/* The address, the size: of the arena or of a region. The place of the address is remembered, for a service writes there what it made. */
static ULONG64 Base(PCALL Call, UCHAR Kind, BOOLEAN Hostile)
{
    ULONG Way = Random(4), Page = Random(ARENA_BYTES / PAGE_SIZE), Wrong = Random(2);
    ULONG64 Region = (ULONG64)SomeRegion(Kind == KView), Bad = BadPointer(),
            Address = (ULONG64)Arena + (ULONG64)Page * PAGE_SIZE, Place;

    if (Kind == KAnywhere || (Kind == KPlace && Way == 0)) {
        Address = 0;
    } else if (Kind != KPlace && Region != 0) {
        Address = Region;
    }
    if (Hostile && Wrong == 0) {
        Address = Way == 1 ? Address + 8 : Way == 2 ? (ULONG64)Arena : Bad;
    }
    Place = Words(Address, 0, Hostile && Wrong != 0, TRUE);
    Call->BasePlace = Hostile ? NULL : (PULONG64)Place;
    Call->Base = Address;
    return Place;
}

static ULONG64 Extent(BOOLEAN Hostile)
{
    ULONG Pages = Random(17), Way = Random(3);
    ULONG64 Wrong = RandomNumber();

    return Words(Hostile && Way == 0 ? Wrong : (ULONG64)Pages * PAGE_SIZE, 0, Hostile && Way != 0, TRUE);
}

static ULONG64 Client(BOOLEAN Hostile)
{
    ULONG Way = Random(4), Wrong = Random(4);
    CLIENT_ID Id = (Way & 1) != 0 ? Victim : Self;

    if ((Way & 2) != 0) {
        Id.UniqueThread = NULL;
    }
    if (Hostile && Wrong == 0) {
        Id.UniqueProcess = (HANDLE)(ULONG_PTR)0x7FFFFFF0;
    } else if (Hostile && Wrong == 1) {
        Id.UniqueThread = (HANDLE)(ULONG_PTR)3;
    }
    return PlaceFor(&Id, sizeof(Id), Hostile && Wrong > 1, TRUE);
}

static ULONG64 WordPointer(PCALL Call, UCHAR Kind, BOOLEAN Hostile)
{
    static const ULONG64 Offsets[] = {0, 0, 1, 0x1000, 0x10000, 0x20000};
    ULONG64 Offset = PICK(Offsets), Wrong = RandomNumber();
    LARGE_INTEGER Now;

    switch (Kind) {
    case KExtent:
        return Extent(Hostile);
    case KSoon:
        return Soon(Hostile);
    case KClient:
        return Client(Hostile);
    case KNow:
        NtQuerySystemTime(&Now);
        return Words((ULONG64)Now.QuadPart, 0, Hostile, TRUE);
    case KTimeout:
        return Words((ULONG64)-1000, 0, Hostile, FALSE);
    case KEntries:
        return Words(Offset == 0 ? 16 : 128, 0, Hostile, FALSE);
    case KLuid:
        return Words(0x3E7, 0, Hostile, FALSE);
    default: /* KOffset */
        return Words(Hostile && Offset == 1 ? Wrong : Offset == 1 ? 0 : Offset, 0, Hostile && Offset != 1, FALSE);
    }
}

/* ---- Buffers ---- */

static ULONG64 Length(PCALL Call, BOOLEAN Hostile)
{
    static const ULONG Lengths[] = {8,  4, 16, 24,   32,  40,  48,  56,  64,   72,
                                    88, 1, 2,  0x90, 128, 312, 512, 512, 1024, 1024};
    ULONG Drawn = PICK(Lengths);
    ULONG64 Wrong = RandomNumber();

    Call->Used.Length = Hostile ? 0 : Call->Known.Length != 0 ? Call->Known.Length : Drawn;
    return Hostile ? Wrong : Call->Used.Length;
}

/* What somebody could want to set: numbers, a handle, a string. */
static ULONG64 Data(BOOLEAN Hostile)
{
    ULONG64 Contents[128];
    ULONG Way = Random(6), Type = Random(TYPES);
    ULONG64 Name = NamePointer(L"some text", FALSE), Handle = HandleOf(Way == 1   ? TClient
                                                                       : Way == 2 ? TToken
                                                                                  : Type,
                                                                       FALSE);

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Contents); Index++) {
        Contents[Index] = 0;
    }
    for (ULONG Index = 0; Index < 8; Index++) {
        ULONG Number = Random(12);

        Contents[Index] = Number > 7 ? 0 : Number;
    }
    if (Way == 1 || Way == 2) {
        Contents[0] = Handle;
    } else if (Way == 3) {
        Contents[1] = Handle;
    } else if (Way == 4) {
        RtlCopyMemory(Contents, (PVOID)Name, sizeof(UNICODE_STRING));
    }
    return PlaceFor(Contents, sizeof(Contents), Hostile, FALSE);
}

/* ---- Structures ---- */

static ULONG64 Descriptor(BOOLEAN Hostile)
{
    static const ACCESS_MASK Masks[] = {GENERIC_ALL, GENERIC_READ, STANDARD_RIGHTS_ALL | 0xFFFF, 0};
    struct {
        SECURITY_DESCRIPTOR Head;
        ULONG64 Acl[24];
    } *Place = OwnPlace(sizeof(*Place));
    ULONG Way = Random(8), Any = Random(0x10000);
    ACCESS_MASK Mask = PICK(Masks);

    RtlCreateSecurityDescriptor(&Place->Head, SECURITY_DESCRIPTOR_REVISION);
    RtlCreateAcl((PACL)Place->Acl, sizeof(Place->Acl), ACL_REVISION);
    RtlAddAccessAllowedAce((PACL)Place->Acl, ACL_REVISION, Mask, &World);
    RtlAddAccessAllowedAce((PACL)Place->Acl, ACL_REVISION, GENERIC_ALL, &System);
    RtlSetDaclSecurityDescriptor(&Place->Head, TRUE, (PACL)Place->Acl, FALSE);
    RtlSetOwnerSecurityDescriptor(&Place->Head, &System, FALSE);
    RtlSetGroupSecurityDescriptor(&Place->Head, (Way & 1) != 0 ? (PSID)&Admins : &System, FALSE);
    if (!Hostile || Way > 5) {
        return Hostile ? PlaceFor(&Place->Head, sizeof(Place->Head), TRUE, FALSE) : (ULONG64)Place;
    }
    ((PUCHAR)Place)[Any % sizeof(*Place)] ^= (UCHAR)(Any >> 8); /* one byte is wrong */
    return (ULONG64)Place;
}

static ULONG64 Privileges(UCHAR Kind, BOOLEAN Hostile)
{
    static const ULONG Numbers[] = {SE_CHANGE_NOTIFY_PRIVILEGE, SE_DEBUG_PRIVILEGE, SE_BACKUP_PRIVILEGE,
                                    SE_SECURITY_PRIVILEGE};
    struct {
        ULONG Count, Control;
        LUID_AND_ATTRIBUTES List[2];
    } Set = {1, PRIVILEGE_SET_ALL_NECESSARY};
    ULONG Which = PICK(Numbers), Any = (ULONG)RandomNumber();
    TOKEN_PRIVILEGES Token = {1, {{{Which, 0}, SE_PRIVILEGE_ENABLED}}};

    Set.List[0].Luid.LowPart = Which;
    if (Hostile && (Any & 1) != 0) {
        Set.Count = Token.PrivilegeCount = Any;
    }
    return Kind == KPrivileges ? PlaceFor(&Token, sizeof(Token), Hostile, TRUE)
                               : PlaceFor(&Set, sizeof(Set), Hostile, TRUE);
}

static ULONG64 Groups(BOOLEAN Hostile)
{
    struct {
        ULONG Count;
        SID_AND_ATTRIBUTES List[2];
    } Contents = {1, {{&Admins, 0}, {&World, 0}}};
    ULONG Any = (ULONG)RandomNumber();
    ULONG64 Bad = BadPointer();

    if (Hostile && (Any & 3) == 1) {
        Contents.Count = Any;
    } else if (Hostile && (Any & 3) == 2) {
        Contents.List[0].Sid = (PSID)Bad;
    }
    return PlaceFor(&Contents, sizeof(Contents), Hostile && (Any & 3) == 0, FALSE);
}

static ULONG64 User(BOOLEAN Hostile)
{
    SID_AND_ATTRIBUTES Contents = {&System, 0};
    ULONG64 Bad = BadPointer();

    if (Hostile) {
        Contents.Sid = (PSID)Bad;
    }
    return PlaceFor(&Contents, sizeof(Contents), Hostile && (Bad & 1) != 0, FALSE);
}

/* Registers of this thread, as they are; restraint: who gets them. */
static ULONG64 Context(BOOLEAN Hostile)
{
    static const ULONG Flags[] = {CONTEXT_FULL, CONTEXT_CONTROL, CONTEXT_INTEGER, CONTEXT_ALL, CONTEXT_DEBUG_REGISTERS};
    CONTEXT Contents;
    ULONG Chosen = PICK(Flags), At = Random(sizeof(CONTEXT) / 8);
    ULONG64 Any = RandomNumber();

    RtlCaptureContext(&Contents);
    Contents.ContextFlags = Chosen;
    if (Hostile && (Any & 1) != 0) {
        ((PULONG64)&Contents)[At] = Any;
        return PlaceFor(&Contents, sizeof(Contents), FALSE, TRUE);
    }
    return PlaceFor(&Contents, sizeof(Contents), Hostile, FALSE);
}

static ULONG64 Process(UCHAR Kind, BOOLEAN Hostile)
{
    RTL_USER_PROCESS_PARAMETERS Parameters;
    PS_ATTRIBUTE_LIST List;
    ULONG Way = Random(6);
    ULONG64 Bad = BadPointer(), Any = RandomNumber();

    MakeIdleParameters(&Parameters);
    MakeIdleList(&List);
    if (Hostile && Way == 0) {
        Parameters.CommandLine.Length = (USHORT)Any;
        List.TotalLength = Any;
    } else if (Hostile && Way == 1) {
        Parameters.Environment = (PWSTR)Bad;
        List.Attributes[0].ValuePtr = (PVOID)Bad;
    } else if (Hostile && Way == 2) {
        Parameters.Flags = 0;
        List.Attributes[0].Attribute = Any;
    }
    return Kind == KList ? PlaceFor(&List, sizeof(List), Hostile && Way > 2, FALSE)
                         : PlaceFor(&Parameters, sizeof(Parameters), Hostile && Way > 2, FALSE);
}

static ULONG64 Handles(BOOLEAN Hostile)
{
    ULONG64 Contents[3];
    ULONG Wrong = Random(4);

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Contents); Index++) {
        Contents[Index] = HandleOf(TWaitable, Hostile && Wrong == Index);
    }
    return PlaceFor(Contents, sizeof(Contents), Hostile && Wrong == 3, FALSE);
}

static ULONG64 Structure(UCHAR Kind, BOOLEAN Hostile)
{
    static const GENERIC_MAPPING Mapping = {STANDARD_RIGHTS_READ | 1, STANDARD_RIGHTS_WRITE | 2,
                                            STANDARD_RIGHTS_EXECUTE | 4, STANDARD_RIGHTS_ALL | 7};
    static const TOKEN_SOURCE Source = {"hostile", {1, 0}};
    static const VM_EXTENDED_PARAMETER Extended = {.Type = VM_PARAMETER_NUMA_NODE, .Value = 0};

    static const TIMER_SET_COALESCABLE_TIMER_INFO Timer = {.DueTime = {.QuadPart = -1000}};

    switch (Kind) {
    case KTimer:
        return PlaceFor(&Timer, sizeof(Timer), Hostile, TRUE);
    case KDescriptor:
        return Descriptor(Hostile);
    case KPrivileges:
    case KPrivilegeSet:
        return Privileges(Kind, Hostile);
    case KGroups:
        return Groups(Hostile);
    case KUser:
        return User(Hostile);
    case KContext:
        return Context(Hostile);
    case KParameters:
    case KList:
        return Process(Kind, Hostile);
    case KHandles:
        return Handles(Hostile);
    case KMapping:
        return PlaceFor(&Mapping, sizeof(Mapping), Hostile, FALSE);
    case KSource:
        return PlaceFor(&Source, sizeof(Source), Hostile, FALSE);
    default: /* KExtended */
        return PlaceFor(&Extended, sizeof(Extended), Hostile, FALSE);
    }
}

/* ---- Names ---- */

static ULONG64 Name(UCHAR Kind, BOOLEAN Hostile)
{
    static PCWSTR const Plain[] = {L"A", L"B", L"C", L"a"};
    PCWSTR Text = PICK(Plain);
    ULONG Way = Random(4);
    UNICODE_STRING Room = {0, 512, OwnPlace(512)};
    ULONG64 Place;

    switch (Kind) {
    case KEmpty:
        return NamePointer(L"", FALSE);
    case KRoom:
        if (Hostile && Way == 0) {
            Room.MaximumLength = 2;
        } else if (Hostile && Way == 1) {
            Room.Buffer = (PWSTR)Arena;
        }
        return PlaceFor(&Room, sizeof(Room), Hostile && Way > 1, FALSE);
    case KDriver:
        return NamePointer(L"\\Registry\\Machine\\Hostile\\Driver", Hostile);
    default:
        Place = NamePointer(Text, Hostile);
        return Kind == KNoneOrName && Way != 0 && !Hostile ? 0 : Place;
    }
}

/* ---- Where something is ---- */

static ULONG64 Address(PCALL Call, UCHAR Kind, UCHAR Parameter, BOOLEAN Hostile)
{
    ULONG64 Routine = (ULONG64)Nothing, Bad = BadPointer(), Some = SomeAddress(Hostile);
    ULONG Way = Random(4);

    switch (Kind) {
    case KBuffer:
        return AnswerPlace(0x1000, Hostile);
    case KOut:
        return AnswerPlace(Parameter, Hostile);
    case KIosb:
        return AnswerPlace(sizeof(IO_STATUS_BLOCK), Hostile);
    case KReturned:
    case KNone:
        Bad = AnswerPlace(16, Hostile);
        return !Hostile && (Way == 0 || Kind == KNone) ? 0 : Bad;
    case KTarget:
        Bad = PlaceFor(NULL, 1024, Hostile, FALSE);
        return Bad;
    case KMapped:
        Some = (ULONG64)SomeRegion(TRUE);
        return Hostile ? Bad : Some;
    case KWatch:
        return Hostile ? Bad : (ULONG64)Watch;
    case KRoutine:
        return Way == 0 ? Routine : 0;
    case KStart:
        return (ULONG64)NoThread;
    case KAhead:
        return Length(Call, Hostile);
    case KSized:
        return AnswerPlace(1024, Hostile);
    case KBad:
        return Bad;
    default: /* KAddress */
        return Some;
    }
}

/* ---- Handles ---- */

static ULONG64 HandleKind(PCALL Call, UCHAR Family, ULONG Type, BOOLEAN Hostile)
{
    ULONG Way = Random(4);
    ULONG64 Handle, Place;

    switch (Family) {
    case KIND_NEW:
        Place = AnswerPlace(sizeof(HANDLE), Hostile);
        if (!Hostile && Call->NewCount < RTL_NUMBER_OF(Call->NewHandle)) {
            Call->NewHandle[Call->NewCount] = (PHANDLE)Place;
            Call->NewType[Call->NewCount++] = Type;
        }
        return Place;
    case KIND_CREATE:
        return ObjectAttributes(Type, FALSE, Hostile);
    case KIND_OPEN:
        return ObjectAttributes(Type, TRUE, Hostile);
    default:
        Handle = HandleOf(Type, Hostile);
        return Family == KIND_OR_NONE && Way != 0 && !Hostile ? 0 : Handle;
    }
}

ULONG64 MakeArgument(PCALL Call, UCHAR Kind, UCHAR Parameter, BOOLEAN Hostile)
{
    if (Kind >= KIND_OPEN) {
        return HandleKind(Call, Kind & KIND_FAMILY, Kind & ~KIND_FAMILY & 0xFF, Hostile);
    }
    switch (Kind) {
    case KPlace:
    case KRegion:
    case KView:
    case KAnywhere:
        return Base(Call, Kind, Hostile);
    case KExtent:
    case KSoon:
    case KClient:
    case KNow:
    case KTimeout:
    case KEntries:
    case KLuid:
    case KOffset:
        return WordPointer(Call, Kind, Hostile);
    case KLength:
        return Length(Call, Hostile);
    case KBytes:
        return Hostile ? RandomNumber() : WATCH_BYTES;
    case KData:
        return Data(Hostile);
    case KDescriptor:
    case KPrivileges:
    case KPrivilegeSet:
    case KGroups:
    case KUser:
    case KContext:
    case KParameters:
    case KList:
    case KHandles:
    case KMapping:
    case KSource:
    case KExtended:
    case KTimer:
        return Structure(Kind, Hostile);
    case KEmpty:
    case KRoom:
    case KDriver:
    case KName:
    case KNoneOrName:
        return Name(Kind, Hostile);
    case KAddress:
    case KAhead:
    case KBad:
    case KBuffer:
    case KIosb:
    case KMapped:
    case KNone:
    case KOut:
    case KReturned:
    case KRoutine:
    case KSized:
    case KStart:
    case KTarget:
    case KWatch:
        return Address(Call, Kind, Parameter, Hostile);
    default:
        return Number(Call, Kind, Parameter, Hostile);
    }
}
