#!/usr/bin/env python3
"""A code of RFC 6238 that was not used yet: totp.py SECRET FILE. FILE keeps the last step; where the server's window (a step
before and behind its own) has no later one, it is waited for."""
import base64
import hashlib
import hmac
import pathlib
import struct
import sys
import time

STEP_S = 30
secret, kept = base64.b32decode(sys.argv[1]), pathlib.Path(sys.argv[2])
if kept.exists():
    last = int(kept.read_text())
else:  # the step before this one saves a wait later, unless it leaves the window before the code has arrived
    now = time.time()
    last = int(now) // STEP_S - (2 if now % STEP_S < STEP_S / 2 else 1)
while last + 1 > int(time.time()) // STEP_S + 1:
    time.sleep(0.2)
step = max(last + 1, int(time.time()) // STEP_S if kept.exists() else 0)
kept.write_text(str(step))
digest = hmac.new(secret, struct.pack(">q", step), hashlib.sha1).digest()
at = digest[-1] & 15
print(f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1000000:06}")
