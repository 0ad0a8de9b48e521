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


def holdings(session):
    """Objects by type, and pool by tag (but IRPs, of which each processor keeps some)."""
    objects = re.findall(r"^(\w+) +(\d+) +(\d+)$", session.run("objects"), re.MULTILINE)
    pool = re.findall(r"^(\S+) +\d+ +\d+ +(\d+) +(\d+)$", session.run("pooltags"), re.MULTILINE)
    assert len(objects) > 10 and len(pool) > 10
    counts = {("objects", name): int(count) for name, count, _ in objects}
    return counts | {("pool", tag): int(size) for tag, _, size in pool if tag != "Irp"}


def run_program_under(session, kind, interval, command, patience=120):
    """Runs a program while everybody's requests fail: it ends, whatever its status; returns whether it was started."""
    session.run(f"fault {kind}:{interval}")
    text = session.run(f"run {command}", patience)
    session.run("fault off")
    assert re.search(r"exit status 0x|^run: .*0x[0-9A-F]{8}$", text, re.MULTILINE), text
    return "exit status 0x" in text


def check_program_under(session, kind, interval, command, patience=120, children=False):
    """What it leaves behind is compared, several times: tables and caches grow once; what grows each time is a leak. A suite that gives up
    may leave children that sleep: where they are allowed, a round that leaves some is not compared."""
    for _ in range(4):
        before = holdings(session)
        started = run_program_under(session, kind, interval, command, patience)
        grown = {what: (before.get(what, 0), count) for what, count in holdings(session).items() if count > before.get(what, 0)}
        if not grown or (children and ("objects", "Process") in grown):
            return started
    raise AssertionError(f"{command} with {kind}:{interval}: {grown}")


PROGRAM_FAULTS = [("pool", 29), ("pool", 101), ("object", 3), ("object", 7), ("irp", 5), ("frame", 13)]


@machines("qemu-bios-256-4cpu-stress1")
def test_programs_under_failures(console):
    """Processes made and ended while requests fail: each ends with a status and nothing of it stays."""
    started = 0
    for kind, interval in PROGRAM_FAULTS:
        for command in ("hello", "uproc storm 8 8"):
            started += check_program_under(console, kind, interval, command)
    assert started >= len(PROGRAM_FAULTS)
    ktap = parse_ktap(console.run("test mm.process.empty", 120))
    assert ktap.ok()
    check_verifier(console)


def test_special_pool():
    """special=*: each block ends at a page that is not there. The system starts, and suites that allocate much run."""
    with Session(Machine.named("qemu-bios-256-stress1", cmdline="special=* test"), log="special-pool") as session:
        session.wait_prompt()
        for pattern in ("ob.*", "io.irp.*", "cm.*"):
            ktap = parse_ktap(session.run(f"test {pattern}", 600))
            assert ktap.results and ktap.ok(), "\n".join(ktap.problems + [result.name for result in ktap.failed()])
        check_verifier(session)
