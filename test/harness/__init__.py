"""Boots Oriel in an emulator, talks to its console, and says how that ended.

    machine.py   what to boot, and the emulators' command lines
    iso.py       the disc, built once for each flavour, command line and set of extra files
    session.py   the conversation on COM1: prompt, commands, time-outs, power-off
    verdict.py   what a transcript means: bug check, stacks, KTAP results, exit status
"""

from .iso import build_iso
from .machine import Machine, UsageError
from .session import EmulatorFailed, Session, SessionError, TimedOut
from .verdict import Status, find_stop, parse_ktap

__all__ = ["Machine", "Session", "SessionError", "EmulatorFailed", "TimedOut", "Status", "UsageError", "build_iso",
           "find_stop", "parse_ktap"]
