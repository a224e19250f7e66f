#!/usr/bin/env python3
"""fill CATALOG VMS POINTS JOBS: 40 groups, the points and the jobs of a year.  mend CATALOG: no point is damaged.  ask PORT CA TOKEN-FILE VMS POINTS: every list
and the status, through the API over one connection, at the beginning of a list and deep in it."""
import random
import sqlite3
import sys
import time
import urllib.parse

from job_list import Client, fill_objects, identity, job_statement, tell

HOSTS, GROUPS, TURNS = 100, 40, 40
DAY_MS = 86400000
YEAR_MS = 365 * DAY_MS


def point_rows(vms, points, now):
    for n in range(points):
        vm, at = n % vms, now - YEAR_MS + n * YEAR_MS // points
        yield (identity(5, n), identity(2, vm), f"vm{vm}", identity(1, vm % HOSTS), f"host{vm % HOSTS}", identity(4, n), at,
               at + 60000, 1 << 36, 1 << 30)


def job_rows(vms, jobs, now):
    pick = random.Random(1)
    for n in range(jobs):
        vm, at = n % vms, now - YEAR_MS + n * YEAR_MS // jobs
        yield (identity(4, n), "backup", pick.choice(["completed"] * 97 + ["failed"] * 2 + ["cancelled"]), "completed",
               "completed", identity(2, vm), f"vm{vm}", identity(1, vm % HOSTS), f"host{vm % HOSTS}", None, identity(5, n),
               "schedule", "incremental", at, at, at + 60000, 1 << 30, 1 << 30)


def fill(path, vms, points, jobs):
    database = sqlite3.connect(path)
    database.execute("PRAGMA synchronous = OFF")
    now = int(time.time() * 1000)
    with database:
        fill_objects(database, HOSTS, vms, GROUPS)
        database.execute("UPDATE protection_groups SET stopped = 0")
        database.execute("UPDATE policy_versions SET schedule = 'daily', daily_times = ?, enabled = 1, keep_days = 9999",
                         (time.strftime("%H:%M", time.gmtime(time.time() + 43200)),))
        database.executemany("INSERT INTO vm_disks (vm_id, position, name, path, format, size, supported, reason)"
                             " VALUES (?, ?, ?, '/x', 'qcow2', 68719476736, 1, '')",
                             [(identity(2, n), k, f"vd{'ab'[k]}") for n in range(vms) for k in range(2)])
        database.executemany("INSERT INTO group_members (vm_id, group_id, added_ms) VALUES (?, ?, ?)",
                             [(identity(2, n), identity(3, n % GROUPS), now - YEAR_MS) for n in range(vms) if n % 41])
        database.executemany(
            "INSERT INTO recovery_points (id, vm_id, vm_name, host_id, host_name, kind, parent, job_id, time_ms, committed_ms,"
            " mode, reason, consistency, consistency_reason, size, read_bytes, sent_bytes, stored_bytes, retain_until_ms, held,"
            " damaged, verified_ms) VALUES (?, ?, ?, ?, ?, 'kvm', '', ?, ?, ?, 'incremental', '', 'filesystem', '', ?, 0, 0, ?,"
            " 0, 0, 0, 0)", point_rows(vms, points, now))
        database.executemany(job_statement(), job_rows(vms, jobs, now))
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def mend(path):
    database = sqlite3.connect(path, timeout=60)
    with database:
        database.execute("UPDATE recovery_points SET damaged = 0")
    database.close()


def ask(port, ca, token_file, vms, points):
    client = Client(port, ca, token_file)
    pick = random.Random(2)
    vms, points = int(vms), int(points)
    requests = {
        "vms": ("vms", lambda: {"after": pick.randrange(vms)}),
        "vms, first page": ("vms", dict),
        "vms of a group": ("vms", lambda: {"group": f"group{pick.randrange(GROUPS)}"}),
        "vms of a host": ("vms", lambda: {"host": f"host{pick.randrange(HOSTS)}"}),
        "vms by name": ("vms", lambda: {"search": f"m{pick.randrange(vms)}"}),
        "groups": ("groups", dict),
        "hosts": ("hosts", dict),
        "points": ("recovery-points", lambda: {"after": pick.randrange(1, points)}),
        "points, first page": ("recovery-points", dict),
        "points of a VM": ("recovery-points", lambda: {"vm": f"vm{pick.randrange(vms)}"}),
        "status": ("status", None),
    }
    times = {}
    for name, (path, make) in requests.items():
        for _ in range(TURNS):
            query = "" if make is None else "?" + urllib.parse.urlencode({**make(), "limit": 100})
            times.setdefault(name, []).append(client.get(f"/v1/{path}{query}")[1])
    tell(times)


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill(sys.argv[2], *map(int, sys.argv[3:]))
    elif sys.argv[1] == "mend":
        mend(sys.argv[2])
    else:
        ask(*sys.argv[2:])
