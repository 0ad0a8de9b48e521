"""Where things lie in programs: alike with one seed, unlike with another, different from process to process, fixed under noaslr."""

import re

import pytest

from harness import Machine, Session

PARTS = ("image", "ntdll", "heap", "peb", "teb", "stack", "first", "parameters")


def addresses(options):
    """What three runs of one boot tell: [{part: address}]."""
    with Session(Machine(mem=64, cmdline=f"test {options}"), log=f"aslr-{options or 'none'}") as session:
        session.wait_prompt()
        texts = [session.run("run uaslr tell", 60) for _ in range(3)]
        assert "unknown boot option" not in session.text
        session.power_off()
    runs = []
    for text in texts:
        found = re.search("^addresses: " + " ".join(rf"{part} ([0-9A-F]+)" for part in PARTS) + "$", text, re.MULTILINE)
        assert found, text
        runs.append({part: int(value, 16) for part, value in zip(PARTS, found.groups())})
    return runs


@pytest.mark.xdist_group("aslr")
def test_seeds():
    """The seed decides: two boots with one agree in every address of every run, a boot with another differs in all kinds."""
    first, again, other = addresses("aslrseed=1"), addresses("aslrseed=1"), addresses("aslrseed=2")
    assert first == again
    for part in PARTS:
        assert first[0][part] != other[0][part], part
    for one, two in ((first[0], first[1]), (first[1], first[2])):
        assert one["ntdll"] == two["ntdll"] and one["image"] == two["image"]  # shared, so relocated once
        for part in ("heap", "peb", "teb", "stack", "first", "parameters"):
            assert one[part] != two[part], part


@pytest.mark.xdist_group("aslr")
def test_without_a_seed():
    """Without the option two boots share nothing; under noaslr they, and all their processes, share everything."""
    first, again = addresses(""), addresses("")
    assert all(first[0][part] != again[0][part] for part in ("ntdll", "heap", "peb", "stack")), (first[0], again[0])
    fixed = addresses("noaslr")
    assert fixed[0] == fixed[1] == fixed[2]
    assert fixed[0]["image"] == 0x140000000 and fixed[0]["ntdll"] == 0x7FFB00000000
