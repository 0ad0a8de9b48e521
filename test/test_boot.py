"""Boots on every machine of the matrix: prompt, commands, line editor, boot options, ends of a boot."""

import re

import pytest

from conftest import MATRIX, machines
from harness import Machine, Session, Status
from harness.session import BugCheck, TimedOut
from harness.verdict import symbolize

COMMANDS = ["crash", "dir", "echo", "help", "iostat", "memstat", "reboot", "sha256", "shutdown", "type", "version"]


@machines(*MATRIX)
def test_prompt(console):
    """The kernel names its flavour before the prompt, and the prompt answers."""
    assert re.search(r"^Oriel chk", console.text, re.MULTILINE)
    assert re.search(r"^Ready", console.text, re.MULTILINE)
    assert console.run("echo one  'two' \"three  four\"") == "one 'two' three  four\n"


@machines(*MATRIX)
def test_help_lists_commands(console):
    listed = [line.split()[0] for line in console.run("help").splitlines() if line.strip()]
    assert listed == sorted(listed)
    assert set(COMMANDS) <= set(listed), set(COMMANDS) - set(listed)
    assert "test" in listed  # this is the chk flavour


@machines("qemu-bios-256")
def test_unknown_command_is_named(console):
    assert "frobnicate" in console.run("frobnicate now")


@machines("qemu-bios-256", "bochs-bios-256")
def test_line_editor(console):
    """Backspace, cursor keys, kill, history: judged by what the command then printed."""
    assert console.run("echo onw\x7fe").splitlines()[-1] == "one"
    assert console.run("garbage\x15echo killed").splitlines()[-1] == "killed"
    assert console.run("echo ac\x1b[Db").splitlines()[-1] == "abc"
    assert console.run("cho home\x1b[He\x1b[F!").splitlines()[-1] == "home!"
    assert console.run("echo first").splitlines()[-1] == "first"
    assert console.run("\x1b[A").splitlines()[-1] == "first"
    assert console.run("\x1b[A\x1b[A\x1b[B again").splitlines()[-1] == "first again"


@machines("qemu-bios-256", "bochs-bios-256")
def test_interrupted_line_does_nothing(console):
    start = len(console.text)
    console.send("echo never\x03")
    assert console.wait_text(r"\^C\noriel> ", 20, start)
    assert console.run("echo after").splitlines()[-1] == "after"


@machines("qemu-bios-256", "bochs-bios-256")
def test_no_input_is_lost(console):
    """Hundreds of commands pasted at once, on QEMU more than the console's ring holds. Each must run, in order, whole."""
    start = len(console.text)
    count = 1200 if console.machine.emulator == "qemu" else 300
    console.send("".join(f"echo line {number:04} abcdefghijklmnopqrstuvwxyz\r" for number in range(count)))
    assert console.wait_text(rf"^line {count - 1:04} abcdefghijklmnopqrstuvwxyz\n", 240, start)
    console.wait_prompt(60, console.text.rindex(f"\nline {count - 1:04}"))
    lines = re.findall(r"^line (\d+) (\w+)$", console.text[start:], re.MULTILINE)
    assert [int(number) for number, _ in lines] == list(range(count))
    assert {rest for _, rest in lines} == {"abcdefghijklmnopqrstuvwxyz"}


@machines("qemu-bios-256")
def test_long_line_is_cut_not_fatal(console):
    console.run("echo " + "x" * 600)
    assert console.run("echo alive").splitlines()[-1] == "alive"


def boot(cmdline="test", **settings):
    return Session(Machine(cmdline=cmdline, mem=256, **settings))


@pytest.mark.parametrize("emulator,firmware", [("qemu", "bios"), ("qemu", "uefi"), ("bochs", "bios")])
def test_shutdown_of_fre(emulator, firmware):
    """The free flavour boots, has no tests built in, and powers off."""
    with boot(emulator=emulator, firmware=firmware, flavor="fre") as session:
        session.wait_prompt()
        assert "Oriel fre" in session.text
        assert not re.search(r"^test ", session.run("help"), re.MULTILINE)
        session.power_off()


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_reboot_comes_back(emulator):
    with boot(emulator=emulator) as session:
        session.wait_prompt()
        session.run("reboot")
        assert len(re.findall(r"^Oriel chk", session.text, re.MULTILINE)) == 2
        session.power_off()


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_unknown_boot_option_is_named(emulator):
    with boot("test frobnicate=1 nokaslr", emulator=emulator) as session:
        session.wait_prompt()
        assert 'unknown boot option "frobnicate' in session.text
        assert 'unknown boot option "nokaslr' not in session.text and 'unknown boot option "test' not in session.text
        session.power_off()


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_crash_is_a_symbolised_bug_check(emulator):
    with boot(emulator=emulator) as session:
        session.wait_prompt()
        with pytest.raises(BugCheck) as caught:
            session.run("crash")
    stop = caught.value.stop
    assert stop.complete and len(stop.stack) >= 3
    text = symbolize(stop.text, "chk")
    assert re.search(r"#\d+ .*\.c:\d+", text), text


def test_hang_shows_every_stack():
    """A loop with interrupts off still answers an NMI."""
    with boot() as session:
        session.wait_prompt()
        with pytest.raises(TimedOut) as caught:
            session.run("crash hang", 5)
    assert caught.value.status == Status.TIME_OUT
    assert re.search(r"^\s*#0 .*ntoskrnl\.exe", caught.value.stacks, re.MULTILINE), caught.value.stacks
