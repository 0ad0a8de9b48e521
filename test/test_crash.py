"""Every road into a bug check ends in a whole report, never in a triple fault or a hang."""

import pytest

from harness import Machine, Session
from harness.session import BugCheck
from harness.verdict import symbolize

KINDS = {
    # kind: (bug check, its first parameter or None, function that the stack must name)
    "assert": (0xC0000420, None, "KiAssertFailed"),
    "divide": (0x1E, 0xC0000094, "KiCrashDivide"),
    "invalid": (0x1E, 0xC000001D, "KiCrashInvalid"),
    "null": (0x1E, 0xC0000005, "KiCrashNull"),
    "overrun": (0x19, 0x21, "ExpBadBlock"),
    "irpstack": (0x35, None, "IofCallDriver"),
    "irptwice": (0x44, None, "IofCompleteRequest"),
    "stack": (0x7F, 8, "KiRecurse"),
    "twice": (0xC2, 7, "ExpBadBlock"),
}


@pytest.mark.parametrize("kind,emulator", [(kind, "qemu") for kind in KINDS] + [("stack", "bochs"), ("null", "bochs")])
def test_crash(kind, emulator):
    code, parameter, function = KINDS[kind]
    with Session(Machine(cmdline="test", mem=256, emulator=emulator)) as session:
        session.wait_prompt()
        with pytest.raises(BugCheck) as caught:
            session.run(f"crash {kind}")
    stop = caught.value.stop
    assert stop is not None and stop.complete, "the machine ended without a report"
    assert stop.code == code
    assert parameter is None or stop.parameters[0] == parameter
    assert function in symbolize(stop.text, "chk")


def test_callbacks_are_called():
    """Those who registered for a bug check are called after its report, and what they add is shown."""
    with Session(Machine(cmdline="test", mem=256)) as session:
        session.wait_prompt()
        with pytest.raises(BugCheck):
            session.run("crash callback")
        assert session.wait_text(r"^called back with 5 bytes at here\nbug check callback: crash, 5 bytes\n"
                                 r"bug check data: crash, 3 bytes\n4f 72 69$", 30)


def test_a_processor_that_goes_deaf_is_found():
    """One of 4 processors stops taking interrupts: the others' watchdog names it, and its stack is in the report."""
    with Session(Machine(cmdline="test", mem=256, cpus=4)) as session:
        session.wait_prompt()
        with pytest.raises(BugCheck) as caught:
            session.run("crash deaf", 400)
    stop = caught.value.stop
    assert stop is not None and stop.complete
    assert (stop.code, stop.parameters[3]) == (0x101, 3)
    text = symbolize(stop.text, "chk")
    assert "KiGoDeaf" in text[text.index("processor 3 at IRQL"):]
