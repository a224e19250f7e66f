#!/usr/bin/env python3
"""Five years of every kind of schedule in several time zones, computed here from the definition and by the server's
calendar; then the scheduler over five years with outages.  schedule_years.py PROGRAM

The definition: a run is named by a time on the clocks of a zone and happens at the first instant at which those clocks
show that time or a later one. So the clocks are read every quarter of an hour, and what they show first is looked up.
"""
import datetime
import os
import random
import subprocess
import sys
import tempfile
import zoneinfo

program = sys.argv[1]
MINUTE, QUARTER, DAY = 60, 15 * 60, 24 * 3600
EVERY_DAY, WORKDAYS, WEEKEND, SUNDAY = 127, 62, 65, 1
FROM, UNTIL = (int(datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc).timestamp()) for year in (2026, 2031))
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
MORE_ZONES = ["UTC", "Asia/Kolkata", "Europe/Dublin", "Africa/Casablanca", "America/Santiago", "Asia/Gaza"]
failures = 0


def fail(text):
    global failures
    failures += 1
    print("FAILED:", text)


def text(utc):
    return datetime.datetime.fromtimestamp(utc, datetime.timezone.utc).isoformat()


def read_clocks(zone):
    """[(instant, what the clocks of the zone show)] every quarter; zones change their offset at quarters only."""
    info = zoneinfo.ZoneInfo(zone)
    clocks = []
    for utc in range(FROM - 3 * DAY, UNTIL + 3 * DAY, QUARTER):
        offset = datetime.datetime.fromtimestamp(utc, info).utcoffset()
        clocks.append((utc, utc + offset.days * DAY + offset.seconds))
    return clocks


def runs_on(days, shown):
    return days >> (shown // DAY + 4) % 7 & 1


def named(clocks, minutes, days):
    """Runs at these minutes of these days, in [FROM, UNTIL)."""
    first_day, last_day = clocks[0][1] // DAY + 1, clocks[-1][1] // DAY - 1
    wanted = (day * DAY + minute * MINUTE
              for day in range(first_day, last_day) if runs_on(days, day * DAY) for minute in minutes)
    runs, at = set(), 0
    for time in wanted:
        while clocks[at][1] + QUARTER <= time:
            at += 1
        utc, shown = clocks[at]
        runs.add(utc + max(0, time - shown))
    return sorted(run for run in runs if FROM <= run < UNTIL)


def interval(clocks, minutes, days):
    step, first = minutes * MINUTE, clocks[0][0]
    runs = []
    for run in range((FROM + step - 1) // step * step, UNTIL, step):
        utc, shown = clocks[(run - first) // QUARTER]
        if runs_on(days, shown + run - utc):
            runs.append(run)
    return runs


def compute(clocks, kind, what, days):
    if kind == "interval":
        return interval(clocks, int(what), days)
    if kind == "hourly":
        return named(clocks, [hour * 60 + int(what) for hour in range(24)], days)
    return named(clocks, sorted(int(t[:2]) * 60 + int(t[3:]) for t in what.split(",")), days)


def compare(zone, clocks, kind, what, days):
    expected = compute(clocks, kind, what, days)
    output = subprocess.run([program, "runs", kind, what, str(days), zone, str(FROM), str(UNTIL)],
                            check=True, capture_output=True, text=True).stdout
    got = [int(line) for line in output.split()]
    if got != expected:
        wrong = sorted(set(got) ^ set(expected))
        fail(f"{zone} {kind} {what} on {days}: {len(got)} runs instead of {len(expected)}; the first that differs: "
             + (text(wrong[0]) if wrong else "order"))
    return len(got)


CASES = [("interval", "15", EVERY_DAY), ("interval", "60", WORKDAYS), ("interval", "433", EVERY_DAY),
         ("interval", "1440", EVERY_DAY), ("interval", "50", WEEKEND),
         ("hourly", "0", EVERY_DAY), ("hourly", "15", EVERY_DAY), ("hourly", "45", WEEKEND),
         ("daily", "22:00", EVERY_DAY), ("daily", "02:30", EVERY_DAY), ("daily", "01:45,02:15", EVERY_DAY),
         ("daily", "23:59,00:00,02:00,03:00,02:59", WORKDAYS),
         ("weekly", "02:10,14:00", SUNDAY), ("weekly", "23:30", 0b0101000), ("weekly", "00:00", 1 << 6)]

total = 0
clocks_of = {zone: read_clocks(zone) for zone in ZONES + MORE_ZONES}
for zone in ZONES:
    for kind, what, days in CASES:
        total += compare(zone, clocks_of[zone], kind, what, days)
    if len(compute(clocks_of[zone], "daily", "02:30", EVERY_DAY)) != 5 * 365 + 1:
        fail(f"{zone}: not one run on each day of five years with a leap day")
for zone in MORE_ZONES:
    for kind, what, days in [("daily", "00:00,00:30,02:30", EVERY_DAY), ("hourly", "30", WORKDAYS)]:
        total += compare(zone, clocks_of[zone], kind, what, days)
print(f"{total} runs compared")


# --- the scheduler

def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def outages(chance):
    """Times at which the server is down: from an hour to ten days, one over each change of the clocks in 2027."""
    found = [(start, start + chance.randrange(3600, 10 * DAY))
             for start in (chance.randrange(FROM, UNTIL - 30 * DAY) for _ in range(12))]
    return found + [(1806195600 - 7200, 1806195600 + 7200), (1824944400 - 7200, 1824944400 + 7200)]


def simulate(zone, groups, seed):
    chance = random.Random(seed)
    down = outages(chance)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as directory:
        server = subprocess.Popen([program, "clock", directory, str(FROM)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        due = {}
        for name, kind, what, days, spread, until in groups:
            server.stdin.write(f"group {name} {kind} {what} {days} {zone} {spread}\n")
        server.stdin.flush()
        for name, kind, what, days, spread, until in groups:
            for _ in range(2):
                _, of, vm = server.stdout.readline().split()
                shift = crc32c(vm.encode()) % (spread * 60) if spread else 0
                # the group is made at FROM: what is due then is not missed
                due[vm] = [run + shift for run in compute(clocks_of[zone], kind, what, days) if run + shift > FROM]
                if of != name:
                    fail("groups out of order")
        # a look at each instant and just before, at least until a kind with many has shown enough, and at any time
        looks = {chance.randrange(FROM, UNTIL) for _ in range(1000)} | {end for _, end in down}
        for (name, kind, what, days, spread, until), vms in zip(groups, zip(*[iter(due)] * 2)):
            for vm in vms:
                due[vm] = [run for run in due[vm] if run < until] if until < UNTIL else due[vm]
                looks |= {run for run in due[vm]} | {run - 1 for run in due[vm]}
        looks = sorted(look for look in looks if not any(start <= look < end for start, end in down))
        if any(until < UNTIL for *_, until in groups):
            looks = [look for look in looks if look < min(until for *_, until in groups)]
        output, _ = server.communicate("".join(f"look {look}\n" for look in looks))
        if server.returncode != 0:
            fail(f"{zone}: the scheduler ended with status {server.returncode}")
    got = {vm: [] for vm in due}
    for line in output.splitlines():
        look, vm = line.split()
        got[vm].append(int(look))
    starts = 0
    for vm, runs in due.items():
        expected, at = [], 0
        for look in looks:
            if at < len(runs) and runs[at] <= look:
                expected.append(look)
                while at < len(runs) and runs[at] <= look:
                    at += 1
        if got[vm] != expected:
            wrong = sorted(set(got[vm]) ^ set(expected))
            fail(f"{zone}: the scheduler began {len(got[vm])} backups of a VM instead of {len(expected)}; the first that "
                 "differs: " + (text(wrong[0]) if wrong else "one twice"))
        up = [run for run in runs if run <= looks[-1] and not any(start <= run < end for start, end in down)]
        if not set(up) <= set(got[vm]):
            fail(f"{zone}: a run while the server was up did not begin in its second")
        if len(got[vm]) > len(up) + len(down):
            fail(f"{zone}: an outage was made up for more than once")
        starts += len(got[vm])
    return starts


started = 0
for number, zone in enumerate(ZONES):
    started += simulate(zone, [("daily", "daily", "02:15,22:00", EVERY_DAY, 90, UNTIL),
                               ("weekly", "weekly", "02:30", SUNDAY | WORKDAYS & 8, 0, UNTIL)], number)
    some = FROM + 100 * DAY  # spring is in it
    started += simulate(zone, [("hourly", "hourly", "15", EVERY_DAY, 30, some),
                               ("often", "interval", "240", WORKDAYS, 0, some)], 10 + number)
print(f"{started} backups begun by the scheduler, each once")
sys.exit(1 if failures else 0)
