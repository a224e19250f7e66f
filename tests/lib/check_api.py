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
asked = set()


def fail(text):
    failures.append(text)
    print("FAILED:", text)


routes = set(re.findall(r'\{"([A-Z]+)", "(/[^"]*)"', open(f"{root}/server/api/api_routes.c", encoding="utf-8").read()))
documented = {(m.upper(), p) for p, o in page["paths"].items() for m in o if m != "parameters"}
for method, path in routes - documented:
    fail(f"{method} {path} is served and not documented")
for method, path in documented - routes:
    fail(f"{method} {path} is documented and not served")



def close(schema, where):
    """What the page does not name, the server may not answer; an object that names nothing says nothing."""
    if isinstance(schema, list):
        for n, part in enumerate(schema):
            close(part, f"{where}.{n}")
    if not isinstance(schema, dict):
        return
    kind = schema.get("type")
    if (kind == "object" or isinstance(kind, list) and "object" in kind) and "additionalProperties" not in schema:
        if "properties" not in schema:
            fail(f"{where} is an object without properties")
        schema["additionalProperties"] = False
    for name, part in schema.items():
        close(part, f"{where}.{name}")


# The page itself: the rules of OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0) for what it uses of it. What each
# object may have, * what it must have.
RULES = {
    "page": "openapi* info* servers security paths* components",
    "info": "title* version* description",
    "path": "parameters get post put patch delete",
    "operation": "operationId* summary* description parameters requestBody responses* security x-role x-scoped x-session x-confirmed",
    "parameter": "name* in* required schema* description",
    "request": "content* required description",
    "response": "description* content",
    "media": "schema*",
    "components": "schemas responses securitySchemes",
}


def rule(kind, thing, where):
    words = RULES[kind].split()
    for name in thing:
        if name not in [word.rstrip("*") for word in words]:
            fail(f"{where}: {kind} has {name}")
    for word in words:
        if word.endswith("*") and word[:-1] not in thing:
            fail(f"{where}: {kind} has no {word[:-1]}")


def check_content(content, where):
    for name, media in content.items():
        rule("media", media, f"{where} {name}")
        jsonschema.Draft202012Validator.check_schema(media["schema"])


def check_parameters(parameters, where):
    names = [(p["name"], p["in"]) for p in parameters]
    if len(set(names)) != len(names):
        fail(f"{where}: a parameter is there twice")
    for parameter in parameters:
        rule("parameter", parameter, where)
        jsonschema.Draft202012Validator.check_schema(parameter["schema"])
        if parameter["in"] not in ("query", "path", "header") or (parameter["in"] == "path") != parameter.get("required", False):
            fail(f"{where}: parameter {parameter['name']}")


rule("page", page, "openapi.yaml")
rule("info", page["info"], "openapi.yaml")
rule("components", page["components"], "openapi.yaml")
if not re.fullmatch(r"3\.1\.\d+", page["openapi"]):
    fail("not OpenAPI 3.1")
for path, methods in page["paths"].items():
    rule("path", methods, path)
    check_parameters(methods.get("parameters", []), path)
    for method, operation in methods.items():
        if method != "parameters":
            where = f"{method} {path}"
            rule("operation", operation, where)
            check_parameters(operation.get("parameters", []), where)
            if "requestBody" in operation:
                rule("request", operation["requestBody"], where)
                check_content(operation["requestBody"]["content"], where)
            for status, response in operation["responses"].items():
                if "$ref" not in response:
                    rule("response", response, f"{where} {status}")
                    check_content(response.get("content", {}), f"{where} {status}")
operations = [o.get("operationId") for p in page["paths"].values() for m, o in p.items() if m != "parameters"]
if None in operations or len(set(operations)) != len(operations):
    fail("an operationId is missing, or there twice")
for path, methods in page["paths"].items():
    named = {p["name"] for p in methods.get("parameters", []) if p["in"] == "path"}
    if named != set(re.findall(r"\{(\w+)\}", path)):
        fail(f"the parameters of {path} are not those of its path")
references = set(re.findall(r"#/components/(\w+)/(\w+)", open(f"{root}/docs/openapi.yaml", encoding="utf-8").read()))
for kind, name in references:
    if name not in page["components"].get(kind, {}):
        fail(f"{kind}/{name} is referred to and not there")
for name, schema in page["components"]["schemas"].items():
    jsonschema.Draft202012Validator.check_schema(schema)
    if ("schemas", name) not in references:
        fail(f"schema {name} is used nowhere")
    close(schema, name)
for path, methods in page["paths"].items():
    for method, operation in methods.items():
        if method != "parameters":
            for status, response in operation["responses"].items():
                close(response.get("content"), f"{method} {path} {status}")
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
    asked.add((method, template))
    validator = jsonschema.Draft202012Validator({**schema, "components": page["components"]})
    for error in validator.iter_errors(answer):
        fail(f"{method} {path}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
    return answer


for path in ["status", "hosts", "vms", "policies", "groups", "recovery-points", "jobs", "store", "store/capacity", "alerts", "digest", "notifications", "audit", "audit/verify", "approvals", "me", "tokens", "users"]:
    expect(200, "GET", "/v1/" + path)
for report, by in [("status", "vm"), ("status", "group"), ("storage", "day"), ("storage", "vm"), ("rpo", "vm"), ("rpo", "group")]:
    expect(200, "GET", "/v1/reports/{report}", report=report, query="?by=" + by)
expect(400, "GET", "/v1/reports/{report}", report="rpo", query="?by=day")
expect(404, "GET", "/v1/reports/{report}", report="weather")
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
expect(200, "PATCH", "/v1/groups/{group}", {"policy": "by-api"}, group="by-api")
expect(400, "PATCH", "/v1/groups/{group}", {}, group="by-api")
job = expect(202, "POST", "/v1/checks", {"vm": vm})["items"][0]
expect(200, "GET", "/v1/jobs/{job}", job=job["id"])
log = expect(200, "GET", "/v1/jobs/{job}/log", query="?limit=1", job=job["id"])
if len(log["items"]) > 1:
    fail("a page of the log is longer than asked for")
expect(404, "GET", "/v1/jobs/{job}/log", job="no-such-job")
for query in ["?type=backup&state=completed", "?host=" + urllib.parse.quote(host), "?requested_by=admin",
              "?since=2020-01-01&until=2100-01-01", "?vm=" + urllib.parse.quote(vm, safe="") + "&host=" + urllib.parse.quote(host)]:
    if not expect(200, "GET", "/v1/jobs", query=query)["items"]:
        fail(f"no job with {query}")
for query in ["?requested_by=nobody", "?until=2020-01-01", "?since=2100-01-01"]:
    if expect(200, "GET", "/v1/jobs", query=query)["items"]:
        fail(f"a job with {query}")
for query in ["?type=any", "?state=any", "?since=then", "?until=then", "?limit=x", "?limit=-1", "?after=x"]:
    expect(400, "GET", "/v1/jobs", query=query)
expect(404, "GET", "/v1/jobs", query="?host=none")
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
hook = {"name": "by-api", "kind": "webhook", "url": "https://127.0.0.1:1/", "secret": "key", "events": ["alerts", "jobs"]}
expect(201, "POST", "/v1/notifications", hook)
expect(409, "POST", "/v1/notifications", hook)
expect(400, "POST", "/v1/notifications", {**hook, "name": "other", "server": "localhost:25"})
expect(400, "POST", "/v1/notifications", {"name": "other", "kind": "pigeon"})
shown = expect(200, "PATCH", "/v1/notifications/{notification}", {"severity": "critical"}, notification="by-api")
if shown["severity"] != "critical" or "secret" in shown or not shown["has_secret"]:
    fail(f"a notification is not what was asked for: {shown}")
expect(200, "GET", "/v1/notifications/{notification}", notification="by-api")
expect(502, "POST", "/v1/notifications/{notification}/test", notification="by-api")
expect(200, "DELETE", "/v1/notifications/{notification}", notification="by-api")
expect(404, "GET", "/v1/notifications/{notification}", notification="by-api")
expect(404, "POST", "/v1/backups", {"vm": vm, "notify": True})
expect(404, "GET", "/v1/alerts/{alert}", alert="12345678")
expect(201, "POST", "/v1/users", {"name": "by-api", "role": "viewer", "password": "correct horse battery"})
expect(200, "GET", "/v1/users/{user}", user="by-api")
expect(200, "DELETE", "/v1/users/{user}", user="by-api")
expect(404, "POST", "/v1/alerts/{alert}/ack", {"note": "x"}, alert="12345678")
expect(200, "GET", "/v1/alerts", query="?all=true&severity=critical")
expect(400, "GET", "/v1/alerts", query="?severity=bad")
expect(200, "GET", "/v1/groups")
expect(200, "GET", "/v1/policies")
for kind, name in [("vms/{vm}", "vm"), ("policies/{policy}", "policy"), ("groups/{group}", "group"),
                   ("recovery-points/{point}", "point"), ("jobs/{job}", "job"), ("hosts/{host}", "host")]:
    expect(404, "GET", "/v1/" + kind, **{name: "no-such-thing"})
expect(200, "POST", "/v1/hosts/{host}/bandwidth", {"bytes_per_second": 1048576, "hours": "08:00-18:00"}, host=host)
expect(200, "GET", "/v1/hosts/{host}", host=host)
expect(200, "POST", "/v1/hosts/{host}/bandwidth", {"bytes_per_second": 0}, host=host)
expect(200, "POST", "/v1/hosts/{host}/drain", {}, host=host)
expect(200, "POST", "/v1/hosts/{host}/resume", {}, host=host)
expect(200, "POST", "/v1/hosts/{host}/discover", {}, host=host)
expect(202, "POST", "/v1/store/collect", {"dry_run": True})
streams = {("GET", p) for p, o in page["paths"].items() if "get" in o and "application/json" not in o["get"]["responses"]["200"].get("content", {})}
for method, path in sorted({r for r in documented if r[0] == "GET"} - asked - streams):
    fail(f"{method} {path} is not looked at by this test")
status, answer = ask("GET", "/v1/nothing")
jsonschema.validate(answer, {**page["components"]["schemas"]["Error"], "components": page["components"]}, jsonschema.Draft202012Validator)
sys.exit(1 if failures else 0)
