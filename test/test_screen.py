"""What the machine's own display shows is what the serial port printed: read back from EGA memory and from pixels."""

import pathlib
import re

from conftest import machines

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORDS = "The quick brown fox jumps over the lazy dog 0123456789 !#$%&()*+,-./:;<=>?@[]^_{|}~ `'"
CELL = 16


def font():
    """{rows of dots: letter} from src/console/font.c."""
    text = (ROOT / "src" / "console" / "font.c").read_text()
    rows = re.findall(r"^    \{((?:0x[0-9A-F]{2}(?:, )?){8})\},", text, re.MULTILINE)
    assert len(rows) == 95
    return {tuple(int(word, 16) for word in row.split(", ")): chr(32 + index) for index, row in enumerate(rows)}


def screen_of_pixels(path, glyphs):
    """The text on a screendump (PPM), cell by cell; an unknown cell is a bell."""
    header, size, _, pixels = path.read_bytes().split(b"\n", 3)
    assert header == b"P6"
    width, height = map(int, size.split())
    lines = []
    for top in range(0, height - CELL + 1, CELL):
        line = ""
        for left in range(0, width - 7, 8):
            rows = []
            for y in range(0, CELL, 2):
                start = ((top + y) * width + left) * 3
                dots = [pixels[start + x * 3] > 64 for x in range(8)]
                rows.append(sum(1 << (4 - x) for x in range(5) if dots[x + 1]))
            line += glyphs.get(tuple(rows), "\a")
        lines.append(line.rstrip())
    return lines


def fill(console):
    """Prints enough to scroll, then a long line that wraps and a last one."""
    for number in range(12):
        console.run(f"echo row {number}")
        console.run("help")
    console.run("echo " + WORDS)
    console.run("echo last")


@machines("qemu-bios-256")
def test_text_screen(console, tmp_path):
    fill(console)
    console._qmp_command("pmemsave", val=0xB8000, size=4000, filename=str(tmp_path / "ega"))
    cells = (tmp_path / "ega").read_bytes()[::2].decode("latin-1")
    shown = "".join(cells)
    assert WORDS in shown
    assert [cells[row * 80:row * 80 + 80].rstrip() for row in (22, 23, 24)] == ["oriel> echo last", "last", "oriel>"]


@machines("qemu-uefi-256")
def test_framebuffer(console, tmp_path):
    fill(console)
    console._qmp_command("screendump", filename=str(tmp_path / "screen.ppm"))
    lines = screen_of_pixels(tmp_path / "screen.ppm", font())
    used = max(index for index, line in enumerate(lines) if line.strip())
    assert lines[used - 2:used] == ["oriel> echo last", "last"] and lines[used].startswith("oriel>")
    assert WORDS in lines
