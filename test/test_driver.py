"""Drivers built by somebody who has the DDK headers and a compiler, and nothing of this tree but what they were told to test.

They are compiled in a scratch directory, put below D:\\extra and loaded at run time: gccdrv and talker by plain mingw gcc (with SSE, as -O2 has
it), clangdrv by clang with structured exception handling, missing by gcc with imports that nobody exports.
"""

import re
import shutil
import subprocess

import pytest

from harness import Machine, Session, parse_ktap
from harness.iso import ROOT

DDK = "/usr/share/mingw-w64/include"
LIBRARIES = "/usr/x86_64-w64-mingw32/lib"
GCC = ["x86_64-w64-mingw32-gcc", "-O2", "-Wall", "-Wno-multichar", "-Wno-unknown-pragmas", "-w", f"-I{DDK}/ddk", "-nostdlib",
       "-Wl,--subsystem,native", "-Wl,--entry,DriverEntry", "-Wl,--dynamicbase"]
CLANG = ["clang-19", "--target=x86_64-w64-windows-gnu", "-fms-extensions", "-Xclang", "-fasync-exceptions", "-O2", "-w",
         "-isystem", f"{DDK}/ddk", "-isystem", DDK, "-c"]
LINK = ["ld.lld-19", "-m", "i386pep", "--entry=DriverEntry", "--subsystem=native", "--dynamicbase"]
MISSING = """
#include <ntddk.h>
NTSTATUS NTAPI NobodyExportsThis(ULONG Value);
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    return NobodyExportsThis(1);
}
"""


def run(*command, cwd):
    done = subprocess.run([str(word) for word in command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout


def damage(path, source, change):
    """A copy of an image with bytes changed: {offset: bytes}."""
    data = bytearray(source.read_bytes())
    for offset, piece in change.items():
        data[offset:offset + len(piece)] = piece
    path.write_bytes(data)


@pytest.fixture(scope="module")
def extra(tmp_path_factory):
    """The folder that goes below D:\\extra, with all drivers built."""
    scratch = tmp_path_factory.mktemp("outoftree")
    for source in (ROOT / "test" / "outoftree").iterdir():
        shutil.copy(source, scratch)
    (scratch / "missing.c").write_text(MISSING)
    (scratch / "missing.def").write_text("LIBRARY ntoskrnl.exe\nEXPORTS\nNobodyExportsThis\n")
    out = scratch / "out"
    out.mkdir()
    run("x86_64-w64-mingw32-dlltool", "-d", "missing.def", "-l", "libmissing.a", cwd=scratch)
    for name in ("gccdrv", "talker", "leaver"):
        run(*GCC, "-o", out / f"{name}.sys", f"{name}.c", "-lntoskrnl", "-lhal", cwd=scratch)
    run(*GCC, "-DLEAVE_DEVICE", "-o", out / "keeper.sys", "leaver.c", "-lntoskrnl", cwd=scratch)
    run(*GCC, "-o", out / "missing.sys", "missing.c", "-L.", "-lmissing", "-lntoskrnl", cwd=scratch)
    run(*CLANG, "clangdrv.c", "-o", "clangdrv.o", cwd=scratch)
    run(*LINK, "clangdrv.o", f"{LIBRARIES}/libntoskrnl.a", "-o", out / "clangdrv.sys", cwd=scratch)
    good = (out / "gccdrv.sys").read_bytes()
    header = int.from_bytes(good[0x3C:0x40], "little")
    (out / "short.sys").write_bytes(good[:1500])
    damage(out / "notpe.sys", out / "gccdrv.sys", {0: b"ZM"})
    damage(out / "i386.sys", out / "gccdrv.sys", {header + 4: b"\x4c\x01"})
    damage(out / "program.sys", out / "gccdrv.sys", {header + 24 + 68: b"\x03\x00"})  # a console program's subsystem
    damage(out / "imports.sys", out / "gccdrv.sys", {header + 24 + 112 + 8: b"\xf0\xff\xff\x0f"})
    return out


@pytest.fixture(scope="module", params=["qemu-bios-256-4cpu", "bochs-bios-256-2cpu"])
def machine(request, extra):
    """A machine at its prompt with the drivers on its disc."""
    with Session(Machine.named(request.param, cmdline="test", extra=str(extra)), log=f"driver-{request.param}") as session:
        session.wait_prompt()
        yield session


def counters(session):
    """What must be as before once a driver is gone."""
    iostat = re.search(r"^irps (\d+) completed \d+ mdls (\d+)", session.run("iostat"), re.MULTILINE)
    images = re.search(r"^(\d+) loaded at run time, (\d+) pages", session.run("drivers"), re.MULTILINE)
    objects = dict(re.findall(r"^(Driver|Device|SymbolicLink|File)\s+(\d+)", session.run("objects"), re.MULTILINE))
    tags = session.run("pooltags")
    pool = re.findall(r"^.*(?:dccG|klaT|vrDI|gmIM|krWI|iveD).*$", tags, re.MULTILINE)
    return iostat.groups(), images.groups(), objects, pool


def check_ktap(output, suite, cases, skips=True):
    ktap = parse_ktap(output)
    assert ktap.ok() and (skips or "# SKIP" not in output), output
    names = [result.name for result in ktap.results]
    assert len(names) == cases and all(name.startswith(f"{suite}.") for name in names), output


def test_gcc_driver(machine):
    """Control codes of all methods, work item, timer, DPC with SSE, MDLs; unloaded clean, twice."""
    machine.run(r"load D:\extra\gccdrv.sys", 60)  # a first time: caches keep the files they have seen
    machine.run(r"load D:\extra\talker.sys", 120)
    machine.run("unload gccdrv", 60)
    before = counters(machine)
    for _ in range(2):
        assert "gccdrv.sys runs" in machine.run(r"load D:\extra\gccdrv.sys", 60)
        assert re.search(r"^0xFFFFF87D\w+ +\d+ gccdrv\.sys", machine.run("drivers"), re.MULTILINE)
        check_ktap(machine.run(r"load D:\extra\talker.sys", 120), "talker", 9)
        check_ktap(machine.run("test driver.user", 60), "driver.user", 2, skips=False)
        output = machine.run("unload gccdrv", 60)
        assert "gccdrv: unloaded" in output and "unload: gccdrv unloads" in output
        assert "gccdrv" not in machine.run("drivers")
    assert counters(machine) == before
    assert "0xC0000034" in machine.run("unload gccdrv")


def test_clang_driver_uses_seh(machine):
    check_ktap(machine.run(r"load D:\extra\clangdrv.sys", 60), "clangdrv", 5)
    assert "clangdrv" not in machine.run("drivers")


def test_missing_import_is_named(machine):
    machine.run(r"load D:\extra\missing.sys", 60)
    before = counters(machine)
    output = machine.run(r"load D:\extra\missing.sys", 60)
    assert "missing.sys: imports NobodyExportsThis, which ntoskrnl.exe does not export" in output
    assert "0xC0000263" in output  # STATUS_DRIVER_ENTRYPOINT_NOT_FOUND
    assert counters(machine) == before


@pytest.mark.parametrize("name", ["short", "notpe", "i386", "program", "imports"])
def test_damaged_images_are_refused(machine, name):
    machine.run(rf"load D:\extra\{name}.sys", 60)
    before = counters(machine)
    output = machine.run(rf"load D:\extra\{name}.sys", 60)
    assert "0xC000007B" in output, output  # STATUS_INVALID_IMAGE_FORMAT
    assert counters(machine) == before


def test_verifier_names_what_a_driver_leaves(machine):
    """One report for each thing left at unload, with the driver's name; a device left keeps the image."""
    machine.run(r"load D:\extra\leaver.sys", 60)
    output = machine.run("unload leaver", 60)
    left = re.findall(r"^\*\*\* VERIFIER leak at unload: leaver\.sys has unloaded and left (.*)", output, re.MULTILINE)
    for what in (r"handle \S+ open", r"a timer armed", r"a block of \d+ bytes, tag 'Irp '", r"a block of \d+ bytes, tag 'Mdl '",
                 r"a block of \d+ bytes, tag 'IWrk'", r"a block of \d+ bytes, tag 'Lave'"):
        assert sum(re.match(what, each) is not None for each in left) == 1, (what, output)
    assert len(left) == 6, output
    assert "leaver.sys+0x" in output, "no stack names the driver"
    machine.run(r"load D:\extra\keeper.sys", 60)
    output = machine.run("unload keeper", 60)
    assert re.search(r"VERIFIER leak at unload: \\Driver\\keeper has unloaded and left device", output), output
