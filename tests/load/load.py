#!/usr/bin/env python3
"""The load test; deploy/load builds what it needs and runs it.

Three parts, each with a server and agents of its own: weeks of schedules (--vms, --days), idle agents (--idle), and
the API under requests at a fixed rate while jobs run. Prints figures; fails when something was lost, stuck or grew.
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone

import model
from harness import (Agents, Api, Clock, Failure, Sampler, Server, cpu_by_thread, enrol, wait_for)

OPEN_STATES = ("queued", "running")
# How much faster time goes while at most so many jobs are open. The scheduler looks once a second: four hours.
RATES = ((0, 14400), (40, 600), (100, 300), (sys.maxsize, 60))
LEASH = timedelta(hours=4)  # time does not run on further behind the last look, however long the next takes
RATE_END = 300
QUIET_HOURS = timedelta(hours=3)  # nothing is due so long after the end
HOST_VMS = 20


def note(text, *values):
    print(time.strftime("%T ") + text % values, flush=True)


def row(name, text, *values):
    print("    %-34s %s" % (name, text % values), flush=True)


def parse_time(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class World:
    """A directory with a server, and hosts that are enrolled there."""

    def __init__(self, options, hosts, environment, settings=""):
        self.options = options
        self.directory = tempfile.mkdtemp(prefix="holdfast-load.", dir=options.dir)
        # What the agents keep is not what is measured: in memory, where there is room.
        self.hosts = tempfile.mkdtemp(prefix="holdfast-load.", dir="/dev/shm")
        self.program = os.path.join(options.tests, "simulated_agents")
        self.environment = environment
        self.agents = None
        self.server = Server(self.directory, options.bin, environment, settings)
        try:
            self.server.start()
            self.enrolled = enrol(self.program, self.server, self.hosts, hosts, environment)
        except Failure:
            self.remove()
            raise

    def start_agents(self, kind, count, vms):
        self.agents = Agents(self.program, kind, self.hosts, count, vms, self.environment,
                             os.path.join(self.directory, "agents.log"))

    def end(self):
        if self.agents is not None:
            self.agents.stop()
        self.server.stop()

    def remove(self):
        for process in (self.agents and self.agents.process, self.server.process):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.hosts, ignore_errors=True)
        if not self.options.keep:
            shutil.rmtree(self.directory, ignore_errors=True)


# --- idle agents


def measure_idle(options):
    note("%d idle agents", options.idle)
    world = World(options, options.idle, {})
    try:
        server = world.server
        row("tokens, enrolments", "%.1f s, %.1f s (%.0f a second, four at a time)", *world.enrolled,
            options.idle / world.enrolled[1])
        server.stop()
        server.start()
        time.sleep(1)
        before = server.usage()
        begun = time.monotonic()
        world.start_agents("idle", options.idle, 2)
        world.agents.wait_registered(120)
        row("all connected after", "%.1f s", time.monotonic() - begun)
        time.sleep(2)
        after = server.usage()
        share = (after.rss - before.rss) / options.idle
        row("server's memory", "%.1f MiB -> %.1f MiB: %.1f KiB a connection (at most 64)", before.rss / 1024,
            after.rss / 1024, share)
        row("threads, open files", "%d, %d", after.threads, after.files)
        time.sleep(options.idle_seconds)
        later = server.usage()
        seconds = later.time - after.time
        row("server's CPU, all idle", "%.2f %% of a core over %.0f s", 100 * (later.cpu - after.cpu) / seconds, seconds)
        lost = world.agents.state()[1]
        begun = time.monotonic()
        server.stop()
        stopped = time.monotonic()
        server.start()
        started = time.monotonic()
        world.agents.wait_registered(180)
        again = time.monotonic()
        row("server restarted", "stopped in %.1f s, answers after %.1f s", stopped - begun, started - stopped)
        row("all agents back", "%.1f s after it answers; %.1f s of server CPU", again - started, server.usage().cpu)
        time.sleep(2)
        row("server's memory then", "%.1f MiB", server.usage().rss / 1024)
        states = [host["state"] for host in Api(server).all("/hosts")]
        if states.count("connected") != options.idle:
            raise Failure("%d of %d hosts are connected" % (states.count("connected"), options.idle))
        if world.agents.state()[1] != lost + options.idle:
            raise Failure("connections were lost beside the restart")
        if share > 64 and not options.sanitized:
            raise Failure("an idle connection takes more than 64 KiB")
        world.end()
    finally:
        world.remove()


# --- a month


class Month:
    def __init__(self, options):
        self.options = options
        self.begin = datetime(2027, 1, 3, 12, tzinfo=timezone.utc)
        self.end = self.begin + timedelta(days=options.days)
        self.random = random.Random(1)
        self.host_count = options.hosts or max(1, options.vms // HOST_VMS)
        self.clock_directory = tempfile.mkdtemp(prefix="holdfast-clock.", dir="/dev/shm")
        self.clock = Clock(os.path.join(self.clock_directory, "clock"), os.path.join(options.tests, "fast_clock.so"),
                           self.begin - timedelta(hours=1), self.end + QUIET_HOURS)
        self.world = World(options, self.host_count, self.clock.environment)
        self.server = self.world.server
        self.api = Api(self.server)
        self.restarts = 0
        self.busy_seconds = 0.0
        self.longest_burst = 0.0

    def configure(self):
        options = self.options
        self.world.start_agents("run", self.host_count, options.vms // self.host_count)
        self.world.agents.wait_registered(60)
        self.vms = self.api.all("/vms")
        if len(self.vms) != options.vms:
            raise Failure("%d VMs are listed" % len(self.vms))
        for policy in model.POLICIES:
            self.api.post("/policies", policy)
        self.group_of = {}
        for group in range(options.groups):
            name = "group-%02d" % group
            self.api.post("/groups", {"name": name, "policy": model.policy_of_group(group)["name"]})
            members = [vm for vm in self.vms if number_of(vm) % options.groups == group]
            self.api.post("/groups/%s/members" % name, {"vms": [vm["id"] for vm in members]})
            self.group_of.update((vm["id"], group) for vm in members)

    def open_jobs(self):
        """How many, as far as it matters."""
        return sum(len(self.api.get("/jobs?state=%s&limit=101" % state)["items"]) for state in OPEN_STATES)

    def restart(self, how):
        """In the middle of jobs, while time hardly moves."""
        self.clock.set_rate(1)
        self.server.stop(how)
        self.server.start()
        self.restarts += 1
        self.world.agents.wait_registered(60)

    def trouble(self, day):
        """What goes wrong from this day on, each once jobs run."""
        days = self.options.days
        planned = ((days // 4, lambda: self.world.agents.tell("drop %d" % max(1, self.host_count // 2))),
                   (days // 2, lambda: self.restart(signal.SIGTERM)),
                   (days * 3 // 4, lambda: self.restart(signal.SIGKILL)))
        return [act for at, act in planned if at == day]

    def live(self):
        """Until noon of the last day, and until nothing is open."""
        day, pending, burst, limit = -1, [], None, self.begin
        while True:
            now = self.clock.now()
            open_jobs = self.open_jobs()
            if now >= self.end and not open_jobs:
                break
            if (now - self.begin).days > day:
                day = (now - self.begin).days
                pending += self.trouble(day)
                if day > 0 and day % 5 == 0:
                    usage = self.server.usage()
                    note("day %d: memory %.1f MiB, %d threads", day, usage.rss / 1024, usage.threads)
            if open_jobs and burst is None:
                burst = time.monotonic()
                if pending:
                    pending.pop(0)()
            if not open_jobs and burst is not None:
                self.busy_seconds += time.monotonic() - burst
                self.longest_burst = max(self.longest_burst, time.monotonic() - burst)
                burst = None
            self.clock.set_rate(next(rate for most, rate in RATES if open_jobs <= most) if now < self.end else RATE_END)
            if self.clock.now() > limit - LEASH / 2:
                limit = min(self.api.scheduler_looked() + LEASH, self.end + QUIET_HOURS)
                limit = max(limit, self.clock.now() + timedelta(seconds=1))
                self.clock.set_limit(limit)
            time.sleep(0.1)
        # Twenty minutes more: retention is looked at every ten.
        until = self.clock.now().replace(microsecond=0) + timedelta(minutes=20)
        self.clock.set_limit(until)
        self.clock.set_rate(RATE_END)
        wait_for(60, "the end", lambda: self.clock.now() >= until)
        wait_for(300, "the last chores", self.settled)

    def settled(self):
        """Nothing is open, and retention has nothing more to delete."""
        before = self.api.get("/status")["store"]["points"]
        time.sleep(5)
        return not self.open_jobs() and self.api.get("/status")["store"]["points"] == before

    # --- what should be there

    def check(self):
        jobs = self.api.all("/jobs")
        self.job_count = len(jobs)
        bad = [job for job in jobs if job["state"] != "completed"]
        for job in bad[:10]:
            note("job %s of %s is %s: %s", job["id"], job["vm"], job["state"], job["error"])
        if bad:
            raise Failure("%d of %d jobs are not completed" % (len(bad), len(jobs)))
        if self.restarts != 2 or self.world.agents.state()[1] == 0:
            raise Failure("not everything that should have gone wrong did")
        self.backups = [job for job in jobs if job["type"] == "backup"]
        self.tries = sum(job["attempt"] > 1 for job in jobs)
        points = {}
        for point in self.api.all("/recovery-points"):
            points.setdefault(point["vm_id"], []).append(point)
        made = {}
        for job in self.backups:
            made.setdefault(job["vm_id"], []).append(job)
        for vm in self.vms:
            self.check_vm(vm, made.get(vm["id"], []), points.get(vm["id"], []))
        self.points = [point for of_vm in points.values() for point in of_vm]

    def check_vm(self, vm, jobs, points):
        policy = model.policy_of_group(self.group_of[vm["id"]])
        wanted = model.runs(policy, vm["id"], self.begin, self.end)
        if len(jobs) != len(wanted):
            raise Failure("%s: %d backups instead of %d: %s, due %s" % (
                vm["name"], len(jobs), len(wanted), sorted(job["created"] for job in jobs), [str(at) for at in wanted]))
        times = {job["point"]: parse_time(job["phases"]["snapshot"]["started"]) for job in jobs}
        times.update((point["id"], parse_time(point["time"])) for point in points)
        for at, due, after in zip(sorted(times.values()), wanted, wanted[1:] + [self.clock.now()]):
            if not due <= at < after:
                raise Failure("%s: backed up at %s, due at %s" % (vm["name"], at, due))
        keep = model.kept(policy, times.values(), self.clock.now())
        should = {point for point, at in times.items() if at in keep}
        has = {point["id"] for point in points}
        if has != should:
            raise Failure("%s (%s): %d points too many, %d are missing, of %d" % (
                vm["name"], policy["name"], len(has - should), len(should - has), len(jobs)))

    def compare_sample(self):
        sample = self.random.sample(self.points, min(self.options.sample, len(self.points)))
        command = os.path.join(self.options.bin, "holdfast")
        environment = dict(os.environ, HOLDFAST_CONFIG=os.path.join(self.world.directory, "login.json"),
                           **self.clock.environment)
        disk = os.path.join(self.world.directory, "disk.raw")
        subprocess.run([command, "login", "https://127.0.0.1:%d" % self.server.api_port, "--ca",
                        os.path.join(self.server.data, "ca.pem"), "--token-file",
                        os.path.join(self.server.data, "admin.token")], check=True, env=environment,
                       stdout=subprocess.DEVNULL)
        for point in sample:
            subprocess.run([command, "restore", "disk", point["id"], "vda", "--to", disk, "--format", "raw"],
                           check=True, env=environment, stdout=subprocess.DEVNULL)
            result = subprocess.run([self.world.program, "check", disk, str(number_of({"name": point["vm"]}))],
                                    stdout=subprocess.PIPE, text=True, check=False)
            os.unlink(disk)
            wanted = model.epoch(parse_time(point["time"]))
            if result.returncode != 0 or int(result.stdout) != wanted:
                raise Failure("point %s of %s at %s: %s" % (point["id"], point["vm"], point["time"], result.stdout))
        self.compared = len(sample)

    def report(self, sampler, seconds, threads):
        catalog = os.path.getsize(os.path.join(self.server.data, "catalog.db"))
        row("simulated, in real time", "%d days in %.0f s (%d to %d times as fast)", self.options.days, seconds,
            RATES[0][1], RATES[-1][1])
        row("backups", "%d, all completed; %d tried again; %d other jobs", len(self.backups), self.tries,
            self.job_count - len(self.backups))
        row("rate", "%.1f backups a second of the %.0f s with open jobs; longest burst %.0f s",
            len(self.backups) / max(self.busy_seconds, 0.1), self.busy_seconds, self.longest_burst)
        waits = sorted(parse_time(job["started"]) - parse_time(job["created"]) for job in self.backups)
        row("waited for their turn", "half at most %.0f simulated minutes, 99 %% %.0f, all %.0f",
            *(waits[int(share * (len(waits) - 1))].total_seconds() / 60 for share in (0.5, 0.99, 1)))
        row("recovery points", "%d: of every VM exactly those of schedule and retention", len(self.points))
        row("compared bit for bit", "%d", self.compared)
        row("server restarts, lost connections", "%d, %d", self.restarts, self.world.agents.state()[1])
        for field, name in (("rss", "memory, MiB"), ("anonymous", "of it not from files, MiB")):
            row(name + ", by quarters", "%s", " ".join("%.1f" % (v / 1024) for v in sampler.quarters(field)))
        for field, name in (("threads", "threads"), ("files", "open files")):
            row(name + ", by quarters", "%s", " ".join("%d" % v for v in sampler.quarters(field)))
        row("catalog", "%.1f MiB", catalog / 2**20)
        row("server's CPU since last start", "%s", ", ".join(
            "%s %.1f s" % pair for pair in sorted(threads.items(), key=lambda p: -p[1])[:9]))

    def run(self):
        sampler = Sampler(self.server)
        self.configure()
        note("%d VMs in %d groups on %d hosts, %d days", self.options.vms, self.options.groups, self.host_count,
             self.options.days)
        self.clock.set_rate(RATE_END)
        wait_for(60, "the beginning", lambda: self.clock.now() >= self.begin)
        begun = time.monotonic()
        sampler.start()
        self.live()
        seconds = time.monotonic() - begun
        sampler.stop()
        threads = cpu_by_thread(self.server.process.pid)
        self.check()
        self.compare_sample()
        self.report(sampler, seconds, threads)
        first, last = sampler.quarters("anonymous")[0], sampler.quarters("anonymous")[3]
        if not self.options.sanitized and last > first * 1.5 + 32 * 1024:
            raise Failure("the server's memory grew")


def number_of(vm):
    return int(vm["name"].split("-")[1])


# --- the API while jobs run


class Requests:
    """So many requests a second, at fixed instants, however long the answers take."""

    WORKERS = 10

    def __init__(self, server, rate, seconds, paths):
        self.server, self.rate, self.count, self.paths = server, rate, int(rate * seconds), paths
        self.taken, self.failed, self.lock, self.next = [], [], threading.Lock(), 0

    def work(self):
        api = Api(self.server)
        while True:
            with self.lock:
                number, self.next = self.next, self.next + 1
            if number >= self.count:
                return
            due = self.begun + number / self.rate
            time.sleep(max(0, due - time.monotonic()))
            path = self.paths[number % len(self.paths)]
            try:
                api.get(path)
                self.taken.append((time.monotonic() - due, path))
            except (Failure, OSError) as failure:
                self.failed.append("%s: %s" % (path, failure))

    def run(self):
        self.begun = time.monotonic() + 0.5
        threads = [threading.Thread(target=self.work) for _ in range(self.WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failed:
            raise Failure("%d requests failed: %s" % (len(self.failed), self.failed[0]))
        return sorted(self.taken)

    def report(self, name):
        taken = self.run()
        row(name, "p50 %.1f ms, p99 %.1f ms, longest %.1f ms (%s)", 1000 * taken[len(taken) // 2][0],
            1000 * taken[len(taken) * 99 // 100][0], 1000 * taken[-1][0], taken[-1][1].split("?")[0])


def api_paths(month):
    vm, job, point = month.vms[0], month.backups[0], month.points[0]
    return ["/status", "/jobs?limit=50", "/vms/%s" % vm["id"], "/recovery-points?vm=%s" % vm["id"], "/hosts?limit=50",
            "/jobs/%s" % job["id"], "/groups", "/jobs?state=running", "/recovery-points/%s" % point["id"],
            "/vms?limit=100"]


def measure_api(month):
    options, server, agents = month.options, month.server, month.world.agents
    month.clock.set_rate(1)
    month.clock.set_limit(month.end + timedelta(days=1))
    note("the API at %d requests a second; the catalog has %d jobs", options.requests, month.job_count)
    server.stop()
    server.configure("max-jobs = 20\n")
    server.start()
    agents.wait_registered(60)
    api, paths = Api(server), api_paths(month)
    groups = [group["id"] for group in api.all("/groups")]
    Requests(server, options.requests, options.api_seconds, paths).report("no jobs")
    # Slow disks: the jobs run, and run on.
    agents.tell("delay %d" % (1500 * options.api_seconds / 32))
    started = 0
    for group in groups:
        started += len(api.post("/backups", {"group": group, "full": True})["items"])
        if started >= 20:
            break
    wanted = min(20, started, 4 * month.host_count)
    wait_for(60, "%d running jobs" % wanted, lambda: len(api.get("/jobs?state=running")["items"]) == wanted)
    Requests(server, options.requests, options.api_seconds, paths).report("%d jobs run, slow disks" % wanted)
    agents.tell("delay 0")
    wait_for(300, "the jobs' end", lambda: not month.open_jobs())
    for group in groups:
        api.post("/backups", {"group": group, "full": True})
    Requests(server, options.requests, options.api_seconds, paths).report("%d jobs at a time, full speed" % wanted)
    wait_for(600, "the jobs' end", lambda: not month.open_jobs())


def end_early(number, frame):
    """What was started is ended, and not interrupted again in that."""
    del frame
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--tests", required=True, help="where simulated_agents and fast_clock.so are")
    parser.add_argument("--dir", default="/var/tmp")
    parser.add_argument("--vms", type=int, default=800)
    parser.add_argument("--groups", type=int, default=40)
    parser.add_argument("--hosts", type=int, default=0, help="0: one for 20 VMs")
    parser.add_argument("--days", type=int, default=14, help="0: neither the schedules nor the API")
    parser.add_argument("--sample", type=int, default=100, help="points that are compared bit for bit")
    parser.add_argument("--idle", type=int, default=2000, help="0: none")
    parser.add_argument("--idle-seconds", type=int, default=60)
    parser.add_argument("--requests", type=int, default=50, help="a second")
    parser.add_argument("--api-seconds", type=int, default=20, help="0: no requests")
    parser.add_argument("--keep", action="store_true", help="leave the servers' directories")
    parser.add_argument("--sanitized", action="store_true", help="memory says nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, end_early)
    month = None
    try:
        if options.idle > 0:
            measure_idle(options)
        if options.days > 0:
            month = Month(options)
            month.run()
            if options.api_seconds > 0:
                measure_api(month)
            month.world.end()
    except Failure as failure:
        print("FAILED: %s" % failure, file=sys.stderr)
        return 1
    finally:
        if month is not None:
            month.world.remove()
            shutil.rmtree(month.clock_directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
