"""What the machine's own display shows is what the serial port printed: read back from EGA memory and from pixels."""

import pathlib
import re
import time

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


def shows(read, lines, words):
    """Text goes to the serial port first, so the display may be a moment behind: True once it shows the lines last."""
    for _ in range(40):
        screen = read()
        used = max((index for index, line in enumerate(screen) if line), default=0)
        if [line.rstrip() for line in screen[used - len(lines) + 1:used + 1]] == lines and words in "".join(screen):
            return True
        time.sleep(0.1)
    print("\n".join(screen))
    return False


@machines("qemu-bios-256")
def test_text_screen(console, tmp_path):
    def read():
        console._qmp_command("pmemsave", val=0xB8000, size=4000, filename=str(tmp_path / "ega"))
        cells = (tmp_path / "ega").read_bytes()[::2].decode("latin-1")
        rows = [cells[start:start + 80] for start in range(0, 2000, 80)]
        return [row if row.strip() else "" for row in rows]

    fill(console)
    assert shows(read, ["oriel> echo last", "last", "oriel>"], WORDS)


@machines("qemu-uefi-256")
def test_framebuffer(console, tmp_path):
    glyphs = font()

    def read():
        console._qmp_command("screendump", filename=str(tmp_path / "screen.ppm"))
        return [line.replace("\a", "") for line in screen_of_pixels(tmp_path / "screen.ppm", glyphs)]

    fill(console)
    assert shows(read, ["oriel> echo last", "last", "oriel>"], WORDS)
