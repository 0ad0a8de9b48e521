"""Host units: one case a program in test/host/, built natively with ASan and UBSan, written with cmocka."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAMS = sorted(path.stem for path in (ROOT / "test" / "host").glob("*.c"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_host(program):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    built = subprocess.run(["make", "-C", str(ROOT), "--no-print-directory", f"build/host/{program}"], env=environment,
                           capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    done = subprocess.run([str(ROOT / "build" / "host" / program)], capture_output=True, text=True, errors="replace",
                          timeout=300, check=False)
    print(done.stdout[-4000:], done.stderr[-8000:])
    assert done.returncode == 0, f"{program} failed with status {done.returncode}"
    assert "[  PASSED  ]" in done.stdout + done.stderr, f"{program} ran no case"
