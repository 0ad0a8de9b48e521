"""The loader's refusals: one sentence that names module and symbol on COM1 and on the screen, then a halt, never a reset.

The modules that import what does not exist, and those that must bind, are built here with the compiler that builds the drivers.
"""

import dataclasses
import re
import struct
import subprocess
import time

import pytest

from harness import Machine, Session, build_iso
from harness.iso import BUILD, ROOT

KERNEL = BUILD / "chk" / "ntoskrnl.exe"
CLANG = ["clang-19", "--target=x86_64-w64-windows-gnu", "-ffreestanding", "-mno-red-zone", "-O1", "-c"]
LINK = ["ld.lld-19", "-m", "i386pep", "--entry=DriverEntry", "--image-base=0x10000", "--subsystem", "native",
        "--dynamicbase", "--shared", "--exclude-all-symbols"]


@dataclasses.dataclass
class OtherProcessor(Machine):
    """A machine whose processor lacks features."""

    processor: str = "max"

    def qemu(self, disc, directory, com1, com2):
        line = super().qemu(disc, directory, com1, com2)
        line[line.index("-cpu") + 1] = self.processor
        return line


def screen_text(session):
    """What the VGA text page shows."""
    path = session.directory / "cells"
    session._qmp_command("pmemsave", val=0xB8000, size=4000, filename=str(path))
    limit = time.monotonic() + 10
    while not (path.exists() and path.stat().st_size == 4000) and time.monotonic() < limit:
        time.sleep(0.05)
    text = path.read_bytes()[::2].decode("cp437")
    return "\n".join(text[row * 80:(row + 1) * 80].rstrip() for row in range(25)).strip()


def changed_disc(directory, changes):
    """A disc of its own, gone with the test: scripts/mkiso with further arguments."""
    build_iso("chk", "test")  # whatever has to be built is
    disc = directory / "changed.iso"
    subprocess.run([str(ROOT / "scripts" / "mkiso"), "--cmdline", "test", "--output", str(disc), *changes], check=True)
    return disc


def refused(sentence, machine=None, disc=None):
    """Boots; the loader must say exactly this sentence on both devices and stay halted."""
    with Session(machine or Machine(mem=64), disc=disc or build_iso("chk", "test"), log="loader") as session:
        assert session.wait_text(r"^osloader: halted\.$", 90), session.text
        lines = [line for line in session.text.splitlines() if line.startswith("osloader: ")]
        assert lines[-2] == f"osloader: {sentence}.", session.text
        shown = screen_text(session)
        assert f"osloader:{sentence}.".replace(" ", "") in re.sub(r"\s", "", shown), shown
        assert session.wait_text("Oriel (chk|fre)", 1) is None
        assert session.process.poll() is None, "the machine ended instead of halting"
        registers = session._qmp_command("human-monitor-command", **{"command-line": "info registers"})["return"]
        assert "HLT=1" in registers, registers


# ---- The machine ----


@pytest.mark.parametrize("mem", [8, 24])
def test_too_little_ram(mem):
    refused(f"too little RAM: this machine has {mem - 1} MB that can be used, Oriel needs 32 MB", Machine(mem=mem))


def test_no_long_mode():
    refused("this processor has no 64-bit (long) mode, which Oriel needs", OtherProcessor(mem=64, processor="max,-lm"))


def test_no_no_execute():
    refused("this processor has no no-execute (NX) pages, which Oriel needs (or firmware disables them)",
            OtherProcessor(mem=64, processor="max,-nx"))


# ---- Damaged modules ----


def test_kernel_missing(tmp_path):
    refused("ntoskrnl.exe: this module is missing", disc=changed_disc(tmp_path, ["--omit", "ntoskrnl.exe"]))


def stripped(tmp_path):
    """The kernel as it is on the disc."""
    copy = tmp_path / "stripped.exe"
    subprocess.run(["llvm-objcopy-19", "--strip-debug", str(KERNEL), str(copy)], check=True)
    return bytearray(copy.read_bytes())


def with_kernel(tmp_path, data):
    path = tmp_path / "damaged.exe"
    path.write_bytes(data)
    return changed_disc(tmp_path, ["--replace", f"ntoskrnl.exe={path}"])


@pytest.mark.parametrize("length", [1, 63, 0x100, 0x1000, 0x8000])
def test_kernel_cut_short(tmp_path, length):
    refused("ntoskrnl.exe: this module is cut short", disc=with_kernel(tmp_path, stripped(tmp_path)[:length]))


def test_kernel_is_no_image(tmp_path):
    refused("ntoskrnl.exe: this module is not a PE image", disc=with_kernel(tmp_path, b"oriel " * 1000))


def test_kernel_for_another_machine(tmp_path):
    data = stripped(tmp_path)
    struct.pack_into("<H", data, header(data) + 4, 0xAA64)
    refused("ntoskrnl.exe: this module is not a PE32+ image for x86-64", disc=with_kernel(tmp_path, data))


def header(data):
    return struct.unpack_from("<I", data, 0x3C)[0]


def test_writable_code(tmp_path):
    """Write xor execute begins in the loader."""
    data = stripped(tmp_path)
    first = header(data) + 24 + struct.unpack_from("<H", data, header(data) + 20)[0]
    struct.pack_into("<I", data, first + 36, struct.unpack_from("<I", data, first + 36)[0] | 0x80000000)
    refused("ntoskrnl.exe: this module has a damaged or writable and executable section",
            disc=with_kernel(tmp_path, data))


def test_relocations_damaged(tmp_path):
    data = stripped(tmp_path)
    rva = struct.unpack_from("<I", data, header(data) + 24 + 112 + 5 * 8)[0]
    struct.pack_into("<I", data, file_offset(data, rva) + 4, 3)
    refused("ntoskrnl.exe: this module has damaged relocations", disc=with_kernel(tmp_path, data))


def file_offset(data, rva):
    first = header(data) + 24 + struct.unpack_from("<H", data, header(data) + 20)[0]
    for index in range(struct.unpack_from("<H", data, header(data) + 6)[0]):
        size, base, _, offset = struct.unpack_from("<IIII", data, first + 40 * index + 8)
        if base <= rva < base + size:
            return offset + rva - base
    raise ValueError(f"no section holds {rva:#x}")


# ---- Imports ----


class Workshop:
    """Builds drivers that import from modules by name or ordinal."""

    def __init__(self, directory):
        self.directory = directory

    def library(self, module, *exports):
        """An import library that promises exports of a module."""
        stem = self.directory / module.replace(".", "_")
        stem.with_suffix(".def").write_text(f"LIBRARY {module}\nEXPORTS\n" + "\n".join(exports) + "\n")
        subprocess.run(["llvm-dlltool-19", "-m", "i386:x86-64", "-d", str(stem.with_suffix(".def")), "-l",
                        str(stem.with_suffix(".a"))], check=True)
        return stem.with_suffix(".a")

    def driver(self, name, source, *inputs):
        stem = self.directory / name
        stem.with_suffix(".c").write_text(source)
        subprocess.run([*CLANG, str(stem.with_suffix(".c")), "-o", str(stem.with_suffix(".o"))], check=True)
        subprocess.run([*LINK, str(stem.with_suffix(".o")), *map(str, inputs), "-o", str(stem)], check=True)
        return ("--add", f"{name}={stem}")


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)


CALLS = """
__declspec(dllimport) int Wanted(void);
int DriverEntry(void *Driver, void *Path) { return Wanted() | 0xC0000000; }
"""


def test_import_that_nobody_exports(workshop):
    library = workshop.library("ntoskrnl.exe", "Wanted")
    refused("broken.sys: imports Wanted, which ntoskrnl.exe does not export",
            disc=changed_disc(workshop.directory, workshop.driver("broken.sys", CALLS, library)))


def test_import_by_an_ordinal_that_does_not_exist(workshop):
    library = workshop.library("ntoskrnl.exe", "Wanted @60000 NONAME")
    refused("broken.sys: imports ordinal 60000, which ntoskrnl.exe does not export",
            disc=changed_disc(workshop.directory, workshop.driver("broken.sys", CALLS, library)))


def test_import_from_a_module_that_was_not_loaded(workshop):
    library = workshop.library("absent.sys", "Wanted")
    refused("broken.sys: imports from absent.sys, which is not among the boot modules",
            disc=changed_disc(workshop.directory, workshop.driver("broken.sys", CALLS, library)))


def test_driver_cut_short(workshop):
    library = workshop.library("ntoskrnl.exe", "Wanted")
    add = workshop.driver("broken.sys", CALLS, library)
    path = workshop.directory / "broken.sys"
    path.write_bytes(path.read_bytes()[:0x300])
    refused("broken.sys: this module is cut short", disc=changed_disc(workshop.directory, add))


# ---- What must bind ----

EXPORTER = """
int DriverEntry(void *Driver, void *Path) { return 0xC0000001; }
int ByOrdinal(void) { return 40; }
"""
EXPORTER_DEF = """LIBRARY exporter.sys
EXPORTS
ByOrdinal @7 NONAME
Print=ntoskrnl.DbgPrint
"""
IMPORTER = """
__declspec(dllimport) int ByOrdinal(void);
__declspec(dllimport) int Print(const char *Format, ...);
__declspec(dllimport) int DbgPrint(const char *Format, ...);
int DriverEntry(void *Driver, void *Path)
{
    Print("importer: forwarded %d\\n", ByOrdinal() + 2);
    DbgPrint("importer: through HAL\\n");
    return 0xC0000001;
}
"""


def binding_modules(workshop):
    """An exporter with an ordinal and a forwarder, and an importer that comes first and spells names differently."""
    definition = workshop.directory / "exporter.def"
    definition.write_text(EXPORTER_DEF)
    exporter = workshop.driver("exporter.sys", EXPORTER, definition)
    library = workshop.library("EXPORTER.SYS", "ByOrdinal @7 NONAME", "Print")
    hal = workshop.library("HAL.dll", "DbgPrint")
    return workshop.driver("importer.sys", IMPORTER, library, hal) + exporter


def test_ordinals_forwarders_and_hal_bind(workshop):
    disc = changed_disc(workshop.directory, binding_modules(workshop))
    with Session(Machine(mem=128), disc=disc, log="loader-binds") as session:
        session.wait_prompt()
        for name in ("ntoskrnl.exe", "importer.sys", "exporter.sys"):
            assert re.search(rf"^osloader: {name} at 0xFFFFF8[0-9A-F]{{10}}$", session.text, re.MULTILINE), session.text
        # What importer.sys printed: 40 from the ordinal, DbgPrint through a forwarder and through hal.dll.
        assert re.search(r"^importer: forwarded 42$", session.text, re.MULTILINE), session.text
        assert re.search(r"^importer: through HAL$", session.text, re.MULTILINE), session.text


# ---- Bases ----


def bases(cmdline):
    disc = build_iso("chk", cmdline)
    with Session(Machine(mem=64), disc=disc, log="loader-base") as session:
        session.wait_prompt()
        placed = re.findall(r"^osloader: (\S+) at (0x\w+)$", session.text, re.MULTILINE)
        return {name: int(base, 16) for name, base in placed}


def mapped_size(name):
    """How many bytes of address space the image takes: all sections but the debugger's at the end."""
    image = (BUILD / "chk" / name).read_bytes()
    count, optional = struct.unpack_from("<H12xH", image, header(image) + 6)
    sections = [image[start:start + 40] for start in range(header(image) + 24 + optional, len(image), 40)][:count]
    return max(sum(struct.unpack_from("<II", section, 8)) for section in sections if section[:1] != b"/")


def test_bases_are_random_unless_nokaslr():
    first, second = bases("test"), bases("test")
    assert first["ntoskrnl.exe"] != second["ntoskrnl.exe"]
    for base in [*first.values(), *second.values()]:
        assert base % 0x200000 == 0 and 0xFFFFF80000000000 <= base < 0xFFFFF87E00000000
    assert len(set(first.values())) == len(first)
    expected = 0xFFFFF80000000000
    for name, base in bases("nokaslr test").items():  # one after the other, each at the next 2 MB
        assert base == expected, name
        expected += -(-mapped_size(name) // 0x200000) * 0x200000
