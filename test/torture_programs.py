"""Programs in numbers: three million system calls with hostile arguments, 10,000 processes, 100,000 threads, suites while requests
fail; nothing is left behind."""

import itertools
import re

import pytest

from harness import Machine, Session
from test_fault import check_program_under, check_verifier

SEEDS = {"qemu-bios-256": range(100, 120), "qemu-bios-256-4cpu": range(200, 210)}
CALLS = 100000  # a run
OWN_ENDS = 5  # of so many runs one may end the program by its own doing: it frees memory and changes threads, its own too

# Suites whose threads and children do not wait for one another for ever when one of them gives up.
ALONE = ["hello", "uattr", "uclone", "uenv", "uexc", "ufile", "uheap", "uldr", "uobj", "upipe", "uproc", "ureg", "urtl", "usec", "usvc",
         "utoken"]


@pytest.mark.parametrize("name", SEEDS)
def test_millions_of_calls(name):
    with Session(Machine.named(name, cmdline="test"), log=f"torture-hostile-{name}") as session:
        session.wait_prompt()

        def state():
            text = session.run("objects") + session.run("memstat")
            return re.findall(r"^(\w+) +(\d+) +(\d+)$", text, re.MULTILINE) + re.findall(r"\d+ blocks live", text)

        session.run("run hostile 1 10000", 300)
        before = state()
        ended = []
        for seed in itertools.chain(SEEDS[name], range(1000, 1000 + len(SEEDS[name]) // OWN_ENDS)):
            text = session.run(f"run hostile {seed} {CALLS}", 900)
            if f"hostile: {CALLS} calls" in text and "exit status 0x00000000" in text:
                assert state() == before, f"after seed {seed}"
            else:
                ended.append(seed)
                before = state()  # what it could not clear away
                print(f"seed {seed} ended the program: {text}")
        assert len(ended) <= len(SEEDS[name]) // OWN_ENDS, ended
        assert "as it should be" in session.run("verify")


@pytest.mark.parametrize("name", SEEDS)
def test_storm(name):
    with Session(Machine.named(name, cmdline="test"), log=f"torture-storm-{name}") as session:
        session.wait_prompt()
        assert "exit status 0x00000000" in session.run("run uproc storm 10000 100000", 3600)


def test_processes_at_once():
    """500 in 512 MB."""
    with Session(Machine.named("qemu-bios-512", cmdline="test"), log="torture-processes") as session:
        session.wait_prompt()
        assert "500 processes at once, last status 0x00000000" in session.run("run uproc many 500", 600)


@pytest.mark.parametrize("kind", ["pool", "irp", "object", "frame"])
@pytest.mark.parametrize("name", ["qemu-bios-256", "qemu-bios-256-4cpu"])
def test_suites_under_failures(name, kind):
    """Programs with every N-th request of everybody failing: each ends, whatever it says, and nothing of it stays."""
    with Session(Machine.named(name, cmdline="test"), log=f"torture-fault-{name}-{kind}") as session:
        session.wait_prompt()
        for interval in (3, 7, 13, 29, 53, 101, 307):
            for suite in ALONE:
                session.run(f"run {suite}", 300)  # the cache keeps what it has read of its files
                check_program_under(session, kind, interval, suite, 600, children=True)
        check_verifier(session)
