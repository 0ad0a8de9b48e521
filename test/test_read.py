"""Proofs that a file on the disc is read right, that a second read touches no disk, and that the kernel maps little.

The figures come from the console: `iostat` counts what reached the disk, `memstat` counts frames by state and what the
kernel half maps by region, `squeeze` takes all free and standby frames for a moment so that they are repurposed.
"""

import re

from conftest import FILE_SIZES, MATRIX, machines

BIG = next(name for name, size in FILE_SIZES.items() if size > 4 << 20)
PAGE = 4096
# Filling 6 GB takes QEMU 15 s and Bochs minutes: once is enough.
SQUEEZED = [one for one in MATRIX if not one.endswith("-6144")] + ["qemu-bios-6144"]


def on_disc(name):
    return "D:\\extra\\" + name.replace("/", "\\")


def sha256(console, name):
    """The console's digest of one file, and how many bytes it says it read."""
    output = console.run(f'sha256 "{on_disc(name)}"', 240)
    found = re.search(r"^([0-9a-f]{64})  .* \((\d+) bytes\)$", output, re.MULTILINE)
    assert found, output
    return found.group(1), int(found.group(2))


@machines(*MATRIX)
def test_every_file_is_read_right(console, files):
    for name, digest in files.items():
        assert sha256(console, name) == (digest, FILE_SIZES[name]), name


@machines(*MATRIX)
def test_directories_are_listed(console, files):
    listed = console.run("dir D:\\extra")
    for name in {name.split("/")[0] for name in files}:
        assert re.search(rf"(<DIR>|\d) {re.escape(name)}$", listed, re.MULTILINE), (name, listed)
    assert re.search(r" 262144 262144\.bin$", console.run("dir d:/extra/SIZES/deeper"), re.MULTILINE)


def disk_reads(console):
    """Requests and bytes that reached a disk or disc device so far."""
    output = console.run("iostat")
    found = re.search(r"^disk reads (\d+) bytes (\d+)", output, re.MULTILINE)
    assert found, output
    return int(found.group(1)), int(found.group(2))


def cached_pages(console, name):
    """A file's pages in memory by state, {} when it has none."""
    output = console.run("standby")
    for line in output.splitlines():
        found = re.match(r"\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(.*)$", line)
        if found and found.group(6).lower().endswith(on_disc(name)[2:].lower()):
            return dict(zip(("total", "active", "standby", "modified", "transition"), map(int, found.groups()[:5])))
    return {}


@machines(*SQUEEZED)
def test_second_read_touches_no_disk(console, files):
    """The first read fills standby, the second finds it there; once memory was filled, the third reads the disc again."""
    pages = -(-FILE_SIZES[BIG] // PAGE)
    console.run("squeeze")
    before = disk_reads(console)
    assert sha256(console, BIG)[0] == files[BIG]
    first = disk_reads(console)
    assert first[1] - before[1] >= FILE_SIZES[BIG], "the first read did not come from the disc"
    cached = cached_pages(console, BIG)
    assert cached.get("standby") == pages and cached["active"] == cached["transition"] == 0, cached
    assert sha256(console, BIG)[0] == files[BIG]
    assert disk_reads(console) == first, "the second read went to the disc"
    assert cached_pages(console, BIG) == cached
    console.run("squeeze")
    assert cached_pages(console, BIG).get("standby", 0) == 0, "filling memory left the file's frames alone"
    assert sha256(console, BIG)[0] == files[BIG]
    assert disk_reads(console)[1] - first[1] >= FILE_SIZES[BIG]


@machines("qemu-bios-6144", "qemu-uefi-6144", "bochs-bios-6144")
def test_frames_above_4_gb_are_used(console, files):
    """The disc's DMA reaches 32 bits: a page that was bounced since power-on lies above 4 GB."""
    assert sha256(console, BIG)[0] == files[BIG]
    output = console.run("iostat")
    found = re.search(r"bounced pages (\d+)", output)
    assert found and int(found.group(1)) > 0, output
    cost = re.search(r"^cost: .*\((\d+) large and (\d+) small pages\)$", console.run("memstat"), re.MULTILINE)
    assert cost and int(cost[1]) > 6144 // 256 // 2, "2 MB pages of entries cover most of RAM"


def exposure(console):
    """Rows of memstat's exposure table: {region: (frames, percent)}."""
    output = console.run("memstat")
    rows = {name: (int(frames), float(percent)) for name, frames, percent in
            re.findall(r"^  (\w[\w ]*?)\s+(\d+)\s+\d+ KB\s+([\d.]+) %$", output, re.MULTILINE)}
    equal = re.search(r"^exposure counters and table walk: equal \((\d+) and \1\)$", output, re.MULTILINE)
    assert equal, output
    assert re.search(r"^cost: page tables \d+ KB, PFN database \d+ KB", output, re.MULTILINE), output
    return rows


@machines("qemu-bios-512")
def test_exposure_is_small(console, files):
    """Under 3 % of 512 MB at the prompt, by counters that a walk of the page tables confirms; under 10 % while reading."""
    rows = exposure(console)
    assert 0 < rows["total"][1] < 3.0
    for name in files:
        assert sha256(console, name)[0] == files[name]
    rows = exposure(console)
    assert 0 < rows["total"][1] < 3.0
    assert rows["total"][0] < rows["peak"][0] and rows["peak"][1] < 10.0
    print(f"exposure: total {rows['total']}, peak {rows['peak']}")


@machines(*MATRIX)
def test_invariants_hold_after_reading(console, files):
    for name in ("sizes/deeper/262144.bin", "sizes/4097.bin"):
        assert sha256(console, name)[0] == files[name]
    assert "every frame, share and counter is as it should be" in console.run("verify", 120)
    exposure(console)
