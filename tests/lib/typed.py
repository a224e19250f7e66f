#!/usr/bin/env python3
"""Runs a program on a terminal of its own and types: typed.py 'QUESTION=ANSWER' … -- PROGRAM [ARGUMENT …]. What it shows
is printed; the exit status is its own."""
import os
import pty
import select
import sys
import time

split = sys.argv.index("--")
answers = [one.split("=", 1) for one in sys.argv[1:split]]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[split + 1], sys.argv[split + 1:])
shown, end = b"", time.monotonic() + 180
while time.monotonic() < end:
    if not select.select([terminal], [], [], 0.2)[0]:
        continue
    try:
        more = os.read(terminal, 4096)
    except OSError:  # it has ended
        break
    shown += more
    if answers and shown.endswith(answers[0][0].encode()):
        os.write(terminal, answers.pop(0)[1].encode() + b"\n")
else:
    os.kill(pid, 9)
print(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
