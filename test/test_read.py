"""Proofs that a file on the disc is read right, that a second read touches no disk, and that the kernel maps little.

The figures come from the console: `iostat` counts what reached the disk, `memstat` counts frames by state and what the
kernel half maps by region, `squeeze` takes all free and standby frames for a moment so that they are repurposed.
"""

import re

from conftest import FILE_SIZES, MATRIX, machines

BIG = next(name for name, size in FILE_SIZES.items() if size > 4 << 20)
PAGE = 4096
FOUR_GB_MB = 4096


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
