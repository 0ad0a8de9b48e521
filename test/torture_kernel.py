"""The long forms of the kernel's own suites: `make torture`. Not collected by `make test`.

Every suite with its race tests twenty times as long (millions of rounds) on each kind of machine, and the soak for five
minutes with a fresh seed, which is printed so that a failure can be repeated.
"""

import random

import pytest

from conftest import machines
from harness import parse_ktap

HOUR = 3600


@machines("qemu-bios-256-4cpu-stress2000", "qemu-uefi-512-8cpu-stress1000", "bochs-bios-256-2cpu-stress100",
          "qemu-bios-64-stress2000")
def test_kernel_suites(console):
    ktap = parse_ktap(console.run("test", 2 * HOUR))
    told = [f"{result.name}: {' '.join(result.diagnostics)}" for result in ktap.failed()]
    assert ktap.ok(), "\n".join(ktap.problems + told)


@machines("qemu-bios-256-4cpu-icount-stress20")
def test_races_with_processors_that_take_turns(console):
    ktap = parse_ktap(console.run("test race", 2 * HOUR))
    assert ktap.results and ktap.ok(), "\n".join(ktap.problems + [result.name for result in ktap.failed()])


@machines("qemu-bios-512-4cpu", "bochs-bios-256-2cpu")
def test_soak(console):
    seed = random.getrandbits(31)
    output = console.run(f"soak 300 {seed}", 2 * HOUR)
    assert "soak: ok" in output, f"soak 300 {seed}:\n{output}"


@machines("qemu-bios-256-4cpu-stress2", "qemu-bios-256-stress2", "bochs-bios-256-2cpu-stress1")
@pytest.mark.parametrize("fault", [f"{kind}:{interval}" for kind in ("pool", "irp", "object", "frame")
                                   for interval in (2, 3, 5, 7, 11, 17, 37, 101)])
def test_all_suites_under_failures(console, fault):
    """Every suite with every N-th allocation of a kind failing: an error or success, no leak, no report."""
    output = console.run(f"test --fault {fault}", 2 * HOUR)
    ktap = parse_ktap(output)
    told = [f"{result.name}: {' '.join(result.diagnostics)}" for result in ktap.failed()]
    assert ktap.ok() and "for want of memory" not in output, "\n".join(ktap.problems + told)
    assert "vf: 0 reports" in console.run("verifier")
