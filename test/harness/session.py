"""The conversation on COM1: power-on, prompt, commands, time-outs, power-off.

A session owns one emulator process, the sockets to it and a private directory; leaving its `with` block ends all three.
Everything the guest prints is kept in `text` (without carriage returns) and passed on as it comes. Whatever goes wrong
is raised as a SessionError whose `status` is the exit status scripts/boot gives it.
"""

import codecs
import ctypes
import json
import os
import pathlib
import queue
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import tty

from .iso import ROOT, build_iso
from .machine import QEMU_STOP_STATUS, Machine
from .verdict import END_NMI, END_STOP, Status, find_stacks, find_stop

PROMPT = "oriel> "
AT_PROMPT = re.compile(r"(?:^|\n)oriel> ")  # the kernel's
AT_SHELL = re.compile(r"(?:^|\n)[A-Z]:\\[^\n>]*> ")  # the shell's: its directory
POWER_OFF = "Power off."
LOGS = ROOT / "build" / "logs"
ACCEPT_SECONDS = 240  # Bochs spends half a minute of CPU on its own tables for 6 GB
STOP_SECONDS = 20  # for the rest of a bug check once its first line is there
NMI_SECONDS = 20  # for all stacks after an NMI
EXIT_SECONDS = 20  # for the emulator to end after `Power off.`
IMAGE_BYTES = 1 << 24  # an address this far above an image belongs to another
PR_SET_PDEATHSIG = 1


class SessionError(Exception):
    """The conversation cannot go on."""

    status = Status.EXPECTATION


class BugCheck(SessionError):
    """The guest stopped; `stop` says why (None: it died without a word)."""

    status = Status.BUG_CHECK

    def __init__(self, message, stop=None):
        super().__init__(message)
        self.stop = stop


class TimedOut(SessionError):
    """No prompt in time; `stacks` is what the guest printed when an NMI was injected."""

    status = Status.TIME_OUT

    def __init__(self, message, stacks=""):
        super().__init__(message)
        self.stacks = stacks


class EmulatorFailed(SessionError):
    """The emulator did not start, or ended by itself."""

    status = Status.EMULATOR


LIBC = ctypes.CDLL(None)  # loaded here: the child of a process with threads should do as little as possible


def _die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Session:
    """with Session(Machine(...)) as session: print(session.run("help"))"""

    def __init__(self, machine=None, disc=None, echo=None, debug=False, log=None, shell=False):
        """echo: called with each piece of output. debug: COM2 waits for gdb at `debug_address`. log: transcript's name.
        shell: the prompt to wait for is the shell's, not the kernel's."""
        self.machine = machine or Machine()
        self.machine.check()
        self.disc = disc or build_iso(self.machine.flavor, self.machine.cmdline, self.machine.extra)
        self.echo, self.debug = echo, debug
        self.at_prompt = AT_SHELL if shell else AT_PROMPT
        self.text = ""
        self.power_on = 0.0
        self.debug_address = None
        self.process = self.com1 = self.qmp = self._screen = None
        self._ended = False
        self._incoming = queue.SimpleQueue()  # pieces of bytes; an empty one is the end
        self._reader = threading.Thread(target=self._read_always, daemon=True)
        self._events = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._log_name = log or self.machine.name()
        self._transcript = None

    # ---- Life ----

    def __enter__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="oriel-"))
        try:
            LOGS.mkdir(parents=True, exist_ok=True)
            name = re.sub(r"[^\w.-]+", "_", self._log_name)
            self._transcript = open(LOGS / f"{name}.{os.getpid()}.txt", "w", encoding="utf-8")
            if self.machine.emulator == "qemu":
                self._start_qemu()
            else:
                self._start_bochs()
            self._reader.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the emulator, whatever its state. May be called twice."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        if self._reader.is_alive():
            self._reader.join(10)
        for thing in (self.com1, self.qmp, self._transcript, getattr(self, "_output", None)):
            if thing:
                thing.close()
        if self._screen is not None:
            os.close(self._screen)
            self._screen = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def _spawn(self, line):
        self._output = open(self.directory / "emulator.txt", "wb")
        environment = dict(os.environ, TERM="vt100", LC_ALL="C")
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=self._output, stderr=subprocess.STDOUT,
                                        cwd=self.directory, env=environment, preexec_fn=_die_with_parent,
                                        start_new_session=True)
        self.power_on = time.monotonic()

    def _start_qemu(self):
        com1, qmp = self.directory / "com1", self.directory / "qmp"
        listen = [self._listen(com1), self._listen(qmp)]
        second = "null"
        if self.debug:
            self.debug_address = str(self.directory / "com2")
            second = f"unix:{self.debug_address},server=on,wait=off"
        line = self.machine.qemu(self.disc, self.directory, f"unix:{com1}", second)
        self._spawn(line + ["-chardev", f"socket,id=qmp,path={qmp}", "-mon", "chardev=qmp,mode=control"])
        self.com1, self.qmp = [self._accept(one) for one in listen]
        self._qmp_buffer = b""
        self._qmp_command("qmp_capabilities")

    def _start_bochs(self):
        first = socket.create_server(("localhost", 0))
        com1 = f"mode=socket-client, dev=localhost:{first.getsockname()[1]}"
        com2 = "mode=null"
        if self.debug:
            with socket.create_server(("localhost", 0)) as probe:
                port = probe.getsockname()[1]
            com2 = f"mode=socket-server, dev=localhost:{port}"
            self.debug_address = f"localhost:{port}"
        self._spawn(self.machine.bochs(self.disc, self.directory, com1, com2))
        self.com1 = self._accept(first)
        self._screen = self._open_bochs_screen()

    def _open_bochs_screen(self):
        """Bochs draws on a terminal of its own and stops when nobody reads it: opens that terminal for reading."""
        for entry in pathlib.Path(f"/proc/{self.process.pid}/fdinfo").iterdir():
            try:
                found = re.search(r"^tty-index:\s*(\d+)", entry.read_text(), re.MULTILINE)
            except OSError:
                continue
            if found:
                screen = os.open(f"/dev/pts/{found.group(1)}", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
                tty.setraw(screen)
                return screen
        return None

    @staticmethod
    def _listen(path):
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen(1)
        return server

    def _accept(self, server):
        """Waits for the emulator to connect, or to fail."""
        with server:
            limit = time.monotonic() + ACCEPT_SECONDS
            while not select.select([server], [], [], 0.1)[0]:
                if self.process.poll() is not None:
                    raise EmulatorFailed(f"{self.machine.emulator} did not start: {self.emulator_output()}")
                if time.monotonic() > limit:
                    raise EmulatorFailed(f"{self.machine.emulator} did not open its serial port")
            return server.accept()[0]

    def emulator_output(self):
        """What the emulator itself printed: its last lines."""
        text = ""
        for name in ("emulator.txt", "bochs.log"):
            path = self.directory / name
            if path.exists():
                text += path.read_text(errors="replace")[-1500:]
        return re.sub(r"\x1b[\[(][0-9;?]*[A-Za-z]|[^\n\x20-\x7e]", "", text).strip()

    # ---- QMP ----

    def _qmp_command(self, name, **arguments):
        """Sends one command and returns its answer, or None when QEMU is gone."""
        if not self.qmp:
            return None
        try:
            self.qmp.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
            limit = time.monotonic() + 10
            while time.monotonic() < limit:
                for answer in self._qmp_read(0.2):
                    if "return" in answer or "error" in answer:
                        return answer
        except OSError:
            pass
        return None

    def _qmp_read(self, timeout):
        answers = []
        if self.qmp and select.select([self.qmp], [], [], timeout)[0]:
            try:
                self._qmp_buffer += self.qmp.recv(65536)
            except OSError:
                return []
            *lines, self._qmp_buffer = self._qmp_buffer.split(b"\n")
            for line in filter(None, (line.strip() for line in lines)):
                answer = json.loads(line)
                (self._events if "event" in answer else answers).append(answer)
        return answers

    # ---- Reading ----

    def _read_always(self):
        """The reader's thread: takes in what the emulator sends, at once, whatever the session is busy with.

        QEMU drops output when a few hundred bytes are unread, and Bochs stops when nobody reads its screen.
        """
        sources = [self.com1] if self._screen is None else [self.com1, self._screen]
        while True:
            try:
                ready = select.select(sources, [], [])[0]
                data = self.com1.recv(65536) if self.com1 in ready else None
            except (OSError, ValueError):
                data = b""
            if data is not None:
                self._incoming.put(data)
            if data == b"":
                return
            if self._screen in ready and not self._discard_screen():
                sources = [self.com1]

    def pump(self, timeout):
        """Takes in what the guest printed, after waiting up to `timeout` seconds for it. False: the line closed."""
        if self._ended:
            time.sleep(min(timeout, 0.05))
            return False
        pieces = []
        try:
            pieces.append(self._incoming.get(timeout=timeout) if timeout > 0 else self._incoming.get_nowait())
            while pieces[-1]:  # all there is, so that whoever searches the text does it once
                pieces.append(self._incoming.get_nowait())
        except queue.Empty:
            if not pieces:
                return True
        self._ended = not pieces[-1]
        piece = self._decoder.decode(b"".join(pieces), final=self._ended).replace("\r", "").replace("\0", "")
        self.text += piece
        self._transcript.write(piece)
        self._transcript.flush()
        if self.echo and piece:
            self.echo(piece)
        return not self._ended

    def _discard_screen(self):
        """Throws away what Bochs drew. False: it draws no more."""
        try:
            return os.read(self._screen, 65536) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _wait(self, found, timeout):
        """Pumps until found() is true. Returns its value, or None on time-out or end of the machine."""
        limit = time.monotonic() + timeout
        while True:
            value = found()
            if value:
                return value
            left = limit - time.monotonic()
            if left <= 0:
                return None
            if not self.pump(min(left, 0.5)) and self.process.poll() is not None:
                return found() or None

    def wait_prompt(self, timeout=None, start=0, what="the prompt"):
        """Waits for a prompt after position `start`; returns its position. Raises what stopped the machine otherwise."""
        def event():
            return self.at_prompt.search(self.text, start) or find_stop(self.text)

        timeout = timeout or self.machine.boot_timeout()
        found = self._wait(event, timeout)
        if isinstance(found, re.Match):
            return found.start() + 1 if found.group().startswith("\n") else found.start()
        if found or find_stop(self.text):
            self._raise_stop()
        if self.process.poll() is not None or self._ended:
            self._raise_ended()
        stacks = self.inject_nmi()
        raise TimedOut(f"no prompt {timeout:.0f} s after {what}", stacks)

    def wait_text(self, pattern, timeout, start=0):
        """Waits for a regular expression in the output; returns the match or None."""
        return self._wait(lambda: re.compile(pattern, re.MULTILINE).search(self.text, start), timeout)

    def _raise_stop(self):
        """A bug check has begun: take in the rest of it."""
        self._wait(lambda: END_STOP in self.text, STOP_SECONDS)
        stop = find_stop(self.text)
        raise BugCheck(stop.summary(), stop)

    def _raise_ended(self):
        """The emulator is gone, or hung up: say why."""
        try:
            code = self.process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise EmulatorFailed(f"{self.machine.emulator} closed the serial port and goes on") from None
        while self.pump(0.2):
            pass
        if find_stop(self.text) or (self.machine.emulator == "qemu" and code == QEMU_STOP_STATUS):
            stop = find_stop(self.text)
            raise BugCheck(stop.summary() if stop else "bug check without a word", stop)
        for _ in range(3):
            self._qmp_read(0.1)
        reasons = [event["data"].get("reason") for event in self._events if event["event"] == "SHUTDOWN"]
        if "guest-reset" in reasons or "3rd exception with no resolution" in self.emulator_output():
            raise BugCheck("the processor shut down without a bug check (triple fault)")
        if "guest-shutdown" in reasons or POWER_OFF in self.text:
            raise SessionError("the machine was powered off before all commands had run")
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        raise EmulatorFailed(f"{self.machine.emulator} {how}: {self.emulator_output()}")

    # ---- Talking ----

    def press(self, *keys):
        """Presses keys of the PS/2 keyboard, by QEMU's names for them: "a", "shift-a", "ret"."""
        for key in keys:
            self._qmp_command("human-monitor-command", **{"command-line": f"sendkey {key} 20"})
            time.sleep(0.06)  # longer than the key is held: the next one is a key of its own

    def send(self, text):
        try:
            self.com1.sendall(text.encode())
        except OSError:
            self._ended = True

    def run(self, command, timeout=None):
        """Types a command, waits for the next prompt and returns what was printed between the two."""
        if command.split()[:1] == ["reboot"]:
            self._qmp_command("set-action", reboot="reset")
        if command.split()[:1] == ["shutdown"]:
            return self.power_off()
        while not self._incoming.empty():
            self.pump(0)  # what an earlier command still had to say is not this one's answer
        start = len(self.text)
        self.send(command + "\r")
        end = self.wait_prompt(timeout or self.machine.boot_timeout(), start, f"`{command}`")
        return self.text[start:end].split("\n", 1)[-1]

    def power_off(self):
        """Types `shutdown`; returns the output when the emulator ended because of it."""
        start = len(self.text)
        self.send("shutdown\r")
        self._wait(lambda: find_stop(self.text) or self.process.poll() is not None or self.at_prompt.search(self.text, start),
                   EXIT_SECONDS)
        if find_stop(self.text):
            self._raise_stop()
        if self.at_prompt.search(self.text, start):
            raise SessionError("`shutdown` returned to the prompt")
        if self.process.poll() is None:
            raise TimedOut("`shutdown` did not power the machine off", self.inject_nmi())
        while self.pump(0.2):
            pass
        # Bochs ends before its UART has sent the last bytes.
        if POWER_OFF not in self.text[start:] and "shutdown requested" not in self.emulator_output():
            self._raise_ended()
        return self.text[start:].split("\n", 1)[-1]

    def inject_nmi(self):
        """Asks a guest that hangs for every processor's stack. Returns what it printed, or the emulator's own view."""
        if self.machine.emulator == "bochs":
            return self._bochs_stack()
        start = len(self.text)
        self._qmp_command("inject-nmi")
        self._wait(lambda: END_NMI in self.text[start:] or END_STOP in self.text[start:], NMI_SECONDS)
        stacks = find_stacks(self.text[start:])
        if stacks:
            return stacks
        answer = self._qmp_command("human-monitor-command", **{"command-line": "info registers -a"}) or {}
        return "no answer to the NMI; registers:\n" + str(answer.get("return", "")).replace("\r", "")

    def _bochs_stack(self):
        """Bochs cannot inject an NMI: break into its debugger and list the frames of every processor."""
        before = (self.directory / "emulator.txt").stat().st_size
        try:
            self.process.send_signal(signal.SIGINT)
            time.sleep(1)
            for cpu in range(self.machine.cpus):
                self.process.stdin.write(f"set $cpu={cpu}\nr\nbt 24\n".encode())
            self.process.stdin.flush()
            time.sleep(1)
        except OSError:
            return ""
        text = (self.directory / "emulator.txt").read_bytes()[before:].decode(errors="replace")
        return name_frames(re.sub(r"\x1b[\[(][0-9;?]*[A-Za-z]|[^\n\x20-\x7e]", "", text), self.text)


def name_frames(listing, transcript):
    """Bochs' registers and `bt` in the kernel's form: `  #n 0xADDRESS image+0xOFFSET`, by the bases the loader printed."""
    bases = sorted((int(base, 16), name)
                   for name, base in re.findall(r"^osloader: (\S+) at (0x[0-9A-Fa-f]+)", transcript, re.MULTILINE))
    lines, number = [], 0
    for line in listing.splitlines():
        frame = re.match(r"[0-9a-f]{8,16} -> ([0-9a-f]{16}) ", line)
        if frame:
            address = int(frame.group(1), 16)
            base, name = max((pair for pair in bases if pair[0] <= address < pair[0] + IMAGE_BYTES), default=(0, "?"))
            line = f"  #{number} 0x{address:016X} {name}+0x{address - base:x}"
        number = number + 1 if frame else 0
        lines.append(line)
    return "\n".join(lines)
