"""ide.sys on a scratch disk: what the suite io.ide read is what was written here, and what it wrote is in the image.

Sector 0 of the image is a header; every other 8-byte word is its byte offset times FACTOR, modulo 2**64. The suite writes
the complement to two areas (test/kernel/ide.c names the same places), so each byte of the image is known afterwards.
"""

import array
import struct

import pytest

from harness import Machine, Session, parse_ktap

MAGIC, FACTOR, MASK = 0x4B5344454C45524F, 0x9E3779B97F4A7C15, (1 << 64) - 1
SECTOR = 512
SIZE = 17 * 16 * 63 * SECTOR  # whole cylinders for Bochs, a bit more than 8 MB
WRITTEN = [range(0x400000, 0x440000), range(0x480000, 0x4C0000)]  # by DMA, by PIO
BROKEN, WEAK = 0x540000 + 37 * SECTOR, 0x580000 + 37 * SECTOR
CASES = ["read_dma", "read_dma_skewed", "read_pio", "write_dma", "write_pio", "beyond_end", "disc"]


def pattern(broken=0, weak=0, stalls=0, written=()):
    """The image's bytes."""
    words = array.array("Q", (offset * FACTOR & MASK for offset in range(0, SIZE, 8)))
    for area in written:
        for offset in area[::8]:
            words[offset // 8] ^= MASK
    header = struct.pack("<QQQQ", MAGIC, broken, weak, stalls)
    return header + words.tobytes()[len(header):]


def run_suite(machine, log):
    """Passed and skipped cases of io.ide; none may fail."""
    with Session(machine, log=log) as session:
        session.wait_prompt()
        ktap = parse_ktap(session.run("test io.ide", 120))
        told = [f"{result.name}: {' '.join(result.diagnostics)}" for result in ktap.failed()]
        assert ktap.ok(), "\n".join(ktap.problems + told)
        session.power_off()
    names = {result.name.removeprefix("io.ide."): result.skipped for result in ktap.results}
    return {name for name in names if not names[name]}, {name for name in names if names[name]}


@pytest.mark.parametrize("emulator, mem", [("qemu", 256), ("bochs", 256), ("qemu", 6144)])
def test_transfers(tmp_path, emulator, mem):
    image = tmp_path / "disk.img"
    image.write_bytes(pattern())
    passed, skipped = run_suite(Machine(emulator=emulator, mem=mem, cmdline="test", disks=(str(image),)), "ide")
    assert passed == set(CASES) and skipped == {"broken_sector", "weak_sector", "stalled_disk"}
    found, wanted = image.read_bytes(), pattern(written=WRITTEN)
    assert len(found) == SIZE
    wrong = [sector for sector in range(SIZE // SECTOR)
             if found[sector * SECTOR:(sector + 1) * SECTOR] != wanted[sector * SECTOR:(sector + 1) * SECTOR]]
    assert not wrong, f"{len(wrong)} sectors differ, the first at {wrong[0] * SECTOR:#x}"


def test_read_errors(tmp_path):
    """One sector always fails, one the first time."""
    image = tmp_path / "disk.img"
    image.write_bytes(pattern(BROKEN, WEAK))
    machine = Machine(mem=256, cmdline="test", disks=(str(image),), faults=((BROKEN // SECTOR, False), (WEAK // SECTOR, True)))
    passed, skipped = run_suite(machine, "ide-errors")
    assert passed == set(CASES) | {"broken_sector", "weak_sector"} and skipped == {"stalled_disk"}
    assert image.read_bytes() == pattern(BROKEN, WEAK, written=WRITTEN)


def test_strange_disk_is_left_alone(tmp_path):
    """A disk without the header may be somebody's: the suite does not touch it."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(SIZE))
    passed, skipped = run_suite(Machine(mem=64, cmdline="test", disks=(str(image),)), "ide-strange")
    assert passed == {"disc"} and len(skipped) == len(CASES) + 2
    assert image.read_bytes() == bytes(SIZE)


def throttle(session, rate):
    """Lets the disk read `rate` bytes a second, 0: as many as it can."""
    limits = dict.fromkeys(("bps", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
    answer = session._qmp_command("block_set_io_throttle", device="ide0-hd0", bps_rd=rate, **limits)
    assert "return" in answer, answer


def test_stalled_disk(tmp_path):
    """The disk answers the suite's first read, then nothing until the driver has given up once."""
    image = tmp_path / "disk.img"
    image.write_bytes(pattern(stalls=1))
    with Session(Machine(mem=256, cmdline="test", disks=(str(image),)), log="ide-stalled") as session:
        session.wait_prompt()
        throttle(session, 1)
        start = len(session.text)
        session.send("test io.ide.stalled_disk\r")
        told = session.wait_text(r"^ide: .*: no answer, resetting the channel", 60, start)
        throttle(session, 0)
        end = session.wait_prompt(60, start)
        assert told, session.text[start:]
        output = session.text[start:end]
        ktap = parse_ktap(output)
        assert ktap.ok() and not ktap.results[0].skipped, output
        session.power_off()
