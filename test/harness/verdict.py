"""What a transcript means: bug check, stacks, KTAP results, exit status.

Pure functions over text, so that test/test_harness.py can feed them transcripts that no machine ever printed. They
take what there is: a transcript may end anywhere, lines may be missing, and other output may be mixed in.
"""

import dataclasses
import enum
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
STOP = re.compile(r"^\*\*\* STOP (0x[0-9A-Fa-f]+)(?: \(([^)]*)\))?[ \t]*(\w*)", re.MULTILINE)
END_STOP = "*** END STOP"
NMI = "*** NMI"
END_NMI = "*** END NMI"
FRAME = re.compile(r"^\s*#\d+ .*$", re.MULTILINE)
RESULT = re.compile(r"^(ok|not ok) (\d+)(?: -)? ([^\s#]+)\s*(?:#\s*(.*))?$")


class Status(enum.IntEnum):
    """Exit status of scripts/boot."""

    OK = 0
    EXPECTATION = 1
    USAGE = 2
    BUG_CHECK = 3
    TIME_OUT = 4
    EMULATOR = 5


@dataclasses.dataclass
class Stop:
    """One bug check, as printed. `complete` is False when the transcript ends inside it."""

    code: int
    parameters: list
    name: str
    text: str
    stack: list
    complete: bool

    def summary(self):
        return f"bug check 0x{self.code:08X} {self.name}".rstrip()


def find_stop(text):
    """The first bug check in a transcript, or None."""
    found = STOP.search(text)
    if not found:
        return None
    end = text.find(END_STOP, found.end())
    body = text[found.start():end + len(END_STOP) if end >= 0 else len(text)]
    parameters = [int(word, 16) for word in re.findall(r"0x[0-9A-Fa-f]+", found.group(2) or "")]
    return Stop(int(found.group(1), 16), parameters, found.group(3), body, FRAME.findall(body), end >= 0)


def find_stacks(text):
    """Everything between `*** NMI` and `*** END NMI`; "" when the guest answered no NMI."""
    start = text.find(NMI)
    if start < 0:
        return ""
    end = text.find(END_NMI, start)
    return text[start:end + len(END_NMI) if end >= 0 else len(text)]


def symbolize(text, flavor):
    """The text with function names and source lines beside its stack addresses; unchanged where that fails."""
    script = ROOT / "scripts" / "symbolize"
    if not script.exists():
        return text
    done = subprocess.run([str(script), "--flavor", flavor], input=text, capture_output=True, text=True, errors="replace",
                          check=False, timeout=60)
    if done.returncode != 0:
        print(f"symbolize: {done.stderr.strip()}", file=sys.stderr)
        return text
    return done.stdout


@dataclasses.dataclass
class Result:
    """One KTAP result line."""

    number: int
    name: str
    passed: bool
    skipped: bool
    comment: str
    diagnostics: list


@dataclasses.dataclass
class Ktap:
    """A KTAP stream. `problems` holds everything that makes it no proof: wrong plan, gaps, no version line."""

    results: list
    plan: int
    problems: list

    def failed(self):
        return [result for result in self.results if not result.passed]

    def ok(self):
        return bool(self.results) and not self.problems and not self.failed()


def parse_ktap(text):
    """Reads the KTAP version 1 stream inside a command's output."""
    results, problems, diagnostics, plan, version = [], [], [], None, False
    for line in text.splitlines():
        line = line.strip()
        match = RESULT.match(line)
        if line == "KTAP version 1":
            version = True
        elif re.fullmatch(r"1\.\.\d+", line):
            plan = int(line[3:])
        elif match:
            comment = match.group(4) or ""
            results.append(Result(int(match.group(2)), match.group(3), match.group(1) == "ok",
                                  comment.upper().startswith("SKIP"), comment, diagnostics))
            diagnostics = []
        elif line.startswith("#"):
            diagnostics.append(line)
        elif line.startswith("Bail out!"):
            problems.append(line)
    if not version:
        problems.append("no line `KTAP version 1`")
    if plan is None:
        problems.append("no plan (`1..N`)")
    elif plan != len(results):
        problems.append(f"{plan} cases planned, {len(results)} reported")
    if [result.number for result in results] != list(range(1, len(results) + 1)):
        problems.append("case numbers have gaps")
    return Ktap(results, plan, problems)
