#!/usr/bin/env python3
"""Prints the messages that receivers.py got, decoded: messages.py DIRECTORY [KEY]. With a key every webhook's
signature must fit."""
import email
import email.policy
import glob
import hashlib
import hmac
import json
import sys

for path in sorted(glob.glob(sys.argv[1] + "/*.eml")):
    with open(path, "rb") as file:
        mail = email.message_from_binary_file(file, policy=email.policy.default)
    print("==", path)
    for name, value in mail.items():
        print(f"{name}: {value}")
    for part in mail.walk():
        if part.get_content_maintype() == "text":
            print(f"-- {part.get_content_type()}\n{part.get_content()}")
        else:
            print(f"-- {part.get_content_type()}")
for path in sorted(glob.glob(sys.argv[1] + "/*.json")):
    with open(path, encoding="utf-8") as file:
        got = json.load(file)
    print("==", path)
    body, headers = got["body"], got["headers"]
    if len(sys.argv) > 2:
        signed = f"{headers['X-Holdfast-Timestamp']}.{body}".encode()
        wanted = "sha256=" + hmac.new(sys.argv[2].encode(), signed, hashlib.sha256).hexdigest()
        if headers["X-Holdfast-Signature"] != wanted:
            sys.exit(f"{path}: the signature is wrong")
    print("event", headers["X-Holdfast-Event"])
    print(json.dumps(json.loads(body), indent=1))
