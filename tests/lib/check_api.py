#!/usr/bin/env python3
"""The server against docs/openapi.yaml: every route is documented and every documented one is served, and what
it answers is what the page says.  check_api.py ROOT URL CA TOKEN VM POINT"""
import json
import re
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import jsonschema
import yaml

root, url, ca, token, vm, point = sys.argv[1:]
page = yaml.safe_load(open(f"{root}/docs/openapi.yaml", encoding="utf-8"))
failures = []


def fail(text):
    failures.append(text)
    print("FAILED:", text)


routes = set(re.findall(r'\{"([A-Z]+)", "(/v1[^"]*)"', open(f"{root}/server/api_routes.c", encoding="utf-8").read()))
documented = {(m.upper(), p) for p, o in page["paths"].items() for m in o if m != "parameters"}
for method, path in routes - documented:
    fail(f"{method} {path} is served and not documented")
for method, path in documented - routes:
    fail(f"{method} {path} is documented and not served")

jsonschema.Draft202012Validator.check_schema(page["components"]["schemas"]["Job"])
context = ssl.create_default_context(cafile=ca)


def ask(method, path, body=None, headers=None):
    request = urllib.request.Request(url + path, method=method, data=json.dumps(body).encode() if body is not None else None)
    request.add_header("Authorization", "Bearer " + token)
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, context=context) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def expect(status, method, template, body=None, query="", **parameters):
    path = template
    for name, value in parameters.items():
        path = path.replace("{%s}" % name, urllib.parse.quote(value, safe=""))
    got, answer = ask(method, path + query, body)
    responses = page["paths"][template][method.lower()]["responses"]
    if got != status:
        fail(f"{method} {path}{query}: HTTP status {got} instead of {status}: {answer}")
        return answer
    if str(status) in responses:
        schema = responses[str(status)]["content"]["application/json"]["schema"]
    else:
        schema = page["components"]["schemas"]["Error"]
    validator = jsonschema.Draft202012Validator({**schema, "components": page["components"]})
    for error in validator.iter_errors(answer):
        fail(f"{method} {path}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
    return answer


for path in ["status", "hosts", "vms", "policies", "groups", "recovery-points", "jobs", "store"]:
    expect(200, "GET", "/v1/" + path)
first = expect(200, "GET", "/v1/jobs", query="?limit=1")
if first["next"] is not None:
    second = expect(200, "GET", "/v1/jobs", query=f"?limit=1&after={first['next']}")
    if second["items"] and second["items"][0]["id"] == first["items"][0]["id"]:
        fail("the second page begins with the first's job")
host = expect(200, "GET", "/v1/hosts")["items"][0]["name"]
expect(200, "GET", "/v1/hosts/{host}", host=host)
expect(404, "GET", "/v1/hosts/{host}", host="no/such")
expect(200, "GET", "/v1/vms/{vm}", vm=vm)
expect(201, "POST", "/v1/host-tokens", {})
expect(400, "POST", "/v1/host-tokens", {"ttl_seconds": "soon"})
policy = expect(201, "POST", "/v1/policies", {"name": "by-api", "schedule": {"kind": "interval", "interval_minutes": 60}})
expect(409, "POST", "/v1/policies", {"name": "by-api"})
expect(200, "PATCH", "/v1/policies/{policy}", {"retention": {"daily": 7}}, policy="by-api")
expect(200, "PATCH", "/v1/policies/{policy}", {"version": 2, "priority": "high"}, policy="by-api")
expect(409, "PATCH", "/v1/policies/{policy}", {"version": 2, "priority": "low"}, policy="by-api")
runs = expect(200, "GET", "/v1/policies/{policy}/runs", policy="by-api", query="?count=3&after=2028-02-29")["items"]
if [run["time"][:16] for run in runs] != ["2028-02-29T01:00", "2028-02-29T02:00", "2028-02-29T03:00"]:
    fail(f"the next runs of by-api are {runs}")
expect(400, "GET", "/v1/policies/{policy}/runs", policy="by-api", query="?count=1001")
expect(200, "POST", "/v1/schedules/runs", {"schedule": {"kind": "weekly", "days": 1, "daily_times": "04:00"}, "vm": vm})
expect(400, "POST", "/v1/schedules/runs", {"schedule": {"kind": "weekly", "daily_times": "04:00"}})
expect(200, "GET", "/v1/policies/{policy}/versions", policy="by-api", query="?limit=2")
expect(200, "GET", "/v1/policies/{policy}/versions/{version}", policy="by-api", version="1")
expect(404, "GET", "/v1/policies/{policy}/versions/{version}", policy="by-api", version="77")
expect(200, "PATCH", "/v1/policies/{policy}", {"retention": {"daily": 7}, "lock_days": 0}, policy="by-api")
expect(200, "POST", "/v1/policies/{policy}/preview", {"retention": {"daily": 1}}, policy="by-api")
expect(400, "POST", "/v1/policies/{policy}/preview", {"retention": {"days": 0, "daily": 0}}, policy="by-api")
expect(400, "PATCH", "/v1/policies/{policy}", {"lock_days": 99999}, policy="by-api")
expect(200, "POST", "/v1/groups", {"name": "by-api", "policy": policy["id"], "vms": [vm], "dry_run": True})
group = expect(201, "POST", "/v1/groups", {"name": "by-api", "policy": policy["id"], "vms": [vm]})
expect(200, "GET", "/v1/groups/{group}", group="by-api")
job = expect(202, "POST", "/v1/checks", {"vm": vm})["items"][0]
expect(200, "GET", "/v1/jobs/{job}", job=job["id"])
expect(200, "GET", "/v1/recovery-points/{point}", point=point)
expect(200, "POST", "/v1/recovery-points/{point}/hold", {"held": True}, point=point)
expect(409, "DELETE", "/v1/recovery-points/{point}", point=point)
expect(200, "POST", "/v1/recovery-points/{point}/hold", {"held": False}, point=point)
expect(200, "POST", "/v1/recovery-points/{point}/retain", {"until": "2100-01-31"}, point=point)
expect(200, "POST", "/v1/recovery-points/{point}/retain", {"until": None}, point=point)
expect(400, "POST", "/v1/recovery-points/{point}/retain", {}, point=point)
expect(404, "POST", "/v1/recovery-points/{point}/undelete", point=point)
expect(400, "DELETE", "/v1/recovery-points/{point}", query="?now=perhaps", point=point)
expect(400, "GET", "/v1/recovery-points", query="?deleted=1")
expect(200, "GET", "/v1/recovery-points", query="?deleted=true")
expect(202, "POST", "/v1/recovery-points/{point}/verify", point=point)
expect(400, "POST", "/v1/restores", {"point": point})
expect(409, "POST", "/v1/vms/{vm}/seed", {"point": point}, vm=vm)
expect(400, "POST", "/v1/vms/{vm}/seed", {}, vm=vm)
expect(400, "POST", "/v1/vms/{vm}/seed", {"point": point, "disks": ["disk0"]}, vm=vm)
for _ in range(600):  # a VM whose job runs keeps its seed
    if expect(200, "GET", "/v1/jobs/{job}", job=job["id"])["finished"] is not None:
        break
    time.sleep(0.1)
expect(200, "DELETE", "/v1/vms/{vm}/seed", vm=vm)
expect(200, "POST", "/v1/groups/{group}/members", {"vms": [vm], "dry_run": True}, group="by-api")
expect(200, "POST", "/v1/groups/{group}/stop", {"delete_data": True}, group="by-api")
expect(200, "GET", "/v1/recovery-points/{point}", point=point)
expect(200, "POST", "/v1/groups/{group}/resume", group="by-api")
expect(200, "DELETE", "/v1/groups/{group}/members/{vm}", group="by-api", vm=vm)
later = expect(202, "POST", "/v1/backups", {"vm": vm, "at": "2100-01-31T22:00:00Z"})["items"][0]
if later["state"] != "queued" or later["next_attempt"] is None:
    fail(f"a backup at a chosen time is not queued until then: {later}")
expect(202, "POST", "/v1/jobs/{job}/cancel", job=later["id"])
expect(400, "POST", "/v1/backups", {"vm": vm, "at": "2020-01-31"})
expect(200, "DELETE", "/v1/groups/{group}", group="by-api")
expect(200, "DELETE", "/v1/policies/{policy}", policy="by-api")
sys.exit(1 if failures else 0)
