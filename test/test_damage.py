"""Damaged discs and boot modules: a clear message, never a triple fault or a hang; what is undamaged still reads right."""

import re

import pytest

from conftest import BUILD, FILE_SIZES
from harness import Machine, Session, build_iso
from isotools import SECTOR, Disc
from test_read import BIG, on_disc, sha256

STATUS = r"STATUS_\w+ \(0xC[0-9A-F]{7}\)"
BEYOND = 0x7FFFFFF0  # a sector no disc has


@pytest.fixture
def damaged(tmp_path, files):
    """Boots a disc after a function has changed it."""
    sessions = []

    def start(change):
        disc = Disc(build_iso("chk", "test", str(BUILD / "extra")))
        change(disc)
        session = Session(Machine(mem=256), disc=disc.write(tmp_path / "damaged.iso"), log="damage").__enter__()
        sessions.append(session)
        session.wait_prompt()
        return session

    yield start
    for session in sessions:
        session.close()


def test_truncated_disc(damaged, files):
    """The disc ends in the middle of a file."""
    def change(disc):
        first, size = disc.extent(disc.find(f"extra/{BIG}"))
        del disc.data[(first + size // SECTOR // 2) * SECTOR:]

    session = damaged(change)
    assert re.search(rf"^sha256: .*: {STATUS}", session.run(f'sha256 "{on_disc(BIG)}"', 120), re.MULTILINE)
    assert re.search(rf"^type: .*: {STATUS}", session.run(f"type {on_disc('sizes/4096.bin')}", 60), re.MULTILINE)
    assert sha256(session, "empty.bin")[0] == files["empty.bin"]
    session.power_off()


def test_unreadable_sector_of_a_mapped_file(files):
    """A program that touches a page which cannot be read is told by an exception with the device's status; a service returns it."""
    path = build_iso("chk", "test", str(BUILD / "extra"))
    disc = Disc(path)
    first, _ = disc.extent(disc.find("extra/sizes/4096.bin"))
    with Session(Machine(mem=256, faults=((first * SECTOR // 512, False),)), disc=path, log="damage") as session:
        session.wait_prompt()
        told = session.run(r"run uexc inpage \??\D:\extra\sizes\4096.bin", 60)
        assert re.search(r"^in-page error: C[0-9A-F]{7}$", told, re.MULTILINE) and "exit status 0x00000000" in told, told
        assert sha256(session, "sizes/4095.bin")[0] == files["sizes/4095.bin"]
        session.power_off()


def test_extent_beyond_the_disc(damaged, files):
    def change(disc):
        disc.set_extent(disc.find("extra/sizes/4096.bin"), sector=BEYOND)
        disc.set_extent(disc.find("extra/sizes/4097.bin"), size=0xFFFFFF00)

    session = damaged(change)
    for name in ("sizes/4096.bin", "sizes/4097.bin"):
        output = session.run(f"sha256 {on_disc(name)}", 120)
        assert re.search(rf"^sha256: .*: {STATUS}", output, re.MULTILINE), output
    assert sha256(session, "sizes/4095.bin")[0] == files["sizes/4095.bin"]
    session.power_off()


def test_directory_loop(damaged, files):
    """A directory whose child is an ancestor, one whose extent is absurd, one of a size no disc has."""
    def change(disc):
        top = disc.extent(disc.find("extra"))
        disc.set_extent(disc.find("extra/sizes/deeper/and deeper"), *top)
        disc.set_extent(disc.find("extra/Grüße"), sector=BEYOND)

    session = damaged(change)
    deep = "D:\\extra" + "\\sizes\\deeper\\and deeper" * 8
    output = session.run(f'dir "{deep}"', 120)
    assert re.search(STATUS, output) or "one.bin" in output, output
    assert re.search(rf"^dir: .*: {STATUS}", session.run('dir "D:\\extra\\Grüße"', 60), re.MULTILINE)
    assert sha256(session, "sizes/4095.bin")[0] == files["sizes/4095.bin"]
    session.power_off()


def test_damaged_directory_records(damaged, files):
    """Record lengths and names that do not fit their sector."""
    def change(disc):
        record = disc.find("extra/sizes/deeper/262143.bin")
        disc.data[record + 32] = 0xFF  # the name is longer than its record
        record = disc.find("extra/sizes/4095.bin")
        disc.data[record] = 5  # shorter than any record

    session = damaged(change)
    for path in ("sizes", "sizes/deeper"):
        output = session.run(f"dir {on_disc(path)}", 60)
        assert re.search(STATUS, output) or "entries" in output, output
    assert sha256(session, "one.bin")[0] == files["one.bin"]
    session.power_off()


def loader_stops(changes, *words):
    """The loader must name what is wrong and halt: no prompt, no reset."""
    disc = build_iso("chk", "test", None, changes)
    with Session(Machine(mem=64), disc=disc, log="damage") as session:
        found = session.wait_text(r"^osloader: .*(\n|.)*halt", 60)
        assert found, session.text
        for word in words:
            assert word in session.text, session.text
        assert session.wait_text("oriel> |Oriel chk", 2) is None
        assert session.process.poll() is None, "the machine did not halt but end"


def test_module_cut_short(tmp_path):
    whole = (BUILD / "chk" / "ntoskrnl.exe").read_bytes()
    short = tmp_path / "short.exe"
    for length in (0, 63, 500, 4096, 60000):
        short.write_bytes(whole[:length])
        loader_stops(("--replace", f"ntoskrnl.exe={short}"), "ntoskrnl.exe")


def test_module_missing():
    loader_stops(("--omit", "ntoskrnl.exe"), "ntoskrnl.exe")


def test_sizes_cover_pages_and_views():
    """The files that the read tests rely on are the ones the proof asks for."""
    assert {0, 1, 4095, 4096, 4097, 262143, 262144, 262145} <= set(FILE_SIZES.values())


def overwrite(disc, record):
    first, _ = disc.extent(record)
    disc.data[first * SECTOR:first * SECTOR + 64] = bytes(64)


@pytest.mark.parametrize("name, damage, message", [
    ("smss.exe", "missing", r"console: the session manager does not start: STATUS_OBJECT_NAME_NOT_FOUND"),
    ("smss.exe", "damaged", r"console: the session manager does not start: STATUS_INVALID_IMAGE_NOT_MZ"),
    ("ntdll.dll", "missing", r"console: the session manager does not start: STATUS_OBJECT_NAME_NOT_FOUND"),
    ("ntdll.dll", "damaged", r"console: the session manager does not start: STATUS_INVALID_IMAGE_NOT_MZ"),
    ("shell.exe", "missing", r"smss: the shell does not start: 0xC0000034"),
    ("shell.exe", "empty", r"smss: the shell does not start: 0xC\w+"),
    ("shell.exe", "damaged", r"smss: the shell does not start: 0xC000012F"),
])
def test_without_a_shell(tmp_path, name, damage, message):
    """What keeps the shell from starting is said, and the kernel's own prompt is there instead."""
    changes = {"missing": Disc.rename, "damaged": overwrite, "empty": lambda disc, record: disc.set_extent(record, size=0)}
    disc = Disc(build_iso("chk", ""))
    changes[damage](disc, disc.find(f"System/{name}"))
    with Session(Machine(mem=256), disc=disc.write(tmp_path / "damaged.iso"), log="no-shell") as session:
        session.wait_prompt()
        assert re.search(rf"^{message}", session.text, re.MULTILINE), session.text
        assert session.run("echo alive") == "alive\n"
        session.power_off()
