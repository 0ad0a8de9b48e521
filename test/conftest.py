"""pytest settings of Oriel's tests: --repeat, and where the harness lies."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))


def pytest_addoption(parser):
    parser.addoption("--repeat", type=int, default=1, metavar="N", help="run every case N times in a row")


def pytest_generate_tests(metafunc):
    count = metafunc.config.getoption("repeat")
    if count > 1:
        metafunc.fixturenames.append("repeat_number")
        metafunc.parametrize("repeat_number", range(1, count + 1), ids=lambda number: f"run{number}")
