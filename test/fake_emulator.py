#!/usr/bin/python3
"""Stands in for QEMU in test_harness.py: a guest that behaves exactly as a test wants it to.

    fake_emulator.py COM1 QMP BEHAVIOUR

Connects to both sockets as QEMU does, prints a prompt and answers lines. A line that names a behaviour below shows it;
`shutdown` powers off unless BEHAVIOUR says otherwise.
"""

import json
import os
import signal
import socket
import sys
import threading
import time

STOP = """
*** STOP 0x0000000A (0xFFFFF80000001000, 0x2, 0x0, 0xFFFFF80000002000) IRQL_NOT_LESS_OR_EQUAL
RAX 0000000000000000
  #0 0xFFFFF80000002000 ntoskrnl.exe+0x2000
  #1 0xFFFFF80000002040 ntoskrnl.exe+0x2040
*** END STOP
"""
NMI = "\n*** NMI\nCPU 0\n  #0 0xFFFFF80000003000 ntoskrnl.exe+0x3000\n*** END NMI\n"


def connect(path):
    line = socket.socket(socket.AF_UNIX)
    line.connect(path)
    return line


COM1, QMP, BEHAVIOUR = connect(sys.argv[1]), connect(sys.argv[2]), sys.argv[3]


def put(text):
    COM1.sendall(text.replace("\n", "\r\n").encode())


def event(name, **data):
    QMP.sendall(json.dumps({"event": name, "data": data}).encode() + b"\r\n")


def serve_qmp():
    QMP.sendall(b'{"QMP": {}}\r\n')
    for line in QMP.makefile():
        request = json.loads(line)
        if request["execute"] == "inject-nmi" and BEHAVIOUR != "deaf":
            put(NMI)
        QMP.sendall(b'{"return": ""}\r\n')


def stop(text):
    put(text)
    time.sleep(0.2)
    os._exit(0x2A << 1 | 1)


def answer(line):
    if line == "stop":
        stop(STOP)
    elif line == "cut":
        stop(STOP[:60])
    elif line == "mute":
        stop("")
    elif line == "triple":
        event("SHUTDOWN", guest=True, reason="guest-reset")
        os._exit(0)
    elif line == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif line == "hang":
        time.sleep(60)
    elif line == "split":
        for letter in "one\noriel> not yet\n":
            put(letter if letter != ">" else "]")
            time.sleep(0.001)
    elif line == "shutdown":
        if BEHAVIOUR == "stays":
            time.sleep(60)
        put("Power off.\n")
        event("SHUTDOWN", guest=True, reason="guest-shutdown")
        os._exit(0)
    else:
        put(f"<{line}>\n")


def main():
    threading.Thread(target=serve_qmp, daemon=True).start()
    time.sleep(0.1)
    if BEHAVIOUR == "silent":
        time.sleep(60)
    put("Oriel chk\nReady.\noriel> ")
    line = ""
    while True:
        for letter in COM1.recv(4096).decode():
            put("\n" if letter == "\r" else letter)
            if letter == "\r":
                answer(line)
                put("oriel> ")
                line = ""
            else:
                line += letter


main()
