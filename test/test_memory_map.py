"""What a person sees of memory: `rammap`, `pfnmap`, the live view of `memstat`, and the page that scripts/memory-map draws of them.

One boot. The page is read back: its PNGs are decoded, and pixels and numbers are compared with what the kernel counted.
"""

import base64
import html
import importlib.machinery
import importlib.util
import re
import struct
import subprocess
import sys
import zlib

from conftest import machines
from harness.iso import ROOT

MACHINE = "qemu-bios-256"


def load():
    """scripts/memory-map as a module."""
    loader = importlib.machinery.SourceFileLoader("memory_map", str(ROOT / "scripts" / "memory-map"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("memory_map", loader))
    loader.exec_module(module)
    return module


def pixels(png):
    """(width, height, colours of all pixels as #rrggbb, None for a transparent one) of a PNG with a palette."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        data = png[at + 8:at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length:at + 12 + length])[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + length
    width, height, depth, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, kind) == (8, 3)
    rows = zlib.decompress(chunks[b"IDAT"])
    palette = [f"#{chunks[b'PLTE'][3 * i:3 * i + 3].hex()}" for i in range(len(chunks[b"PLTE"]) // 3)]
    shown = [colour if alpha else None for colour, alpha in zip(palette, chunks[b"tRNS"])]
    assert len(rows) == height * (width + 1) and all(rows[row * (width + 1)] == 0 for row in range(height))
    return width, height, [shown[rows[row * (width + 1) + 1 + x]] for row in range(height) for x in range(width)]


def table(page, name):
    """{name: (colour, frames)} of a legend, and the number of frames in its last row."""
    text = re.search(rf'<table id="{name}-legend">(.*?)</table>', page, re.DOTALL)[1]
    rows = re.findall(r'background:(#\w+)"></i></td><td>([^<]+)</td><td class=n>(\d+)</td>', text)
    return {row[1]: (row[0], int(row[2])) for row in rows}, int(re.search(r"<td>RAM</td><td class=n>(\d+)</td>", text)[1])


@machines(MACHINE)
def test_rammap_adds_up(console):
    """Each row's states are its total, each column's rows are the last row, and that is RAM; files are images, mapped files and cache."""
    text = console.run("run hello") and console.run("rammap")
    rows = re.findall(r"^  (\S.{15})" + r" +(\d+)" * 7 + r" +(\d+) KB$", text, re.MULTILINE)
    rows = {row[0].strip(): [int(number) for number in row[1:]] for row in rows}
    total = rows.pop("total")
    assert len(rows) == 18 and total[0] == int(re.search(r"^RAM: (\d+) frames$", text, re.MULTILINE)[1])
    for name, row in rows.items():
        assert row[0] == sum(row[1:7]) and row[7] == 4 * row[0], name
    assert [sum(column) for column in zip(*rows.values())] == total
    standby = re.search(r"^standby by priority: ([\d ]+)$", text, re.MULTILINE)[1]
    assert sum(map(int, standby.split())) == total[2]
    files = re.findall(r"^ +(\d+) +(\d+) +(\d+)  (image|mapped|cache) +(\S.*)$", text, re.MULTILINE)
    for kind, use in (("image", "image"), ("mapped", "mapped file"), ("cache", "cache")):
        found = [sum(int(row[column]) for row in files if row[3] == kind) for column in range(3)]
        assert found == rows[use][1:4], kind
    assert {r"\System\ntdll.dll", r"\System\hello.exe"} <= {row[4] for row in files if row[3] == "image"}
    assert rows["PFN database"][1] >= total[0] // 128 and rows["kernel image"][0] > 100 and rows["kernel stack"][0] >= 6


@machines(MACHINE)
def test_picture_shows_every_frame(console, tmp_path):
    """The page's numbers are the kernel's; a picture has as many pixels as there are frames, of each colour as many as its row says."""
    module = load()
    text = console.run("rammap") + "\n" + console.run("pfnmap", 60)
    transcript, output = tmp_path / "transcript.txt", tmp_path / "map.html"
    transcript.write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, ROOT / "scripts" / "memory-map", "--transcript", transcript, "--output", output], check=True)
    page = output.read_text(encoding="utf-8")
    kernel = module.FrameMap(text)
    assert kernel.frames == int(re.search(r"^RAM: (\d+) frames$", text, re.MULTILINE)[1])
    assert "http" not in page  # it needs nothing from elsewhere
    for which, legend in (("state", kernel.states), ("use", kernel.uses)):
        drawn, frames = table(page, which)
        assert frames == kernel.frames and sum(count for _, count in drawn.values()) == frames
        assert {name: count for name, (_, count) in drawn.items()} == dict(legend.values())
        assert len({shade for shade, _ in drawn.values()}) == len(drawn), "two rows of one colour"
        image = base64.b64decode(re.search(rf'id="{which}-picture"[^>]*base64,([^"]+)"', page)[1])
        width, height, colours = pixels(image)
        assert width == module.WIDTH and height == -(-frames // width)
        assert len(colours) - colours.count(None) == frames
        for name, (shade, count) in drawn.items():
            assert colours.count(shade) == count, name
    assert html.unescape(re.search(r"<pre>(.*?)</pre>", page, re.DOTALL)[1]) == module.rammap_of(text).strip()


def test_broken_map_is_refused(tmp_path):
    """A map that lacks frames, or its end, makes no picture."""
    good = "pfnmap 3 frames of 4096 bytes in 1 runs\nstate Z 3 Zeroed\nuse a 3 unused\nrun 0x1 3\n= Za3\npfnmap end\n"
    for bad in (good.replace("Za3", "Za2"), good.replace("pfnmap end", ""), good.replace("0x1 3", "0x1 4"), "nothing"):
        transcript = tmp_path / "bad.txt"
        transcript.write_text("\n" + bad, encoding="utf-8")
        done = subprocess.run([sys.executable, ROOT / "scripts" / "memory-map", "--transcript", transcript,
                               "--output", tmp_path / "bad.html"], stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 1 and done.stderr.startswith("memory-map: "), bad
        assert not (tmp_path / "bad.html").exists()


@machines(MACHINE)
def test_live_view_ends_with_a_key(console):
    """memstat N shows itself again every N seconds until a key comes; the key is not taken for a command."""
    start = len(console.text)
    console.send("memstat 1\r")
    assert console.wait_text(r"^faults a second: \d+; .*\n(?:.*\n)+faults a second: \d+", 30, start)
    shown = console.text[start:]
    assert re.search(r"^  commit +[#.]{40} +\d+ +\d+ KB$", shown, re.MULTILINE)
    assert re.search(r"^  Active +#[#.]{39} +\d+ +\d+ KB$", shown, re.MULTILINE)
    console.send("x")
    console.wait_prompt(20, start + 10)
    assert console.run("echo after").splitlines()[-1] == "after"
    assert "a number of seconds" in console.run("memstat 0") and "a number of seconds" in console.run("memstat soon")
