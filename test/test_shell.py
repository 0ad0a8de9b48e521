"""The shell on the console: commands, scripts, pipes, Ctrl-C, history, keyboard; and what happens when there is no shell.

One boot a machine, with `console=shell`. The scripts and files are those of test/cmd, below D:\\extra; tcon.exe is a program of test/user.
"""

import re

import pytest

from harness import Machine, Session, parse_ktap
from harness.iso import ROOT

MACHINES = ["qemu-bios-256", "qemu-bios-256-4cpu", "bochs-bios-256"]

BASIC = r"""one uno two 2 3 all uno 2 3
100%
green green []
five 5
not six
then
else
other
a
b
counted to 3
there
line 1
line 2
line 3
line 4
line 5
line 6
line 7
line 8
line 9
line 10
line 11
line 12
line 13
line 14
line 15
line 16
line 17
line 18
line 19
line 20
[piped]
1 lines, 0xC000014B
6ca9d5edb68deaadc1d3130c5fc3ec36e12db72ad54e93edcd63bdfb40a83300  - (21 bytes)
[first
second]
1 lines, 0xC0000011
> D:\out.txt: no file system here takes writes
"""


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(f"shell-{name}")) for name in MACHINES])
def shell(request):
    machine = Machine.named(request.param, cmdline="test console=shell", extra=str(ROOT / "test" / "cmd"))
    with Session(machine, log=f"shell-{request.param}", shell=True) as session:
        session.wait_prompt()
        yield session


def begin(session, command, expected, timeout=60, end="\r"):
    """Types a command and waits for a line of its output; returns where its output begins."""
    start = len(session.text)
    session.send(command + end)
    assert session.wait_text(expected, timeout, start), session.text[start:]
    return start


def test_banner_and_help(shell):
    assert "Oriel's shell." in shell.text
    text = shell.run("help")
    for word in ("tasklist", "hexdump", "memstat", "objects"):
        assert re.search(rf"^{word} ", text, re.MULTILINE), word
    assert shell.run("help wait").startswith("wait PID\n")
    assert "memstat" in shell.run("help memstat")
    assert shell.run("help nothing") == "help: nothing: no such command\n"
    assert shell.run("nothing") == "nothing: no such command (`help` lists them)\n"


def test_programs(shell):
    assert shell.run('HELLO "two words"') == 'hello, world\ncommand line: HELLO "two words"\n'
    assert shell.run("echo %errorlevel%") == "42\n"
    assert shell.run("tcon crash").endswith("\ntcon: STATUS_ACCESS_VIOLATION (0xC0000005)\n")
    assert "exit status 0x0000002A" in shell.run(r"run D:\System\hello.exe x")


def test_directories_and_files(shell):
    assert shell.run("cd extra") == ""
    assert shell.run("cd") == "D:\\extra\\\n"
    assert "two.txt" in shell.run("dir")
    assert shell.run("type two.txt") == "first\nsecond\n"
    assert shell.run(r"hexdump ..\extra\.\TWO.TXT").startswith("00000000 66 69 72 73 74 0a 73 65 63 6f 6e 64 0a")
    assert shell.run("sha256 two.txt").startswith("dbea9325179efe46ea2add94f7b6b745ca983fabb208dc6d34aa064623d7ee23")
    assert "STATUS_OBJECT_NAME_NOT_FOUND" in shell.run("type none")
    assert shell.run(r"cd \ ") == ""


def test_script(shell):
    text = shell.run('D:\\extra\\basic uno 2 "2 3"'.replace("2 \"", "\"", 1), 120)
    assert text == BASIC
    assert shell.run("echo %errorlevel%") == "9\n"


def test_script_is_shown(shell):
    text = shell.run(r"D:\extra\shown.cmd")
    assert text == "D:\\>echo shown\nshown\nhidden\nD:\\>D:\\extra\\count.cmd 0\n"


def test_pipes_with_kernel_commands(shell):
    """What the kernel's commands print goes through a pipe too; a reader that ends early ends nobody else."""
    text = shell.run("objects | tcon lines")
    assert "Process" in text and re.search(r"^\d+ lines, 0xC000014B$", text, re.MULTILINE)
    assert shell.run("help | hello").startswith("hello, world\n")
    assert re.search(r"^[0-9a-f]{64}  - \(\d+ bytes\)$", shell.run("type D:\\System\\hello.exe | sha256"), re.MULTILINE)


def test_more_asks(shell):
    start = begin(shell, "tcon many 40 | more", "-- more --")
    shell.send("  ")
    shell.wait_prompt(60, start)
    assert "line 64\n" in shell.text[start:]
    start = begin(shell, "tcon many 40 | more", "-- more --")
    shell.send("q")
    shell.wait_prompt(60, start)
    assert "line 64\n" not in shell.text[start:]


def test_reading_lines(shell):
    """A program gets lines that were edited, the end of the input, and what was typed ahead of it."""
    start = begin(shell, "tcon lines\rab\x7fc\x1b[Dd\r\x04", "lines, 0xC0000011", end="")
    assert "[acd]\n1 lines" in shell.text[start:]
    shell.wait_prompt(60, start)


def test_ctrl_c(shell):
    start = begin(shell, "tcon spin", "^spinning")
    shell.send("\x03")
    shell.wait_prompt(60, start)
    assert shell.run("echo %errorlevel%") == f"{0xC000013A - (1 << 32)}\n"
    start = begin(shell, r"D:\extra\endless", "^spinning")  # the script ends too
    shell.send("\x03")
    shell.wait_prompt(60, start)
    assert "survived" not in shell.text[start:]
    start = begin(shell, "tcon spin | more", "^spinning")
    shell.send("\x03")
    shell.wait_prompt(60, start)
    start = begin(shell, "tcon event", "^waiting")  # it asked for an event instead
    shell.send("\x03")
    shell.wait_prompt(60, start)
    assert "event\n" in shell.text[start:] and shell.run("echo %errorlevel%") == "5\n"
    start = begin(shell, "tcon lines", "tcon lines\n")  # a read that waits
    shell.send("ab")
    assert shell.wait_text("ab$", 60, start)
    shell.send("\x03")
    shell.wait_prompt(60, start)


def test_background(shell):
    """start, tasklist, wait, kill; Ctrl-C ends a wait, not what is waited for."""
    before = len(shell.text)
    text = shell.run("start tcon spin")
    assert shell.wait_text("^.*spinning$", 60, before)  # it prints whenever it comes to it
    pid = re.search(r"^\d+$", text, re.MULTILINE)[0]
    assert re.search(rf"^ *{pid} .*tcon\.exe$", shell.run("tasklist"), re.MULTILINE)
    start = begin(shell, f"wait {pid}", "wait .*\n")
    shell.send("\x03")
    shell.wait_prompt(60, start)
    assert shell.run(f"kill {pid}") == ""
    assert "STATUS_INVALID_CID" in shell.run(f"wait {pid}") or "exit status 0x00000001" in shell.text
    assert "tcon.exe" not in shell.run("tasklist")


def test_line_editing(shell):
    assert shell.run("ehox\x7f\x1b[D\x1b[Dc\x1b[F one") == "one\n"
    assert shell.run("\x1b[A") == "one\n"  # up
    assert shell.run("echo two") == "two\n"
    assert shell.run("\x1b[A\x1b[A") == "one\n"
    assert shell.run("type D:\\ext\ttwo.\t") == "first\nsecond\n"  # completion
    assert "  echo two\n" in shell.run("history")
    start = begin(shell, "echo never\x03", r"\^C", end="")
    shell.wait_prompt(60, start + 1)
    assert "\nnever" not in shell.text[start:]


def test_device(shell):
    ktap = parse_ktap(shell.run("tcon device", 60))
    assert ktap.ok() and len(ktap.results) == 8


def test_keyboard(shell):
    """Keys of the PS/2 keyboard come to the same prompt."""
    if shell.machine.emulator != "qemu":
        pytest.skip("the monitor's sendkey is QEMU's")
    start = len(shell.text)
    shell.press("e", "c", "h", "o", "spc", "shift-a", "caps_lock", "b", "shift-c", "caps_lock", "shift-1", "x", "left", "minus",
                "ret")
    end = shell.wait_prompt(60, start + 1)
    assert "\nABc!-x\n" in shell.text[start:end]
    start = len(shell.text)
    shell.press("up", "ret")
    again = shell.wait_text(r"^ABc!-x\nD:", 60, start)
    assert again
    shell.wait_prompt(60, again.end() - 3)
    start = begin(shell, "tcon spin", "^spinning")
    shell.press("ctrl-c")
    shell.wait_prompt(60, start)


def test_shell_is_restarted(shell):
    start = begin(shell, "exit 3", "smss: the shell has ended: 0x00000003")
    shell.wait_prompt(60, start + 8)
    assert shell.run("echo again") == "again\n"


@pytest.mark.xdist_group("shell-none")
def test_kernel_prompt():
    """Boot option `test` opens the kernel's prompt; programs have the console there too, and Ctrl-C ends them."""
    with Session(Machine.named("qemu-bios-256", cmdline="test"), log="shell-none") as session:
        session.wait_prompt()
        assert "hi\nshell: exit status 0x00000000" in session.run("run shell /c echo hi", 60)
        assert "shell does not start" not in session.text
        start = len(session.text)
        session.send("run tcon spin\r")
        assert session.wait_text("^spinning", 60, start)
        session.send("\x03")
        session.wait_prompt(60, start)
        assert "tcon: exit status 0xC000013A" in session.text[start:]
