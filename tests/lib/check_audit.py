#!/usr/bin/env python3
"""Every route of docs/openapi.yaml that changes something leaves an entry in the audit record, with invalid ids; strangers
do, too, but not without a bound.  check_audit.py ROOT URL CA TOKEN"""
import json
import re
import ssl
import sys
import time
import urllib.error
import urllib.request

import yaml

root, url, ca, token = sys.argv[1:]
page = yaml.safe_load(open(f"{root}/docs/openapi.yaml", encoding="utf-8"))
context = ssl.create_default_context(cafile=ca)
failures = 0


def ask(method, path, body=None, secret=token):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url + path, method=method, data=data)
    request.add_header("Authorization", "Bearer " + secret)
    try:
        with urllib.request.urlopen(request, context=context) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def fail(text):
    global failures
    failures += 1
    print("FAILED:", text)


for path, operations in page["paths"].items():
    for method in operations:
        if method in ("get", "parameters"):
            continue
        before = ask("GET", "/v1/audit?limit=1")[1]["items"][0]
        real = re.sub(r"\{[^}]*\}", "no-such-thing", path)
        status, answer = ask(method.upper(), real, {"no-such-field": 1, "password": "swordfish"})
        after = ask("GET", "/v1/audit?limit=1")[1]["items"][0]
        if int(after["id"]) != int(before["id"]) + 2 or after["action"] != f"{method.upper()} {path}":
            fail(f"{method.upper()} {path} left {after}")
        elif after["outcome"] != ("refused" if status >= 400 else "done") or after["code"] != answer.get("code"):
            fail(f"{method.upper()} {path} answered {status} {answer}, and left {after}")
        if "swordfish" in json.dumps(after):
            fail(f"{method.upper()} {path}: a secret is on the record")

# A body that can't be read.
request = urllib.request.Request(url + "/v1/policies", method="POST", data=b"{")
request.add_header("Authorization", "Bearer " + token)
try:
    urllib.request.urlopen(request, context=context)
except urllib.error.HTTPError as error:
    error.read()
last = ask("GET", "/v1/audit?limit=1")[1]["items"][0]
if last["action"] != "POST /v1/policies" or last["outcome"] != "refused" or last["code"] != "REQUEST_INVALID":
    fail(f"a body that can't be read left {last}")

# Strangers: the first ones are there, a flood is not: 20 at once, and one more every three seconds.
began = time.monotonic()
for _ in range(60):
    if ask("DELETE", "/v1/groups/x%22%0a%ff", secret="wrong")[0] != 401:
        fail("a stranger is let in")
most = 21 + (time.monotonic() - began) / 3
entries = ask("GET", "/v1/audit?limit=100")[1]["items"]
strangers = [entry for entry in entries if entry["code"] == "AUTHENTICATION_FAILED"]
if not 1 <= len(strangers) <= most or strangers[0]["outcome"] != "refused" or strangers[0]["address"] != "127.0.0.1":
    fail(f"{len(strangers)} strangers are on the record: {strangers[:1]}")
sys.exit(1 if failures else 0)
