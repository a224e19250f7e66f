#!/usr/bin/env python3
"""fill CATALOG JOBS: a year of jobs of 800 VMs on 20 hosts.  ask PORT CA TOKEN-FILE JOBS: every combination of the
filters, through the API over one connection, with common and rare values, at the beginning of a list and deep in it."""
import datetime
import http.client
import itertools
import json
import random
import sqlite3
import ssl
import sys
import time
import urllib.parse
import uuid

VMS, HOSTS, GROUPS = 800, 20, 20
YEAR_MS = 365 * 86400 * 1000
TYPES = ["backup"] * 960 + ["check"] * 10 + ["restore"] * 10 + ["verify"] * 10 + ["collect"] * 9 + ["rebuild"]
STATES = ["completed"] * 930 + ["completed-with-warnings"] * 30 + ["failed"] * 30 + ["cancelled"] * 10
REQUESTERS = ["schedule"] * 970 + ["admin"] * 25 + ["anna"] * 5


def identity(kind, number):
    return str(uuid.UUID(int=(kind << 120) + number * 7919))


def fill_objects(database, hosts, vms, groups):
    """Hosts, VMs and groups of the first policy."""
    database.executemany(
        "INSERT INTO hosts (id, name, state, state_since_ms, serial, previous_serial, certificate_expires_ms, software,"
        " system, kinds, address, enrolled_ms, last_seen_ms) VALUES (?, ?, 'unreachable', 0, '', '', 0, '', '', 'kvm', '', 0, 0)",
        [(identity(1, n), f"host{n}") for n in range(hosts)])
    database.executemany(
        "INSERT INTO vms (id, host_id, uuid, kind, name, power, guest_agent, tracking, memory_mib, cpus, present, vanished_ms)"
        " VALUES (?, ?, ?, 'kvm', ?, 'running', 'answers', 'ready', 0, 0, 1, 0)",
        [(identity(2, n), identity(1, n % hosts), identity(2, n), f"vm{n}") for n in range(vms)])
    database.executemany(
        "INSERT INTO protection_groups (id, name, policy_id, stopped, created_ms, scheduled_ms)"
        " SELECT ?, ?, id, 1, 0, 0 FROM policies LIMIT 1", [(identity(3, n), f"group{n}") for n in range(groups)])


def job_statement():
    """Takes what the rows of fill_jobs have."""
    texts = ["id", "type", "state", "snapshot_state", "transfer_state", "vm_id", "vm_name", "host_id", "host_name", "group_id",
             "point_id", "requested_by", "mode", "created_ms", "started_ms", "finished_ms", "done_bytes", "total_bytes"]
    empty = ["reason", "step", "error_code", "error_message", "error_cause", "restore_name", "restore_directory",
             "restored_uuid", "restored_name"]
    zero = ["on_demand", "full", "retain_until_ms", "attempt", "max_attempts", "next_attempt_ms", "wire_bytes", "stored_bytes",
            "rate", "snapshot_started_ms", "snapshot_finished_ms", "transfer_started_ms", "transfer_finished_ms",
            "restore_to_original", "restore_start", "restore_stop_running"]
    return "INSERT INTO jobs (%s) VALUES (%s)" % (
        ", ".join(texts + empty + zero), ", ".join(["?"] * len(texts) + ["''"] * len(empty) + ["0"] * len(zero)))


def fill(path, jobs):
    database = sqlite3.connect(path)
    database.execute("PRAGMA synchronous = OFF")
    now = int(time.time() * 1000)
    fill_objects(database, HOSTS, VMS, GROUPS)
    pick = random.Random(1)

    def rows():
        for n in range(jobs):
            vm = pick.randrange(VMS)
            at = now - YEAR_MS + 86400000 + n * (YEAR_MS - 2 * 86400000) // jobs
            yield (identity(4, n), pick.choice(TYPES), pick.choice(STATES), "completed", "completed", identity(2, vm), f"vm{vm}",
                   identity(1, vm % HOSTS), f"host{vm % HOSTS}", identity(3, vm % 23) if vm % 23 < GROUPS else None,
                   identity(5, n), pick.choice(REQUESTERS), "incremental", at, at, at + 60000, 1 << 30, 1 << 30)

    with database:
        database.executemany(job_statement(), rows())
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def moment(days_ago):
    return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Client:
    """One connection with the administrator's token."""

    def __init__(self, port, ca, token_file):
        self.connection = http.client.HTTPSConnection("127.0.0.1", int(port), context=ssl.create_default_context(cafile=ca))
        self.headers = {"Authorization": "Bearer " + open(token_file, encoding="ascii").read().strip()}

    def get(self, path):
        """The answer, and how many milliseconds it took."""
        begun = time.perf_counter()
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        took = (time.perf_counter() - begun) * 1000
        assert answer.status == 200, (path, body)
        return json.loads(body), took


def tell(times):
    for name, taken in times.items():
        print(f"{name:18} {len(taken):5} requests  p50 {percentile(taken, 0.5):6.1f} ms  p99 {percentile(taken, 0.99):6.1f} ms"
              f"  max {max(taken):6.1f} ms")


def ask(port, ca, token_file, jobs):
    client = Client(port, ca, token_file)
    pick = random.Random(2)
    values = {
        "vm": lambda: f"vm{pick.randrange(VMS)}",
        "group": lambda: f"group{pick.randrange(GROUPS)}",
        "host": lambda: f"host{pick.randrange(HOSTS)}",
        "requested_by": lambda: pick.choice(["schedule", "admin", "anna", "nobody"]),
        "type": lambda: pick.choice(["backup", "restore", "rebuild"]),
        "state": lambda: pick.choice(["completed", "failed", "cancelled", "running"]),
        "since": lambda: moment(pick.randrange(100, 360)),
        "until": lambda: moment(pick.randrange(1, 300)),
    }
    times = {}
    slowest = (0, "")
    for size in range(len(values) + 1):
        for names in itertools.combinations(values, size):
            for turn in range(8):
                query = {name: values[name]() for name in names}
                if turn % 2:
                    query["after"] = pick.randrange(1, int(jobs))
                path = "/v1/jobs?" + urllib.parse.urlencode({**query, "limit": 100})
                _, took = client.get(path)
                times.setdefault(f"{size} filters", []).append(took)
                times.setdefault("deep" if turn % 2 else "at the beginning", []).append(took)
                times.setdefault("all", []).append(took)
                slowest = max(slowest, (took, path))
    tell(times)
    print(f"the slowest: {slowest[0]:.1f} ms {slowest[1]}")


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill(sys.argv[2], int(sys.argv[3]))
    else:
        ask(*sys.argv[2:])
