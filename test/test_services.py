"""Every system service is called by name in a suite of programs, and there are enough cases about processes. No boot.

The suites are what runs as a program and prints KTAP: test/user/u*. hostile.exe, which calls all services by number, does not count.
"""

import re

from harness.iso import ROOT

SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "test" / "user").glob("u*/*.[ch]"))}
SOURCES[ROOT / "test" / "user" / "ktap.h"] = (ROOT / "test" / "user" / "ktap.h").read_text(encoding="utf-8")

# Called by ntdll on behalf of every program, in a way that a suite sees: an exception that is handled, a lock that is waited for.
BY_NTDLL = {"NtContinue": "useh", "NtRaiseException": "useh", "NtWaitForAlertByThreadId": "usync", "NtAlertThreadByThreadId": "usync"}

PROCESS_SUITES = ["uproc", "usec", "utoken", "upool", "utest", "useh", "uldr", "uenv"]  # processes, threads, jobs, tokens, images, exceptions


def services():
    table = (ROOT / "src" / "ke" / "services.tbl").read_text(encoding="utf-8")
    return re.findall(r"^(Nt\w+) \d+$", table, re.MULTILINE)


def test_every_service_is_called_by_a_suite():
    missing = []
    for service in services():
        call = re.compile(rf"\b(Nt|Zw){service[2:]}\s*\(")
        if service not in BY_NTDLL and not any(call.search(text) for text in SOURCES.values()):
            missing.append(service)
    assert not missing


def test_cases_about_processes():
    """At least 60 cases run as programs of their own about processes and what belongs to them, on each machine of test_programs.py."""
    cases = [name for path, text in SOURCES.items() if path.parent.name in PROCESS_SUITES
             for name in re.findall(r'\{"(user\.[\w.]+)",', text)]
    assert len(cases) == len(set(cases)) and len(cases) >= 60
