"""The harness judged by transcripts that no machine printed, and by a stand-in emulator that misbehaves on purpose."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from harness import Machine, Session, SessionError, Status, UsageError, find_stop, parse_ktap
from harness.session import name_frames
from harness.verdict import find_stacks

HERE = pathlib.Path(__file__).resolve().parent
BOOT = HERE.parent / "scripts" / "boot"
STOP = ("*** STOP 0x0000001E (0xC0000005, 0x1, 0x2, 0x3) KMODE_EXCEPTION_NOT_HANDLED\n"
        "RAX 0\n  #0 0xFFFFF80000001234 ntoskrnl.exe+0x1234\n  #1 0xFFFFF80000001300 ide.sys+0x300\n*** END STOP\n")


class FakeMachine(Machine):
    """A machine whose emulator is fake_emulator.py."""

    behaviour = "normal"

    def qemu(self, disc, directory, com1, com2):
        return [sys.executable, str(HERE / "fake_emulator.py"), com1.removeprefix("unix:"), str(directory / "qmp"),
                self.behaviour]


@pytest.fixture
def fake(monkeypatch):
    """A session with the stand-in, whose waits are short."""
    for name in ("STOP_SECONDS", "NMI_SECONDS", "EXIT_SECONDS"):
        monkeypatch.setattr(f"harness.session.{name}", 1)

    def start(behaviour="normal"):
        machine = FakeMachine()
        machine.behaviour = behaviour
        return Session(machine, disc="none", log="fake")

    return start


def failure(session, *commands, timeout=1.5):
    """Boots and types; returns the SessionError that must come of it."""
    with pytest.raises(SessionError) as caught:
        with session:
            session.wait_prompt(timeout)
            for command in commands:
                session.run(command, timeout)
            session.power_off()
    return caught.value


def test_stop_is_found_whole():
    stop = find_stop("Oriel\noriel> crash\n" + STOP + "more")
    assert (stop.code, stop.name, stop.complete) == (0x1E, "KMODE_EXCEPTION_NOT_HANDLED", True)
    assert stop.parameters == [0xC0000005, 1, 2, 3]
    assert len(stop.stack) == 2 and stop.text.endswith("*** END STOP")


@pytest.mark.parametrize("length", range(len("*** STOP 0x0000001E"), len(STOP) - 1, 7))
def test_stop_is_found_when_cut(length):
    stop = find_stop("text\n" + STOP[:length])
    assert stop is not None and stop.code == 0x1E and not stop.complete or "END STOP" in stop.text


def test_no_stop_in_the_middle_of_a_line():
    assert find_stop("he printed *** STOP 0x1 (0x0) X") is None
    assert find_stop("") is None


def test_stacks_between_marks():
    assert find_stacks("a\n*** NMI\n  #0 0x1 x+0x1\n*** END NMI\nb").count("\n") == 2
    assert find_stacks("a\n*** NMI\n  #0") == "*** NMI\n  #0"
    assert find_stacks("nothing") == ""


def test_frames_of_bochs_are_named():
    listing = "rip: fffff800_10001000\n<bochs:3> bt 24\n0000000000000000 -> fffff80010001234 (<unknown>)\n"
    named = name_frames(listing, "osloader: ntoskrnl.exe at 0xFFFFF80010000000\nosloader: ide.sys at 0xFFFFF80011000000\n")
    assert "  #0 0xFFFFF80010001234 ntoskrnl.exe+0x1234" in named
    assert "?+0x" in name_frames("00000000 -> 00000000000000ff (x)\n", "")


def test_ktap_good():
    ktap = parse_ktap("KTAP version 1\n1..3\nok 1 a.b # 12 us\nok 2 a.c # SKIP no disk\n# a note\nok 3 d.e\n")
    assert ktap.ok() and [result.name for result in ktap.results] == ["a.b", "a.c", "d.e"]
    assert ktap.results[1].skipped and not ktap.results[0].skipped


@pytest.mark.parametrize("text,problem", [
    ("KTAP version 1\n1..2\nok 1 a\n", "2 cases planned, 1 reported"),
    ("1..1\nok 1 a\n", "no line `KTAP version 1`"),
    ("KTAP version 1\nok 1 a\n", "no plan"),
    ("KTAP version 1\n1..2\nok 1 a\nok 3 b\n", "gaps"),
    ("KTAP version 1\n1..1\nok 1 a\nBail out! no memory\n", "Bail out!"),
    ("", "no line"),
])
def test_ktap_that_proves_nothing(text, problem):
    ktap = parse_ktap(text)
    assert not ktap.ok() and any(problem in one for one in ktap.problems)


def test_ktap_failure_keeps_its_diagnostics():
    ktap = parse_ktap("KTAP version 1\n1..1\n# a: file.c:3: X\nnot ok 1 a # 3 us\n")
    assert not ktap.ok() and ktap.failed()[0].diagnostics == ["# a: file.c:3: X"]


@pytest.mark.parametrize("settings", [
    {"storage": "nvme"}, {"storage": "ahci"}, {"storage": "virtio"}, {"emulator": "bochs", "firmware": "uefi"},
    {"emulator": "bochs", "icount": True}, {"cpus": 0}, {"mem": 1}, {"disks": ("/no/such",)}, {"extra": "/no/such"},
])
def test_what_does_not_exist_is_usage(settings):
    with pytest.raises(UsageError):
        Machine(**settings).check()


def test_conversation(fake):
    with fake() as session:
        session.wait_prompt(5)
        assert session.run("hello", 5) == "<hello>\n"
        assert session.run("split", 5) == "one\noriel] not yet\n"
        assert "Power off." in session.power_off()


@pytest.mark.parametrize("command,status,words", [
    ("stop", Status.BUG_CHECK, "IRQL_NOT_LESS_OR_EQUAL"), ("cut", Status.BUG_CHECK, "0x0000000A"),
    ("mute", Status.BUG_CHECK, "without a word"), ("triple", Status.BUG_CHECK, "triple fault"),
    ("die", Status.EMULATOR, "signal 9"), ("hang", Status.TIME_OUT, "`hang`"),
])
def test_ends(fake, command, status, words):
    error = failure(fake(), "hello", command)
    assert error.status == status and words in str(error)


def test_hang_shows_stacks(fake):
    assert "#0 0xFFFFF80000003000" in failure(fake(), "hang").stacks


def test_hang_that_is_deaf_shows_something(fake):
    assert "no answer to the NMI" in failure(fake("deaf"), "hang").stacks


def test_no_prompt_is_a_time_out(fake):
    assert failure(fake("silent")).status == Status.TIME_OUT


def test_power_off_that_does_not_come(fake):
    error = failure(fake("stays"))
    assert error.status == Status.TIME_OUT and "power" in str(error)


def test_emulator_that_does_not_start(fake, monkeypatch):
    monkeypatch.setattr(FakeMachine, "qemu", lambda *_: [sys.executable, "-c", "import sys; sys.exit('no such machine')"])
    error = failure(fake())
    assert error.status == Status.EMULATOR and "no such machine" in str(error)


def boot(*arguments, timeout=240):
    return subprocess.run([str(BOOT), *arguments], capture_output=True, text=True, errors="replace", timeout=timeout,
                          check=False)


def test_boot_usage():
    for arguments in (["--storage", "nvme", "help"], ["--emulator", "bochs", "--firmware", "uefi"], ["--expect", "("],
                      ["--no-such-option"]):
        done = boot(*arguments)
        assert done.returncode == Status.USAGE and done.stderr.strip(), arguments


def test_boot_expectations_and_json(tmp_path):
    """0 and 1, by real boots; the file says the same as the status."""
    report = tmp_path / "outcome.json"
    done = boot("--mem", "256", "--json", str(report), "--expect", "^one two$", "--forbid", "STOP", "echo one two", "help")
    assert done.returncode == Status.OK, done.stdout + done.stderr
    outcome = json.loads(report.read_text())
    assert outcome["status"] == 0 and outcome["commands"][0]["output"] == "one two\n"
    assert all(one["held"] for one in outcome["expect"] + outcome["forbid"])
    done = boot("--mem", "256", "--json", str(report), "--expect", "^no such line$", "--forbid", "^one", "echo one")
    assert done.returncode == Status.EXPECTATION
    assert json.loads(report.read_text())["result"] == "expectation"
    assert "no such line" in done.stderr and "--forbid" in done.stderr


def test_boot_bug_check(tmp_path):
    report = tmp_path / "outcome.json"
    done = boot("--mem", "256", "--json", str(report), "crash", "help")
    assert done.returncode == Status.BUG_CHECK, done.stdout + done.stderr
    stop = json.loads(report.read_text())["stop"]
    assert stop["complete"] and stop["code"] != 0
    assert "---- symbolised ----" in done.stdout and ".c:" in done.stdout.split("---- symbolised ----")[1]


def test_boot_hang():
    done = boot("--mem", "256", "--timeout", "20", "crash hang")
    assert done.returncode == Status.TIME_OUT, done.stdout + done.stderr
    stacks = done.stdout.split("---- where it hangs ----")[1]
    assert "#0 " in stacks and "END NMI" in stacks


def test_boot_emulator_killed():
    """5: the emulator dies in mid-command."""
    boot_process = subprocess.Popen([str(BOOT), "--mem", "256", "--timeout", "60", "crash hang"], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True)
    seen = ""
    while "crash hang" not in seen:
        piece = boot_process.stdout.read(1)
        assert piece, seen
        seen += piece
    listed = subprocess.run(["pgrep", "-P", str(boot_process.pid)], capture_output=True, text=True, check=True)
    for child in listed.stdout.split():
        os.kill(int(child), signal.SIGKILL)
    errors = boot_process.communicate(timeout=60)[1]
    assert boot_process.returncode == Status.EMULATOR and "signal 9" in errors
