"""The disc: made by scripts/mkiso, once for each flavour, command line and set of extra files.

Test workers run side by side, so every build happens under one file lock in build/; a disc appears under its name
whole or not at all, and one that is newer than what it is made of is used again.
"""

import fcntl
import hashlib
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
_made = set()
_built = set()


class BuildFailed(Exception):
    """make failed; the message is its output."""


def _digest(extra):
    """Identifies a directory's contents by names, sizes and times."""
    lines = []
    for path in sorted(pathlib.Path(extra).rglob("*")):
        info = path.lstat()
        lines.append(f"{path}\0{info.st_size}\0{info.st_mtime_ns}")
    return "\n".join(lines)


def _make(flavor):
    """Brings build/FLAVOR up to date, unless `make test` has just done so (ORIEL_BUILT=1)."""
    if os.environ.get("ORIEL_BUILT") == "1" or flavor in _made:
        return
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    done = subprocess.run(["make", "--no-print-directory", f"-j{os.cpu_count()}", "-C", str(ROOT), f"FLAVOR={flavor}", "all"],
                          env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          check=False)
    if done.returncode != 0:
        raise BuildFailed(f"make FLAVOR={flavor} all failed:\n{done.stdout}")
    _made.add(flavor)


def _is_current(disc, flavor):
    inputs = [ROOT / "grub.cfg", ROOT / "scripts" / "mkiso", BUILD / flavor / "osloader", BUILD / flavor / "ntoskrnl.exe"]
    inputs += [*(BUILD / flavor).glob("*.sys"), *(BUILD / flavor / "user").glob("*.*")]
    return disc.exists() and disc.stat().st_mtime_ns > max(path.stat().st_mtime_ns for path in inputs)


def build_iso(flavor="chk", cmdline="", extra=None, changes=()):
    """Returns the path of a disc whose kernel gets `cmdline` and whose \\extra holds the files of `extra`.

    changes: more arguments of scripts/mkiso, such as ("--omit", "ide.sys"); such a disc is made anew each time.
    """
    words = "\0".join([flavor, cmdline, _digest(extra) if extra else "", *map(str, changes)])
    disc = BUILD / flavor / f"oriel-{hashlib.sha256(words.encode()).hexdigest()[:12]}.iso"
    if disc in _built:
        return disc
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / "iso.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make(flavor)
        if changes or not _is_current(disc, flavor):
            command = [str(ROOT / "scripts" / "mkiso"), "--flavor", flavor, "--output", str(disc), "--cmdline", cmdline]
            command += ["--extra", str(pathlib.Path(extra).resolve())] if extra else []
            done = subprocess.run(command + [str(word) for word in changes], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
            if done.returncode != 0 or not disc.exists():
                raise BuildFailed(f"scripts/mkiso failed:\n{done.stdout}")
    _built.add(disc)
    return disc
