"""`make lint` finds nothing."""

import pathlib
import subprocess

LINT = pathlib.Path(__file__).resolve().parents[1] / "scripts" / "lint"


def test_lint():
    done = subprocess.run([str(LINT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
