"""What the load test runs and looks at: a clock that can be sped up, the server, simulated agents, the API."""
import http.client
import json
import mmap
import os
import re
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import threading
import time
from datetime import datetime, timezone

NO_CHECK_TIME = 0x200000  # of OpenSSL's verify flags: the server's clock is not this program's
TICKS = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    pass


def wait_for(seconds, what, condition):
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise Failure("%s: not within %d s" % (what, seconds))
        time.sleep(0.1)


class Clock:
    """The wall clock of every program that is started with its environment (fast_clock.c)."""

    def __init__(self, path, library, begin, limit):
        with open(path, "wb") as file:
            file.write(bytes(40))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 40)
        self.limit_ns = int(limit.timestamp()) * 10**9
        self.version = 0
        self.rate = 1
        self.real_ns = time.monotonic_ns()
        self.wall_ns = int(begin.timestamp()) * 10**9
        self.environment = {"HOLDFAST_TEST_CLOCK": path, "LD_PRELOAD": preloads(library)}
        self._write()

    def _write(self):
        self.version += 2
        self.map[0:8] = struct.pack("=Q", self.version - 1)
        self.map[8:40] = struct.pack("=qqqq", self.real_ns, self.wall_ns, self.rate, self.limit_ns)
        self.map[0:8] = struct.pack("=Q", self.version)

    def now_ns(self):
        return min(self.limit_ns, self.wall_ns + (time.monotonic_ns() - self.real_ns) * self.rate)

    def now(self):
        return datetime.fromtimestamp(self.now_ns() / 1e9, timezone.utc)

    def set_rate(self, rate):
        if rate != self.rate:
            now, real = self.now_ns(), time.monotonic_ns()
            self.wall_ns, self.real_ns, self.rate = now, real, rate
            self._write()

    def set_limit(self, limit):
        """It stands still there."""
        self.wall_ns, self.real_ns = self.now_ns(), time.monotonic_ns()
        self.limit_ns = int(limit.timestamp()) * 10**9
        self._write()


def preloads(library):
    """The sanitizers' library must come first where the programs were built with it."""
    program = os.path.join(os.path.dirname(library), "simulated_agents")
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    sanitizers = [line.split()[2] for line in linked.splitlines() if "libasan" in line or "libtsan" in line]
    return " ".join(sanitizers + [library])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Api:
    """One connection to the server's API; not for several threads at once."""

    def __init__(self, server):
        self.server = server
        self.connection = None

    def _connect(self):
        context = ssl.create_default_context(cafile=os.path.join(self.server.data, "ca.pem"))
        context.verify_flags |= NO_CHECK_TIME
        context.check_hostname = False
        self.connection = http.client.HTTPSConnection("127.0.0.1", self.server.api_port, context=context, timeout=60)

    def call(self, method, path, body=None):
        if self.connection is None:
            self._connect()
        headers = {"Authorization": "Bearer " + self.server.token()}
        if body is not None:
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        try:
            self.connection.request(method, ("" if path == "/metrics" else "/v1") + path, body, headers)
            reply = self.connection.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            raise
        if reply.status == 429:
            time.sleep(int(reply.headers["Retry-After"]))
            return self.call(method, path, json.loads(body) if body else None)
        if reply.status >= 400:
            raise Failure("%s %s: %d %s" % (method, path, reply.status, text.decode()))
        if path == "/metrics":
            return text.decode()
        return json.loads(text) if text else None

    def scheduler_looked(self):
        """What was due by then is started."""
        line = re.search(r"^holdfast_scheduler_looked_timestamp_seconds (\S+)$", self.get("/metrics"), re.MULTILINE)
        return datetime.fromtimestamp(float(line.group(1)), timezone.utc)

    def get(self, path):
        try:
            return self.call("GET", path)
        except (OSError, http.client.HTTPException):
            return self.call("GET", path)  # the server was started anew

    def post(self, path, body):
        return self.call("POST", path, body)

    def all(self, path):
        items, after = [], None
        while True:
            query = "" if after is None else "after=%s" % after
            page = self.get(path + ("&" if "?" in path else "?") + "limit=1000" + ("&" + query if query else ""))
            items += page["items"]
            after = page["next"]
            if after is None:
                return items


class Server:
    def __init__(self, directory, binaries, environment, settings=""):
        self.data = os.path.join(directory, "server")
        self.program = os.path.join(binaries, "holdfastd")
        self.log = os.path.join(directory, "server.log")
        self.environment = dict(os.environ, **environment)
        self.process = None
        self.agent_port, self.api_port = free_port(), free_port()
        self._token = None
        subprocess.run([self.program, "init", "--data", self.data, "--listen", "127.0.0.1", "--agent-port",
                        str(self.agent_port), "--api-port", str(self.api_port)],
                       check=True, stdout=subprocess.DEVNULL, env=self.environment)
        self.configure("retry-delay-seconds = 1\nlog-level = warning\n" + settings)

    def configure(self, text):
        with open(os.path.join(self.data, "holdfastd.conf"), "a", encoding="ascii") as file:
            file.write(text)

    def token(self):
        if self._token is None:
            with open(os.path.join(self.data, "admin.token"), encoding="ascii") as file:
                self._token = file.read().strip()
        return self._token

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program, "run", "--data", self.data], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=self.environment)
        wait_for(60, "the server's start", self._answers)

    def _answers(self):
        if self.process.poll() is not None:
            raise Failure("the server ended with status %d; see %s" % (self.process.returncode, self.log))
        try:
            return Api(self).get("/status")
        except OSError:
            return None

    def stop(self, how=signal.SIGTERM):
        if self.process is None:
            return
        self.process.send_signal(how)
        status = self.process.wait(60)
        self.process = None
        if how == signal.SIGTERM and status != 0:
            raise Failure("the server ended with status %d; see %s" % (status, self.log))

    def usage(self):
        return Usage(self.process.pid)


class Usage:
    """A process as it is now: memory in KiB, CPU in seconds."""

    def __init__(self, pid):
        fields = dict(line.split(":", 1) for line in read("/proc/%d/status" % pid).splitlines() if ":" in line)
        self.rss = int(fields["VmRSS"].split()[0])
        self.anonymous = int(fields["RssAnon"].split()[0])
        self.threads = int(fields["Threads"])
        self.files = len(os.listdir("/proc/%d/fd" % pid))
        self.cpu = cpu_of("/proc/%d/stat" % pid)
        self.time = time.monotonic()


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def cpu_of(path):
    fields = read(path).rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def cpu_by_thread(pid):
    """Seconds by the threads' names."""
    used = {}
    for task in os.listdir("/proc/%d/task" % pid):
        base = "/proc/%d/task/%s/" % (pid, task)
        try:
            name = read(base + "comm").strip()
            used[name] = used.get(name, 0) + cpu_of(base + "stat")
        except OSError:
            pass  # it has ended
    return used


class Agents:
    """Hosts in one process. What went wrong with their jobs is in the log: some things are made to."""

    def __init__(self, program, kind, directory, count, vms, environment, log):
        self.count = count
        self.log = log
        self.lock = threading.Lock()
        with open(log, "ab") as errors:
            self.process = subprocess.Popen([program, kind, directory, "0", str(count), str(vms)],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                            env=dict(os.environ, **environment), text=True)

    def tell(self, line):
        with self.lock:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def state(self):
        """Hosts that are registered, and connections that were lost."""
        with self.lock:
            self.process.stdin.write("state\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().split()
        if len(answer) != 2:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                raise Failure("the simulated agents ended: %s" % log.read()[-500:].strip())
        return int(answer[0]), int(answer[1])

    def wait_registered(self, seconds):
        wait_for(seconds, "%d hosts connected" % self.count, lambda: self.state()[0] == self.count)

    def stop(self):
        self.process.stdin.close()
        if self.process.wait(60) != 0:
            raise Failure("the simulated agents ended with status %d" % self.process.returncode)


def enrol(program, server, directory, count, environment):
    """Seconds for the tokens, and for the enrolments, four at a time."""
    api, begun = Api(server), time.monotonic()
    tokens = [api.post("/host-tokens", {})["token"] for _ in range(count)]
    made = time.monotonic()
    share = (count + 3) // 4
    processes = []
    for first in range(0, count, share):
        part = tokens[first:first + share]
        process = subprocess.Popen([program, "enrol", "127.0.0.1:%d" % server.agent_port, directory, str(first),
                                    str(len(part))], stdin=subprocess.PIPE, env=dict(os.environ, **environment), text=True)
        process.stdin.write("\n".join(part) + "\n")
        process.stdin.close()
        processes.append(process)
    if any([process.wait() != 0 for process in processes]):
        raise Failure("hosts could not be enrolled")
    return made - begun, time.monotonic() - made


class Sampler(threading.Thread):
    """Looks at the server once a second, restarts included."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.samples = []
        self.ending = threading.Event()

    def run(self):
        while not self.ending.wait(1):
            try:
                self.samples.append(self.server.usage())
            except (OSError, AttributeError, KeyError):
                pass  # it is being restarted

    def stop(self):
        self.ending.set()
        self.join()

    def quarters(self, field):
        """Medians of the first, second, third and last quarter of the time."""
        values = [getattr(sample, field) for sample in self.samples]
        length = max(1, len(values) // 4)
        return [statistics.median(values[i * length:(i + 1) * length] or values) for i in range(4)]
