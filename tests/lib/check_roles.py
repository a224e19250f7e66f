#!/usr/bin/env python3
"""Every route of docs/openapi.yaml by every kind of caller, against a running server: who gets an answer, who is refused,
and for whom an object is not there is what x-role, x-scoped and x-session say.  check_roles.py ROOT PORT CA WORLD
WORLD: JSON {"callers": {NAME: {"token", "role", "scoped", "kind"}}, "inside": {KIND: REFERENCE}, "outside": {…}}"""
import http.client
import json
import re
import ssl
import sys
import urllib.parse

import yaml

root, port, ca, world = sys.argv[1:]
page = yaml.safe_load(open(f"{root}/docs/openapi.yaml", encoding="utf-8"))
world = json.load(open(world, encoding="utf-8"))
inside, outside = world["inside"], world["outside"]
ranks = {"anyone": 0, "viewer": 1, "operator": 2, "administrator": 3}
connection = http.client.HTTPSConnection("127.0.0.1", int(port), context=ssl.create_default_context(cafile=ca))
failures = asked = 0


def ask(token, method, path, body=None):
    global asked
    asked += 1
    headers = {"Authorization": "Bearer " + token} if token is not None else {}
    connection.request(method, path, body=json.dumps(body) if body is not None else None, headers=headers)
    answer = connection.getresponse()
    if answer.getheader("Content-Type") == "text/event-stream":  # it does not end
        connection.close()
        return answer.status, {"code": "-"}
    data = answer.read()
    try:
        return answer.status, json.loads(data)
    except ValueError:
        return answer.status, {"code": "-", "bytes": len(data)}


def expect(who, method, path, wanted, got, answer):
    global failures
    if not wanted(got, answer.get("code")):
        failures += 1
        print(f"FAILED: {who}: {method} {path}: {got} {answer}")


def same(who, what, wanted, got):
    global failures
    if wanted != got:
        failures += 1
        print(f"FAILED: {who}: {what}: {got} instead of {wanted}")


def ask_text(token, path):
    connection.request("GET", path, headers={"Authorization": "Bearer " + token})
    return connection.getresponse().read().decode()


def is_(status, code):
    return lambda got_status, got_code: (got_status, got_code) == (status, code)


def answered(status, code):  # not refused for who asks; what is wrong with the request may be said
    return status not in (401, 403)


def filled(template, references):
    return re.sub(r"\{(\w+)\}", lambda m: urllib.parse.quote(references.get(m[1], "1" if m[1] == "version" else "no-such-thing"), safe=""), template)


operations = [(method.upper(), path, operation) for path, methods in page["paths"].items()
              for method, operation in methods.items() if method != "parameters"]
operations.sort(key=lambda o: o[1] == "/v1/sessions/current")  # the session ends there
nothing = {"no-such-field": 1}  # where the body is read, it is refused there

for name, caller in world["callers"].items():
    for method, path, operation in operations:
        role, scoped = operation["x-role"], operation["x-scoped"]
        if role == "anyone":
            wanted = answered
        elif caller["kind"] in ("none", "wrong", "disabled"):
            wanted = is_(401, "AUTHENTICATION_FAILED")
        elif caller["kind"] == "expired":
            wanted = is_(401, "SESSION_EXPIRED")
        elif ranks[caller["role"]] < ranks[role] or (caller["scoped"] and not scoped):
            wanted = is_(403, "PERMISSION_DENIED")
        elif operation.get("x-session") and caller["kind"] == "api":
            wanted = lambda status, code: status in (400, 403) and code in ("PERMISSION_DENIED", "REQUEST_INVALID", "USER_INVALID")
        elif re.search(r"\{(host|vm|policy|group|point|job|user|approval|alert|notification|report)\}", path):
            wanted = lambda status, code: status == 404 and code.endswith("_NOT_FOUND")
        elif method == "GET":
            wanted = lambda status, code: status == 200
        else:
            wanted = answered
        target = filled(path, {})
        status, answer = ask(caller["token"], method, target, nothing if method in ("POST", "PATCH") else None)
        expect(name, method, target, wanted, status, answer)
    # what is in the caller's groups is there, what is not is as if it did not exist
    if caller["kind"] != "session" or not caller["scoped"]:
        continue
    token = caller["again"]
    for method, path, operation in operations:
        kinds = [k for k in re.findall(r"\{(\w+)\}", path) if k in outside]
        if not operation["x-scoped"] or ranks[caller["role"]] < ranks[operation["x-role"]] or not kinds:
            continue
        status, answer = ask(token, method, filled(path, outside), nothing if method in ("POST", "PATCH") else None)
        expect(name, method, path + " (outside)", lambda s, c: s == 404 and c.endswith("_NOT_FOUND"), status, answer)
        absent = ask(token, method, filled(path, {}), nothing if method in ("POST", "PATCH") else None)[1]
        first = outside[kinds[0]]
        if answer.get("message", "").replace(first, "X") != absent.get("message", "").replace("no-such-thing", "X"):
            failures += 1
            print(f"FAILED: {name}: {method} {path} tells what is outside from what is not there:\n  {answer}\n  {absent}")
        if method == "GET":
            status, answer = ask(token, method, filled(path, {**inside, "disk": "disk0"}))
            expect(name, method, path + " (inside)", lambda s, c: s == 200, status, answer)
    for path, field in [("/v1/backups", "vm"), ("/v1/backups", "group"), ("/v1/checks", "vm"), ("/v1/restores", "point"), ("/v1/restores", "host")]:
        if ranks[caller["role"]] < ranks["operator"]:
            continue
        status, answer = ask(token, "POST", path, {field: outside[field]})
        expect(name, "POST", f"{path} ({field} outside)", lambda s, c: s == 404 and c.endswith("_NOT_FOUND"), status, answer)
        status, answer = ask(token, "POST", path, {field: inside[field], **nothing})
        expect(name, "POST", f"{path} ({field} inside)", is_(400, "REQUEST_INVALID"), status, answer)
    for path, kind in [("hosts", "host"), ("vms", "vm"), ("policies", "policy"), ("groups", "group"), ("recovery-points", "point"), ("jobs", "job")]:
        status, answer = ask(token, "GET", f"/v1/{path}")
        got = sorted(item["id"] for item in answer["items"])
        if got != sorted(world["lists"][kind]):
            failures += 1
            print(f"FAILED: {name}: GET /v1/{path} lists {got} instead of {world['lists'][kind]}")
    for query, field in [("/v1/vms?group=", "group"), ("/v1/vms?host=", "host"), ("/v1/jobs?vm=", "vm"), ("/v1/recovery-points?vm=", "vm")]:
        status, answer = ask(token, "GET", query + urllib.parse.quote(outside[field], safe=""))
        expect(name, "GET", query + "outside", lambda s, c: s == 404 and c.endswith("_NOT_FOUND"), status, answer)
    status, answer = ask(token, "GET", "/v1/status")
    if sum(answer["vms"].values()) != len(world["lists"]["vm"]) or sum(answer["hosts"].values()) != len(world["lists"]["host"]):
        failures += 1
        print(f"FAILED: {name}: the status counts what is outside: {answer}")

    # alerts and reports: of what is in the groups, page by page; what concerns the server is refused
    got, page = [], "/v1/alerts?all=true&limit=1"
    while page:
        answer = ask(token, "GET", page)[1]
        got += [alert["id"] for alert in answer["items"]]
        page = f"/v1/alerts?all=true&limit=1&after={answer['next']}" if answer["next"] else None
        same(name, "alerts on a page", True, len(answer["items"]) == 1 or not page)
    same(name, "alerts", sorted(world["lists"]["alert"]), sorted(got))
    for report in ("status", "rpo", "storage"):
        status, answer = ask(token, "GET", f"/v1/reports/{report}?by=vm")
        same(name, f"VMs of the report {report}", world["lists"]["vm"], [row["vm_id"] for row in answer["items"]])
        status, answer = ask(token, "GET", f"/v1/reports/{report}?by=group")
        same(name, f"groups of the report {report}", [inside["group"]], [row["group"] for row in answer["items"]])
        text = ask_text(token, f"/v1/reports/{report}?by=vm&format=csv")
        same(name, f"{report} as CSV", (2, False), (len(text.splitlines()), outside["vm"].split("/")[1] in text))
    status, answer = ask(token, "GET", "/v1/reports/storage?by=day")
    expect(name, "GET", "/v1/reports/storage?by=day", is_(403, "PERMISSION_DENIED"), status, answer)
    if ranks[caller["role"]] >= ranks["operator"]:
        status, answer = ask(token, "POST", f"/v1/alerts/{inside['alert']}/ack", {"note": "seen"})
        expect(name, "POST", "/v1/alerts/{alert}/ack (inside)", lambda s, c: s == 200, status, answer)
    status, answer = ask(token, "GET", "/v1/status")
    same(name, "VMs that the status judges", len(world["lists"]["vm"]), sum(answer["rpo"].values()))

print(f"{len(operations)} operations, {len(world['callers'])} callers, {asked} requests, {failures} failures")
sys.exit(1 if failures else 0)
