"""gdb's view of Oriel: symbols at the randomised bases, and stacks by the images' own unwind data.

    gdb build/chk/ntoskrnl.exe -x scripts/gdb/oriel.py
    (gdb) oriel attach /path/to/com2
    (gdb) oriel pfn 0x1234
    (gdb) oriel pte $rip

`oriel attach` connects and does what `oriel symbols` does alone: it asks the stub (`monitor modules`) where the images run and loads the symbols of each from the folder of
the kernel's file. The compiler describes frames as PE unwind data (.pdata, .xdata) and not as DWARF, which
Debian's gdb cannot follow; the unwinder here reads it from the target's memory, machine frames of traps included.

Source of the unwind format: Microsoft Learn, "x64 exception handling".
"""

import os
import struct

import gdb
from gdb.unwinder import Unwinder

REGISTERS = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
             "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"]
MASK = (1 << 64) - 1
EXCEPTION_DIRECTORY = 3
CHAINED = 4
# UNWIND_CODE operations
PUSH, ALLOC_LARGE, ALLOC_SMALL, SET_FPREG, SAVE, SAVE_FAR, EPILOG, SPARE, SAVE_XMM, SAVE_XMM_FAR, MACHINE_FRAME = range(11)

_modules = []  # Module, in load order


class Module:
    """A loaded image: where it runs, and its unwind data, from its file if there is one (a serial line is slow)."""

    def __init__(self, name, base, size):
        self.name, self.base, self.size = name, base, size
        self.functions = None
        self.file = b""

    def open(self, path):
        with open(path, "rb") as file:
            self.file = file.read()

    def read(self, rva, size):
        """Bytes of the image that nothing changes at run time."""
        if self.file:
            header = struct.unpack_from("<I", self.file, 0x3C)[0]
            count, optional = struct.unpack_from("<H12xH", self.file, header + 6)
            for index in range(count):
                length, start, raw, offset = struct.unpack_from("<IIII", self.file, header + 24 + optional + 40 * index + 8)
                if start <= rva and rva + size <= start + min(length, raw):
                    return self.file[offset + rva - start:offset + rva - start + size]
        return read(self.base + rva, size)

    def table(self):
        """The sorted RUNTIME_FUNCTION entries: (begin, end, unwind), RVAs."""
        if self.functions is None:
            rva, size = directory(self.base, EXCEPTION_DIRECTORY)
            data = self.read(rva, size) if size else b""
            self.functions = [struct.unpack_from("<III", data, at) for at in range(0, len(data) - 11, 12)]
        return self.functions

    def function(self, rva):
        low, high = 0, len(self.table())
        while low < high:
            middle = (low + high) // 2
            if rva >= self.functions[middle][1]:
                low = middle + 1
            else:
                high = middle
        if low < len(self.functions) and self.functions[low][0] <= rva:
            return self.functions[low]
        return None


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address & MASK, size))


def word(address):
    return struct.unpack("<Q", read(address, 8))[0]


def directory(base, index):
    header = base + struct.unpack("<I", read(base + 0x3C, 4))[0]
    return struct.unpack("<II", read(header + 24 + 112 + 8 * index, 8))


def find_module(address):
    for module in _modules:
        if module.base <= address < module.base + module.size:
            return module
    return None


def image_base(path):
    """The base that a PE file was linked for."""
    with open(path, "rb") as file:
        data = file.read(4096)
    header = struct.unpack_from("<I", data, 0x3C)[0]
    return struct.unpack_from("<Q", data, header + 24 + 24)[0]


def load_modules():
    """Asks the stub for the loaded images."""
    _modules.clear()
    for line in gdb.execute("monitor modules", to_string=True).splitlines():
        fields = line.split()
        if len(fields) == 3:
            _modules.append(Module(fields[0], int(fields[1], 16), int(fields[2], 16)))
    return _modules


class Oriel(gdb.Command):
    """Commands for Oriel's kernel."""

    def __init__(self):
        super().__init__("oriel", gdb.COMMAND_DATA, prefix=True)


class Symbols(gdb.Command):
    """oriel symbols [FOLDER]: load the symbols of every loaded image, at the address where it runs.

FOLDER (default: that of the kernel's file) holds ntoskrnl.exe and the drivers with their debug information."""

    def __init__(self):
        super().__init__("oriel symbols", gdb.COMMAND_FILES, gdb.COMPLETE_FILENAME)

    def invoke(self, argument, from_tty):
        folder = argument.strip() or self.folder()
        load_modules()
        gdb.execute("symbol-file", to_string=True)
        for module in _modules:
            path = os.path.join(folder, module.name)
            if not os.path.exists(path):
                print(f"{module.name} at {module.base:#x}: no {path}")
                continue
            module.open(path)
            offset = (module.base - image_base(path)) & MASK
            gdb.execute(f"add-symbol-file '{path}' -o {offset:#x}", to_string=True)
            print(f"{module.name} at {module.base:#x}")
        gdb.invalidate_cached_frames()

    @staticmethod
    def folder():
        for file in gdb.objfiles():
            if file.filename:
                Symbols.last = os.path.dirname(file.filename)
                break
        return getattr(Symbols, "last", "build/chk")


class Attach(gdb.Command):
    """oriel attach ADDRESS: connect to the stub on COM2 (a socket's path, HOST:PORT or a device) and load symbols."""

    def __init__(self):
        super().__init__("oriel attach", gdb.COMMAND_RUNNING, gdb.COMPLETE_FILENAME)

    def invoke(self, argument, from_tty):
        Symbols.folder()  # before the file's symbols are dropped
        gdb.execute(f"target remote {argument}")
        gdb.execute("oriel symbols")
        gdb.execute("frame")


class Pfn(gdb.Command):
    """oriel pfn FRAME: the entry of a frame in the PFN database, decoded. FRAME: an expression."""

    DATABASE = 0xFFFFFA8000000000  # MM_PFN_DATABASE
    STATES = ["Zeroed", "Free", "Standby", "Modified", "ModifiedNoWrite", "Bad", "Active", "Transition"]  # pfndef.h

    def __init__(self):
        super().__init__("oriel pfn", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        frame = int(gdb.parse_and_eval(argument))
        kind = gdb.lookup_type("MMPFN")
        entry = gdb.Value(self.DATABASE + frame * kind.sizeof).cast(kind.pointer()).dereference()
        try:
            u4 = int(entry["u4"])
        except gdb.MemoryError:
            print(f"frame {frame:#x} is not RAM: its entry is not mapped")
            return
        flags = [name for bit, name in ((51, "modified"), (52, "read"), (53, "write"), (54, "prototype"), (55, "error"),
                                        (63, "stashed")) if u4 >> bit & 1]
        state = self.STATES[u4 >> 48 & 7]
        print(f"frame {frame:#x}: {state}, references {u4 >> 32 & 0xFFFF}, {' '.join(flags) or 'no flags'}")
        print(f"  PTE {int(entry['PteAddressLong']):#x} in frame {u4 & 0xFFFFFFFF:#x}, "
              f"original {int(entry['OriginalPte']['Long']):#x}")
        if state == "Active":
            print(f"  share count {int(entry['u1']['ShareCount'])}")
        elif state not in ("Transition",):
            print(f"  next {int(entry['u1']['Flink']):#x}, previous {int(entry['u1']['Blink']):#x}")


class Pte(gdb.Command):
    """oriel pte ADDRESS: the page-table entry that maps an address, decoded. ADDRESS: an expression."""

    def __init__(self):
        super().__init__("oriel pte", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        address = int(gdb.parse_and_eval(argument).cast(gdb.lookup_type("unsigned long long"))) & MASK
        answer = gdb.execute(f"monitor pte {address:x}", to_string=True).split()
        if len(answer) != 5:
            print(f"{address:#x}: not mapped")
            return
        entry, size = int(answer[1], 16), int(answer[4], 16)
        flags = [name for bit, name in ((1, "write"), (2, "user"), (5, "accessed"), (6, "dirty"), (8, "global"))
                 if entry >> bit & 1]
        flags.append("no-execute" if entry >> 63 else "execute")
        print(f"{address:#x}: entry {entry:#x}, frame {entry >> 12 & 0xFFFFFFFFFF:#x}, {size // 1024} KB, "
              f"{' '.join(flags)}")


class FrameId:
    """Identifies a frame: the stack pointer of its caller and the function's start."""

    def __init__(self, sp, pc):
        self.sp, self.pc = gdb.Value(sp & MASK), gdb.Value(pc & MASK)


class Context:
    """The registers that unwinding tracks, and where those saved on the stack were found."""

    def __init__(self, frame):
        self.values = {}
        for name in REGISTERS + ["rip"]:
            self.values[name] = int(frame.read_register(name)) & MASK

    def undo_epilogue(self, pc, start, end):
        """If pc is inside an epilogue (rsp restored, pops, ret or a jump out), finishes it; returns whether it was."""
        code = read(pc, 48)
        values, at = dict(self.values), 0
        if code[:3] in (b"\x48\x83\xc4", b"\x48\x81\xc4"):  # add rsp, n
            size = 1 if code[1] == 0x83 else 4
            values["rsp"] += int.from_bytes(code[3:3 + size], "little", signed=True)
            at = 3 + size
        elif code[:3] in (b"\x48\x8d\x65", b"\x48\x8d\xa5"):  # lea rsp, [rbp + n]
            size = 1 if code[2] == 0x65 else 4
            values["rsp"] = values["rbp"] + int.from_bytes(code[3:3 + size], "little", signed=True)
            at = 3 + size
        while code[at] >> 3 == 0x0B or (code[at] == 0x41 and code[at + 1] >> 3 == 0x0B):  # pop
            extended = code[at] == 0x41
            at += extended
            values[REGISTERS[(code[at] & 7) + 8 * extended]] = word(values["rsp"])
            values["rsp"] += 8
            at += 1
        if code[at] == 0xE9:
            target = pc + at + 5 + int.from_bytes(code[at + 1:at + 5], "little", signed=True)
        elif code[at] == 0xEB:
            target = pc + at + 2 + int.from_bytes(code[at + 1:at + 2], "little", signed=True)
        else:
            target = None
        if code[at] != 0xC3 and (target is None or start <= target < end):
            return False
        self.values = values
        self.values["rip"] = word(values["rsp"])
        self.values["rsp"] = values["rsp"] + 8
        return True

    def undo(self, module, rva, entry):
        """Undoes the prologue of the function at rva; returns True if a machine frame gave rip and rsp."""
        while True:
            info = entry[2]
            flags, prologue, count, frame_register = struct.unpack("<BBBB", module.read(info, 4))
            codes = module.read(info + 4, count * 2) if count else b""
            inside = rva - entry[0]
            if frame_register & 15 and (inside >= prologue or self.frame_is_set(codes, inside)):
                self.values["rsp"] = (self.values[REGISTERS[frame_register & 15]] - 16 * (frame_register >> 4)) & MASK
            machine = self.undo_codes(codes, inside)
            if machine or not flags >> 3 & CHAINED:
                return machine
            entry = struct.unpack("<III", module.read(info + 4 + (count + 1) // 2 * 4, 12))
            rva = entry[0] + 0xFFFF  # the chained part ran whole

    @staticmethod
    def frame_is_set(codes, inside):
        at = 0
        while at < len(codes):
            operation, value = codes[at + 1] & 15, codes[at + 1] >> 4
            if operation == SET_FPREG:
                return inside >= codes[at]
            at += 2 * Context.slots(operation, value)
        return False

    @staticmethod
    def slots(operation, value):
        if operation == ALLOC_LARGE:
            return 3 if value else 2
        return {SAVE: 2, SAVE_XMM: 2, EPILOG: 2, SAVE_FAR: 3, SAVE_XMM_FAR: 3, SPARE: 3}.get(operation, 1)

    def undo_codes(self, codes, inside):
        at = 0
        while at < len(codes):
            offset, operation, value = codes[at], codes[at + 1] & 15, codes[at + 1] >> 4
            operand = struct.unpack_from("<H", codes, at + 2)[0] if at + 4 <= len(codes) else 0
            large = struct.unpack_from("<I", codes, at + 2)[0] if at + 6 <= len(codes) else 0
            at += 2 * self.slots(operation, value)
            if inside < offset:
                continue
            sp = self.values["rsp"]
            if operation == PUSH:
                self.values[REGISTERS[value]] = word(sp)
                self.values["rsp"] = sp + 8
            elif operation == ALLOC_LARGE:
                self.values["rsp"] = sp + (large if value else 8 * operand)
            elif operation == ALLOC_SMALL:
                self.values["rsp"] = sp + 8 * value + 8
            elif operation == SAVE:
                self.values[REGISTERS[value]] = word(sp + 8 * operand)
            elif operation == SAVE_FAR:
                self.values[REGISTERS[value]] = word(sp + large)
            elif operation == MACHINE_FRAME:
                sp += 8 if value else 0
                self.values["rip"], self.values["rsp"] = word(sp), word(sp + 24)
                return True
        return False


class PeUnwinder(Unwinder):
    """Walks frames by the images' .pdata and .xdata."""

    def __init__(self):
        super().__init__("oriel-pe")

    def __call__(self, pending):
        try:
            return self.unwind(pending)
        except gdb.MemoryError:
            return None

    def unwind(self, pending):
        pc = int(pending.read_register("rip")) & MASK
        module = find_module(pc)
        if not module:
            return None
        context = Context(pending)
        entry = module.function(pc - module.base)
        done = entry and context.undo_epilogue(pc, module.base + entry[0], module.base + entry[1])
        done = done or entry and context.undo(module, pc - module.base, entry)
        if not done:  # rsp is at the return address; a leaf function has no entry and no frame
            context.values["rip"] = word(context.values["rsp"])
            context.values["rsp"] += 8
        start = module.base + entry[0] if entry else pc
        caller = pending.create_unwind_info(FrameId(context.values["rsp"], start))
        for name, value in context.values.items():
            kind = pending.read_register(name).type
            caller.add_saved_register(name, gdb.Value(value & MASK).cast(kind))
        return caller


Oriel()
Symbols()
Attach()
Pfn()
Pte()
gdb.unwinder.register_unwinder(None, PeUnwinder(), replace=True)
