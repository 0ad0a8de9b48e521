"""`make lint` finds nothing, and its search for `__try` blocks that catch nothing finds one."""

import pathlib
import subprocess

import pytest

SCRIPTS = pathlib.Path(__file__).resolve().parents[1] / "scripts"
LINT = SCRIPTS / "lint"

# What a compiler makes of `__try { *Address; }`: a function with a handler, and as handler data the count of its scopes.
GUARDED = """
    .globl Load, __C_specific_handler
__C_specific_handler:
    ret
Load:
    .seh_proc Load
    .seh_handler __C_specific_handler, @except
    pushq %rbp
    .seh_pushreg %rbp
    .seh_endprologue
Begin:
    movl (%rcx), %eax
End:
    popq %rbp
    ret
    .seh_handlerdata
SCOPES
    .text
    .seh_endproc
"""
ONE_SCOPE = "    .long 1, Begin@IMGREL, End@IMGREL, 1, End@IMGREL"


def test_lint():
    done = subprocess.run([str(LINT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("scopes, status", [(ONE_SCOPE, 0), ("    .long 0", 1)])
def test_empty_scope_tables_are_found(tmp_path, scopes, status):
    (tmp_path / "load.s").write_text(GUARDED.replace("SCOPES", scopes))
    subprocess.run(["clang-19", "--target=x86_64-w64-windows-gnu", "-c", "load.s", "-o", "load.o"], cwd=tmp_path, check=True)
    subprocess.run(["ld.lld-19", "-m", "i386pep", "--entry=Load", "--subsystem", "native", "load.o", "-o", "load.exe"],
                   cwd=tmp_path, check=True)
    done = subprocess.run([str(SCRIPTS / "lint-seh"), "load.exe"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert ("Load" in done.stdout + done.stderr) == (status == 1)
