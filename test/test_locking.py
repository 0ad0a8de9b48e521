"""docs/locking.md against the order in which the verifier saw locks being taken while every suite ran."""

import pathlib
import re

from conftest import machines
from harness import parse_ktap

DOC = pathlib.Path(__file__).resolve().parents[1] / "docs" / "locking.md"
PLACE = re.compile(r"(\S+)\+0x[0-9a-f]+(/\w+)$")


def documented(text):
    """Levels by lock, the locks that no suite need take, and those of which a thread may hold two."""
    levels, nesting = {}, set()
    for level, names, rest in re.findall(r"^\| (-?\d+) \| ([^|]*) \|(.*)$", text, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", names):
            assert name not in levels, f"{name} stands in the table twice"
            levels[name] = int(level)
            if "may nest" in rest:
                nesting.add(name)
    excused = set(re.findall(r"^- `([^`]+)`: ", text.split("Not observed:")[1].split("\n\n", 2)[1], re.MULTILINE))
    return levels, excused, nesting


def row(name):
    """The name under which a class stands in the table: a driver's locks of one kind are one row."""
    place = PLACE.match(name)
    return place.group(1) + place.group(2) if place and not name.startswith("ntoskrnl.exe+") else name


def observed(text):
    """Locks that were taken, and pairs (held, taken); those of suites, and of other drivers that suites load, are left out."""
    taken = {row(name) for name, times in re.findall(r"^class (\S+) taken (\d+) ", text, re.MULTILINE) if int(times)}
    pairs = {(row(one), row(other)) for one, other in re.findall(r"^order (\S+) -> (\S+)$", text, re.MULTILINE)}
    return taken, pairs


def is_suites(name):
    return name.startswith(("test/", "test.")) or re.match(r"test[\w-]*\.sys/", name) is not None


def differences(levels, excused, nesting, taken, pairs):
    found = [f"{name} is not in the table" for name in sorted(taken) if name not in levels and not is_suites(name)]
    found += [f"{name} was never taken" for name in sorted(levels) if name not in taken and name not in excused]
    found += [f"{name} is excused, but not in the table" for name in sorted(excused) if name not in levels]
    for held, then in sorted(pairs):
        if held in levels and then in levels and levels[held] >= levels[then] and not (held == then and ("/" in held or held in nesting)):
            found.append(f"{then} ({levels[then]}) was taken under {held} ({levels[held]})")
    return found


def test_differences_are_found():
    doc = "| -1 | `A`, `B` | x; may nest | y |\n| 2 | `C` | x | y |\n\nNot observed:\n\n- `B`: why\n\nText"
    levels, excused, nesting = documented(doc)
    assert levels == {"A": -1, "B": -1, "C": 2} and excused == {"B"} and nesting == {"A", "B"}
    taken, pairs = observed("class A taken 3 irql 2\nclass C taken 1 irql 2\norder A -> C\n")
    assert differences(levels, excused, nesting, taken, pairs) == []
    assert differences(levels, excused, nesting, taken, {("C", "A")}) == ["A (-1) was taken under C (2)"]
    assert differences(levels, excused, nesting, taken | {"D"}, pairs) == ["D is not in the table"]
    assert differences(levels, excused, nesting, {"A"}, pairs) == ["C was never taken"]
    assert differences(levels, {"X"}, nesting, taken | {"B"}, pairs) == ["X is excused, but not in the table"]
    assert differences(levels, excused, nesting, taken, {("A", "A"), ("C", "C")}) == ["C (2) was taken under C (2)"]
    assert row("x.sys+0x12/spin") == "x.sys/spin" and row("ntoskrnl.exe+0x12/spin") == "ntoskrnl.exe+0x12/spin"


@machines("qemu-bios-256-4cpu")
def test_order_is_as_documented(console):
    if not re.search(r"^oriel> test$", console.text, re.MULTILINE):  # else test_ktap.py has run all suites in this boot
        ktap = parse_ktap(console.run("test", 900))
        assert ktap.ok(), "\n".join(ktap.problems + [result.name for result in ktap.failed()])
    found = differences(*documented(DOC.read_text(encoding="utf-8")), *observed(console.run("locks order")))
    assert found == [], "\n".join(found)
    assert "vf: 0 reports" in console.run("verifier")
