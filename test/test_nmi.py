"""NMIs at any instruction: trap entry, IST stacks and GS must survive them, and so must whatever was interrupted."""

import re
import time

from harness import Machine, Session

STORM_SECONDS = 6
NMIS_AT_LEAST = 100
QUIET_SECONDS = 20


def test_nmi_storm_during_exceptions():
    """The exception suite passes, again and again, while NMIs arrive as fast as the emulator takes them."""
    with Session(Machine(cmdline="test", mem=256)) as session:
        session.wait_prompt()
        end = time.monotonic() + STORM_SECONDS
        start = len(session.text)
        session.send("test seh\r")
        while time.monotonic() < end:
            session._qmp_command("inject-nmi")
            session.pump(0)
            if session.text.count("at_dispatch_level", start):  # the last case: run the suite again
                start = len(session.text)
                session.send("test seh\r")
        session.wait_text(r"at_dispatch_level", QUIET_SECONDS, start)
        storm = session.text
        session.send("\r")  # an NMI may have printed over the prompt
        session.wait_prompt(QUIET_SECONDS, len(storm))
        assert storm.count("*** END NMI") >= NMIS_AT_LEAST
        assert re.search(r"^ok \d+ rtl\.seh\.at_dispatch_level", storm, re.MULTILINE)
        assert "not ok" not in storm and "*** STOP" not in storm
        assert session.run("echo alive").splitlines()[-1] == "alive"
        session.power_off()
