"""Suites while allocations fail, and the boot options that make the pool and its callers stricter.

`test --fault KIND:N` fails every N-th request of a kind (test/kernel/ktapfault.c). The runner judges each case: an error status or
success, and nothing left behind. What is asserted here besides: the run came to its end, failures were injected, and the verifier has
nothing to say. Many more N, over everything, are in torture_kernel.py.
"""

import re

import pytest

from conftest import machines
from harness import Machine, Session, parse_ktap


def run_faulted(session, kind, interval, pattern, patience):
    """Runs the suites that a pattern selects; returns (cases, requests that failed, cases that ended early)."""
    output = session.run(f"test --fault {kind}:{interval} {pattern}", patience)
    ktap = parse_ktap(output)
    told = [f"{result.name}: {' '.join(result.diagnostics)}" for result in ktap.failed()]
    assert ktap.ok(), "\n".join(ktap.problems + told + [output[-4000:]])
    numbers = re.search(r"^# (\d+) requests failed, (\d+) cases ended early", output, re.MULTILINE)
    assert numbers, output[-2000:]
    assert "for want of memory" not in output, output  # a status that does not say so
    return len(ktap.results), int(numbers.group(1)), int(numbers.group(2))


def check_verifier(session):
    reports = re.search(r"^vf: (\d+) reports", session.run("verifier"), re.MULTILINE)
    assert reports and reports.group(1) == "0", session.run("verifier")


@machines("qemu-bios-256-4cpu-stress1")
@pytest.mark.parametrize("kind,interval,patterns", [
    ("pool", 5, ["io.*", "ob.*", "cm.*", "fs*"]),
    ("pool", 17, ["mm.*", "cc.*", "ex.*"]),
    ("irp", 3, ["io.*", "fs*", "cc.*"]),
    ("object", 3, ["ob.*", "ex.*", "io.*", "ps*"]),
    ("frame", 11, ["mm.*", "cc.*"]),
])
def test_suites_under_failures(console, kind, interval, patterns):
    failed = 0
    for pattern in patterns:
        cases, injected, early = run_faulted(console, kind, interval, pattern, 600)
        assert early <= cases // 4, f"{pattern}: {early} of {cases} cases ended early: little was tested"
        failed += injected
    assert failed >= 10, failed
    check_verifier(console)


@machines("qemu-bios-256-stress1")
def test_suites_under_failures_on_one_processor(console):
    _, injected, _ = run_faulted(console, "pool", 7, "ob.*", 600)
    assert injected != 0
    check_verifier(console)


def test_special_pool():
    """special=*: each block ends at a page that is not there. The system starts, and suites that allocate much run."""
    with Session(Machine.named("qemu-bios-256-stress1", cmdline="special=* test"), log="special-pool") as session:
        session.wait_prompt()
        for pattern in ("ob.*", "io.irp.*", "cm.*"):
            ktap = parse_ktap(session.run(f"test {pattern}", 600))
            assert ktap.results and ktap.ok(), "\n".join(ktap.problems + [result.name for result in ktap.failed()])
        check_verifier(session)
