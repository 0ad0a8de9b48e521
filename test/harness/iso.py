"""The disc: built by `make iso`, once for each flavour, command line and set of extra files.

Test workers run side by side, so every build happens under one file lock in build/. Calling make for a disc that
is up to date is cheap, but not free: within one process a disc is built once.
"""

import fcntl
import hashlib
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
_built = {}


class BuildFailed(Exception):
    """make failed; the message is its output."""


def _digest(extra):
    """Identifies a directory's contents by names, sizes and times."""
    lines = []
    for path in sorted(pathlib.Path(extra).rglob("*")):
        info = path.lstat()
        lines.append(f"{path}\0{info.st_size}\0{info.st_mtime_ns}")
    return "\n".join(lines)


def build_iso(flavor="chk", cmdline="", extra=None, quiet=True):
    """Returns the path of a disc whose kernel gets `cmdline` and whose \\extra holds the files of `extra`."""
    key = hashlib.sha256("\0".join([flavor, cmdline, _digest(extra) if extra else ""]).encode()).hexdigest()[:12]
    if key in _built:
        return _built[key]
    disc = BUILD / flavor / f"oriel-{key}.iso"
    disc.parent.mkdir(parents=True, exist_ok=True)
    command = ["make", "--no-print-directory", "-C", str(ROOT), f"FLAVOR={flavor}", f"ISO={disc.relative_to(ROOT)}",
               f"CMDLINE={cmdline}", f"CDEXTRA={pathlib.Path(extra).resolve() if extra else ''}", "iso"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment.pop("MFLAGS", None)
    with open(BUILD / "iso.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", check=False)
    if done.returncode != 0 or not disc.exists():
        raise BuildFailed(f"building {disc.name} failed:\n{done.stdout}")
    if not quiet:
        print(done.stdout, end="", flush=True)
    _built[key] = disc
    return disc
