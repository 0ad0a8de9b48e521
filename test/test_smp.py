"""Several processors on every kind of machine, fewer by option, time without ACPI, and what arming a timer costs."""

import re

import pytest

from harness import Machine, Session
from harness.verdict import parse_ktap

MACHINES = [
    {"cpus": 2}, {"cpus": 4}, {"cpus": 8}, {"cpus": 4, "firmware": "uefi"}, {"cpus": 4, "icount": True},
    {"cpus": 2, "emulator": "bochs"}, {"cpus": 4, "emulator": "bochs"},
]


def passes(session, pattern, timeout=300):
    """Runs suites; every case must pass."""
    result = parse_ktap(session.run(f"test {pattern}", timeout))
    assert result.ok(), [case.name for case in result.failed()] + result.problems


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: "-".join(str(value) for value in machine.values()))
def test_all_processors_run(machine):
    with Session(Machine(mem=256, cmdline="test", **machine)) as session:
        session.wait_prompt()
        assert f"{machine['cpus']} of {machine['cpus']} processors run" in session.text
        passes(session, "ke.smp.runs_threads")
        passes(session, "ke.number.*")
        session.power_off()


@pytest.mark.parametrize("option", ["", "nopcid"])
def test_identifiers_of_address_spaces(option):
    """Bochs' processor has PCID: switches keep translations, unless told not to."""
    with Session(Machine(emulator="bochs", mem=256, cpus=2, cmdline=f"test stress=20 {option}")) as session:
        session.wait_prompt()
        passes(session, "mm.pcid")
        tlb = re.search(r"^tlb: PCID (\w+), INVPCID on; (\d+) switches kept", session.run("memstat"), re.MULTILINE)
        assert tlb and tlb[1] == ("off" if option else "on") and (int(tlb[2]) > 100) == (not option), tlb
        session.power_off()


def test_option_cpus_leaves_processors_asleep():
    with Session(Machine(mem=256, cpus=4, cmdline="test cpus=2")) as session:
        session.wait_prompt()
        assert "2 of 4 processors run" in session.text
        passes(session, "ke.number.*")
        session.power_off()


def test_without_acpi():
    """One processor, clocks calibrated against the PIT, legacy lines: time goes on, the disc is read."""
    with Session(Machine(mem=256, cpus=2, cmdline="test noacpi")) as session:
        session.wait_prompt()
        assert re.search(r"\(PIT\), 1 processors", session.text), session.text
        passes(session, "hal.clock.*")
        passes(session, "io.ide.*")
        session.power_off()


def test_arming_a_timer_costs_the_same_with_many():
    """Instructions, which -icount makes the time stamp counter count."""
    with Session(Machine(mem=256, icount=True, cmdline="test")) as session:
        session.wait_prompt()
        output = session.run("test ke.clock.cost", 300)
        assert re.search(r"KeSetTimer: \d+ instructions", output) and "SKIP" not in output, output
        assert parse_ktap(output).ok()
        session.power_off()
