"""pytest settings of Oriel's tests: --repeat, the machines of the matrix, and boots that many cases share.

A case asks for a machine by the fixture `console`, parametrised by @machines(...): it gets a session at the prompt. The
session stays for the next case on the same machine; a case that ends it (or finds it ended) costs one more boot. All
cases of one machine run in one worker (xdist groups), so a machine is normally booted once in a whole run.
"""

import hashlib
import os
import pathlib
import random
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import Machine, Session, SessionError  # noqa: E402
from harness.iso import BUILD  # noqa: E402
from harness.verdict import symbolize  # noqa: E402

MB = 1 << 20
FILE_SIZES = {  # on the disc, below \extra; the sizes lie around a page and around a view
    "empty.bin": 0,
    "one.bin": 1,
    "sizes/4095.bin": 4095,
    "sizes/4096.bin": 4096,
    "sizes/4097.bin": 4097,
    "sizes/deeper/262143.bin": 262143,
    "sizes/deeper/262144.bin": 262144,
    "sizes/deeper/and deeper/262145.bin": 262145,
    "A long name with blanks, commas, and (brackets) - 5 MB.data": 5 * MB + 123,
    "Grüße/жук 虫.bin": 70001,
}


def pytest_addoption(parser):
    parser.addoption("--repeat", type=int, default=1, metavar="N", help="run every case N times in a row")


def pytest_generate_tests(metafunc):
    count = metafunc.config.getoption("repeat")
    if count > 1:
        metafunc.fixturenames.append("repeat_number")
        metafunc.parametrize("repeat_number", range(1, count + 1), ids=lambda number: f"run{number}")


def pytest_configure(config):
    config.addinivalue_line("markers", "xdist_group(name): cases that share one boot")


def pytest_collection_modifyitems(items):
    """Cases on one machine follow each other, so that one boot serves them all."""
    def group(item):
        mark = item.get_closest_marker("xdist_group")
        return mark.args[0] if mark else ""

    items.sort(key=group)


def machines(*specifications):
    """Parametrises `console`: each specification is a name that Machine.named knows, as "qemu-bios-256-4cpu"."""
    rows = [pytest.param(one, marks=pytest.mark.xdist_group(one)) for one in specifications]
    return pytest.mark.parametrize("console", rows, indirect=True)


MATRIX = [f"{emulator}-{mem}" for mem in (64, 256, 6144) for emulator in ("qemu-bios", "qemu-uefi", "bochs-bios")]


def make_files(directory, sizes, seed):
    """Writes files of reproducible bytes; returns {relative path: SHA-256}."""
    digests = {}
    for name, size in sizes.items():
        path = directory / name
        data = random.Random(f"{seed}/{name}").randbytes(size)
        if not path.exists() or path.stat().st_size != size:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.{os.getpid()}")
            part.write_bytes(data)
            part.rename(path)
        digests[name] = hashlib.sha256(data).hexdigest()
    return digests


@pytest.fixture(scope="session")
def files():
    """Digests of the files below D:\\extra."""
    return make_files(BUILD / "extra", FILE_SIZES, "oriel")


class Consoles:
    """The one session this worker has open."""

    def __init__(self):
        self.name = self.session = None

    def get(self, name):
        if self.session and (self.name != name or not self.usable()):
            self.close()
        if not self.session:
            machine = Machine.named(name, cmdline="test", extra=str(BUILD / "extra"))
            session = Session(machine, log=name).__enter__()
            self.name, self.session = name, session
            session.wait_prompt()
        return self.session

    def usable(self):
        """Is the machine still at its prompt? A case may have left it in the middle of something, or dead."""
        try:
            return "still here" in self.session.run("echo still here", 30)
        except SessionError:
            return False

    def close(self):
        if self.session:
            self.session.close()
        self.name = self.session = None


@pytest.fixture(scope="session")
def consoles():
    opened = Consoles()
    yield opened
    opened.close()


@pytest.fixture
def console(request, consoles, files):
    """A session at the prompt of the machine that the case names; its transcript is shown when the case fails."""
    session = consoles.get(request.param)
    start = len(session.text)
    yield session
    report = getattr(request.node, "call_report", None)
    if report is not None and report.failed:
        print(f"---- transcript of {request.param} ----\n{symbolize(session.text[start:], session.machine.flavor)[-12000:]}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    stacks = getattr(call.excinfo.value, "stacks", "") if call.excinfo else ""
    if stacks:
        outcome.get_result().sections.append(("where it hangs", symbolize(stacks, "chk")))
    if call.when == "call":
        item.call_report = outcome.get_result()
