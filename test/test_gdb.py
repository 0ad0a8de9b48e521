"""Debian's gdb on COM2: breakpoints by name, stepping, memory, registers, stacks, frames, and leaving again.

Each case is a real gdb under pexpect against a machine that waits for it (boot option debug) or runs already.
"""

import os
import re
import signal

import pexpect
import pytest

from harness import Machine, Session
from harness.iso import BUILD, ROOT

GDB_PROMPT = "(gdb) "
NOT_THERE = 0xFFFFF8FFFFFFF000  # the last page of a region that nothing uses so far up


class Gdb:
    """A gdb that has attached to a session's COM2 and loaded the symbols of every image."""

    def __init__(self, session, timeout=120):
        self.session = session
        self.process = pexpect.spawn(
            "gdb", ["-nx", "-q", str(BUILD / session.machine.flavor / "ntoskrnl.exe"), "-ex", "set confirm off",
                    "-ex", "set pagination off", "-ex", "set width 0", "-ex", "set style enabled off",
                    "-ex", "set remotetimeout 30", "-x", str(ROOT / "scripts" / "gdb" / "oriel.py")],
            encoding="utf-8", timeout=timeout, cwd=str(ROOT), echo=False, env=dict(os.environ, TERM="dumb"))
        self.process.expect_exact(GDB_PROMPT)
        self.attached = self.run(f"oriel attach {session.debug_address}")

    def run(self, command, timeout=-1):
        """One command; its output up to the next prompt."""
        self.process.sendline(command)
        self.process.expect_exact(GDB_PROMPT, timeout=timeout)
        return self.process.before.replace("\r", "").strip()

    def value(self, expression):
        answer = self.run(f"p/x {expression}")
        found = re.search(r"= (0x[0-9a-f]+)$", answer)
        assert found, f"p/x {expression}: {answer}"
        return int(found.group(1), 16)

    def close(self):
        """Dies without a word to the stub: a hang-up would make gdb detach."""
        self.process.kill(signal.SIGKILL)
        self.process.close(force=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def waiting(emulator="qemu", mem=128, **rest):
    return Session(Machine(emulator=emulator, mem=mem, cmdline="debug test", **rest), debug=True, log=f"gdb-{emulator}")


def stopped_at(gdb, function):
    gdb.run(f"tbreak {function}")
    output = gdb.run("continue")
    assert re.search(rf"\b{function} \(", output), output
    return output


def prompt_after_detach(gdb, session):
    assert "detached" in gdb.run("detach")
    session.wait_prompt()
    assert session.run("echo still alive").splitlines()[-1] == "still alive"


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_a_kernel_session(emulator):
    """Break by name, stack, step, registers, memory, page tables and frames, then on to the prompt."""
    with waiting(emulator) as session, Gdb(session) as gdb:
        assert re.search(r"^ntoskrnl\.exe at 0xfffff8", gdb.attached, re.MULTILINE), gdb.attached
        assert "KdInitialize" in gdb.run("bt 1")
        assert "KiSystemStartup" in gdb.run("bt")
        stopped_at(gdb, "ConsoleStart")

        # stepi executes exactly the next instruction
        before = gdb.value("$rip")
        listing = gdb.run("x/2i $rip")
        gdb.run("stepi")
        second = int(re.findall(r"^(?:=>)?\s*(0x[0-9a-f]+)", listing, re.MULTILINE)[1], 16)
        after = gdb.value("$rip")
        assert after != before and (after == second or "call" in listing or "jmp" in listing), listing

        # registers can be changed and changed back
        rax = gdb.value("$rax")
        gdb.run("set $rax = 0x1122334455667788")
        gdb.run("flushregs")
        assert gdb.value("$rax") == 0x1122334455667788
        gdb.run(f"set $rax = {rax:#x}")
        assert gdb.value("$cs") == 0x10
        assert gdb.value("$efer") & 0xD00 == 0xD00

        # memory: text reads as it was linked although breakpoints are planted in it; holes are refused
        gdb.run("break ConPrint")
        gdb.run("stepi")
        assert gdb.value("*(unsigned char *)ConPrint") != 0xCC
        assert "Cannot access memory" in gdb.run(f"x/gx {NOT_THERE:#x}")
        gdb.run("delete")

        # page tables and the PFN database
        text = gdb.run("oriel pte $rip")
        assert "execute" in text and "write" not in text and "no-execute" not in text
        stack = gdb.run("oriel pte $rsp")
        assert "write" in stack and "no-execute" in stack
        frame = re.search(r"frame (0x[0-9a-f]+)", text).group(1)
        entry = gdb.run(f"oriel pfn {frame}")
        assert re.search(rf"frame {frame}: Active, references [1-9]", entry), entry
        assert "not RAM" in gdb.run("oriel pfn 0x7ffff")  # the last page below 2 GB: a hole in this machine
        prompt_after_detach(gdb, session)


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_a_drivers_function_by_name(emulator):
    """Break in ide.sys by name, see who called, look at the frame its code lies in, step, and go on to the prompt."""
    with waiting(emulator) as session, Gdb(session) as gdb:
        base = int(re.search(r"^ide\.sys at (0x\w+)", gdb.attached, re.MULTILINE).group(1), 16)
        stopped_at(gdb, "IdeChannelExists")
        rip = gdb.value("$rip")
        assert base <= rip < base + 0x200000
        stack = gdb.run("bt")
        assert "DriverEntry" in stack and "IoInitialize" in stack and "KiThreadStart" in stack, stack
        frame = re.search(r"frame (0x[0-9a-f]+)", gdb.run("oriel pte $rip")).group(1)
        entry = gdb.run(f"oriel pfn {frame}")
        assert re.search(rf"frame {frame}: Active, references [1-9]", entry), entry
        raw = gdb.value(f"((MMPFN *)0xFFFFFA8000000000)[{frame}].u4")
        assert raw >> 48 & 7 == 6  # MiActive
        gdb.run("stepi")
        assert gdb.value("$rip") != rip
        prompt_after_detach(gdb, session)


def test_hardware_breakpoints_and_watchpoints():
    with waiting() as session, Gdb(session) as gdb:
        gdb.run("hbreak ConsoleStart")
        assert "ConsoleStart" in gdb.run("continue")
        gdb.run("delete")
        gdb.run("watch -l ConpRow")
        output = gdb.run("continue")
        assert "Hardware watchpoint" in output and "New value" in output, output
        assert "Conp" in gdb.run("bt 1")
        gdb.run("delete")
        for _ in range(4):
            assert "Hardware" in gdb.run("hbreak ConPrint")
        prompt_after_detach(gdb, session)


def test_read_only_text_can_be_patched_by_the_debugger():
    """A debugger's write reaches text through its own window; the kernel's mapping stays read-only."""
    with waiting() as session, Gdb(session) as gdb:
        stopped_at(gdb, "ConsoleStart")
        original = gdb.value("*(unsigned char *)ConsoleStart")
        gdb.run("set var *(unsigned char *)ConsoleStart = 0x42")
        gdb.run("maintenance flush dcache")
        assert gdb.value("*(unsigned char *)ConsoleStart") == 0x42
        gdb.run(f"set var *(unsigned char *)ConsoleStart = {original:#x}")
        assert "write" not in gdb.run("oriel pte ConsoleStart")
        prompt_after_detach(gdb, session)


def test_a_second_gdb_finds_no_breakpoints_of_the_first():
    with waiting() as session:
        with Gdb(session) as gdb:
            stopped_at(gdb, "ConsoleStart")
            gdb.run("break ConPrint")
            gdb.run("stepi")
        with Gdb(session) as gdb:  # the first one died without a word
            assert "ConsoleStart" in gdb.run("bt")
            prompt_after_detach(gdb, session)


def breaks_in(session, gdb):
    """Lets the machine run and stops it again by Ctrl-C, three times; the console works in between."""
    for _ in range(3):
        gdb.process.sendline("continue")
        gdb.process.expect_exact("Continuing.")
        session.wait_prompt()
        assert session.run("echo it runs").splitlines()[-1] == "it runs"
        gdb.process.sendintr()
        gdb.process.expect("SIGINT")
        gdb.process.expect_exact(GDB_PROMPT)


def test_attaching_to_a_running_machine():
    """No boot option: gdb comes when the machine is at its prompt, lets it run, stops it by Ctrl-C, and leaves."""
    with Session(Machine(mem=128, cmdline="test"), debug=True, log="gdb-attach") as session:
        session.wait_prompt()
        with Gdb(session) as gdb:
            assert re.search(r"^ntoskrnl\.exe at 0xfffff8", gdb.attached, re.MULTILINE), gdb.attached
            breaks_in(session, gdb)
            assert "KiThreadStart" in gdb.run("bt")  # whatever thread it was, its stack is whole
            prompt_after_detach(gdb, session)


def test_processors_are_threads():
    """On 4 processors: a stop freezes all, each is a thread with a stack of its own, and all go on afterwards."""
    with Session(Machine(mem=128, cpus=4, cmdline="test"), debug=True, log="gdb-smp") as session:
        session.wait_prompt()
        with Gdb(session) as gdb:
            for _ in range(3):
                listing = gdb.run("info threads")
                assert len(re.findall(r"^[* ] +\d+ +Thread", listing, re.MULTILINE)) == 4, listing
                for thread in range(1, 5):
                    gdb.run(f"thread {thread}")
                    assert gdb.value("*(unsigned short *)($gs_base + 0x184)") == thread - 1
                    assert "KiThreadStart" in gdb.run("bt")
                gdb.run("thread 1")
                breaks_in(session, gdb)
            prompt_after_detach(gdb, session)
        assert "# SKIP" not in session.run("test ke.smp.runs_threads")


def test_breaking_in_on_bochs():
    """Bochs starts only when COM2 is connected, so gdb is there from the beginning."""
    with waiting("bochs") as session, Gdb(session) as gdb:
        breaks_in(session, gdb)
        prompt_after_detach(gdb, session)


def test_a_bug_check_stops_in_the_debugger():
    with waiting() as session, Gdb(session) as gdb:
        gdb.process.sendline("continue")
        session.wait_prompt()
        session.send("crash null\r")
        assert session.wait_text(r"^\*\*\* END STOP", 60), session.text
        gdb.process.expect("SIGABRT")
        gdb.process.expect_exact(GDB_PROMPT)
        stack = gdb.run("bt")
        assert re.search(r"^#0 +KiCrash", stack, re.MULTILINE) and "KiThreadStart" in stack, stack
