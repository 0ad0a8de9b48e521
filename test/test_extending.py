"""docs/extending.md keeps its word: its sources are built by its commands in an empty folder, and run."""

import re
import shutil
import subprocess

import pytest

from harness import Machine, Session
from harness.iso import BUILD, ROOT, build_iso

BLOCK = re.compile(r"^```(c|sh) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with hits.sys and ask.exe."""
    build_iso()  # libntdll.a is there afterwards
    scratch, out = tmp_path_factory.mktemp("extending"), tmp_path_factory.mktemp("mydir")
    shutil.copy(BUILD / "chk" / "user" / "libntdll.a", scratch)
    blocks = BLOCK.findall((ROOT / "docs" / "extending.md").read_text())
    assert [name for _, name, _ in blocks] == ["hits.c", "driver", "ask.c", "program"]
    for kind, name, text in blocks:
        if kind == "c":
            (scratch / name).write_text(text)
        else:
            done = subprocess.run(text, shell=True, cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            assert done.returncode == 0, done.stdout
    for name in ("hits.sys", "ask.exe"):
        shutil.copy(scratch / name, out)
    return out


def test_driver_and_program_of_the_page(built):
    with Session(Machine.named("qemu-bios-256-4cpu", cmdline="test", extra=str(built)), log="extending") as session:
        session.wait_prompt()
        assert "hits: here\n" in session.run(r"load D:\extra\hits.sys", 60)
        text = session.run(r"run D:\extra\ask.exe", 60)
        assert "hit 1\nhit 2\n" in text and r"ask.exe: exit status 0x00000000" in text, text
        session.run("unload hits", 60)
        text = session.run(r"run D:\extra\ask.exe", 60)
        assert "exit status 0xC0000034" in text, text
        assert "vf: 0 reports" in session.run("verifier")
