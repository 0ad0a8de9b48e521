"""`make exports`: enough of the kernel's exports are called by tests, and what src/ntoskrnl.def lists is in the image."""

import importlib.machinery
import importlib.util
import pathlib
import re
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "scripts" / "exports"
TESTED = 910  # exported names of the libraries that tests call: raised as tests are written, never lowered


@pytest.fixture(scope="module")
def exports():
    loader = importlib.machinery.SourceFileLoader("exports", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("exports", loader))
    loader.exec_module(module)
    return module


def test_total():
    done = subprocess.run([str(SCRIPT)], capture_output=True, text=True, check=True)
    total = re.search(r"^total (\d+)\Z", done.stdout.rstrip(), re.MULTILINE)
    assert total and int(total[1]) >= TESTED, done.stdout


@pytest.mark.parametrize("flavor", ["chk", "fre"])
def test_image_exports_what_is_listed(exports, flavor):
    assert exports.image_exports(flavor) == set(exports.kernel_exports())


def test_comments_and_strings_are_no_calls(exports):
    known = {name: exports.Export(name, name, False) for name in ("KeSetEvent", "ObfReferenceObject", "ZwClose", "KfRaiseIrql")}
    text = exports.strip('/* ZwClose( */ Print("ZwClose(", \'"\'); // KeSetEvent(\nObReferenceObject(Object); KTAP_IMPORT(KIRQL (*)(KIRQL), KfRaiseIrql)(2);')
    assert exports.called(text, known) == {"ObfReferenceObject", "KfRaiseIrql"}


def test_what_is_missing_of_wdm_has_its_reason():
    """docs/limits.md names every plain function of wdm.h that is not exported; `Etw...` stands for all that begin so."""
    limits = SCRIPT.parents[1].joinpath("docs", "limits.md").read_text(encoding="utf-8")
    names = {name for name in re.findall(r"`([\w.]*\w\w[\w.]*)`", limits)}
    reasons = re.compile("|".join(re.escape(name).replace(re.escape("..."), r"\w*") for name in sorted(names)))
    done = subprocess.run([str(SCRIPT), "--wdm"], capture_output=True, text=True, check=True)
    assert [name for name in done.stdout.split() if not reasons.fullmatch(name)] == []
