"""Runs the kernel's own suites (`test`, chk flavour) and reads their KTAP."""

import pathlib
import re

from conftest import machines
from harness import parse_ktap

KERNEL = pathlib.Path(__file__).resolve().parent / "kernel"
SUITES = sorted({name for file in KERNEL.glob("*.c")
                 for name in re.findall(r'^KTAP_SUITE\(\w+,\s*"([\w.]+)"', file.read_text(), re.MULTILINE)})


MACHINES = ["qemu-bios-64-stress10", "qemu-bios-256-stress10", "qemu-bios-256-4cpu", "qemu-uefi-256-8cpu-stress10",
            "bochs-bios-256-stress2", "bochs-bios-256-2cpu-stress2"]


@machines(*MACHINES)
def test_kernel_suites(console):
    ktap = parse_ktap(console.run("test", 1200))
    told = [f"{result.name}: {' '.join(result.diagnostics)}" for result in ktap.failed()]
    assert ktap.ok(), "\n".join(ktap.problems + told)
    names = {result.name for result in ktap.results}
    assert len(SUITES) > 40, SUITES
    for suite in SUITES:
        assert any(name.startswith(suite + ".") for name in names), f"suite {suite} did not run"
    assert "vf: 0 reports" in console.run("verifier")


@machines("qemu-bios-256-4cpu-icount-stress1")
def test_races_with_processors_that_take_turns(console):
    """Only the races: a second of time is a thousand million instructions here."""
    ktap = parse_ktap(console.run("test race", 1200))
    assert len(ktap.results) > 8 and ktap.ok(), "\n".join(ktap.problems + [result.name for result in ktap.failed()])


@machines("qemu-bios-256")
def test_pattern_selects(console):
    ktap = parse_ktap(console.run("test console.sha256.vec", 60))
    assert ktap.ok() and [result.name for result in ktap.results] == ["console.sha256.vectors"]
    assert "no case matches" in console.run("test no.such.case")
