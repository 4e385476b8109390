"""RabbitMQ and Redis: the worker beside a bare C loop that does the same for each message, and beside Python's Celery, on private servers
that this starts. Every pair in turn, medians; see docs/performance.md.

    bench_servers.py BUILD/bench/bench_servers [PART...]        parts: work, redis, send, roundtrip, chord, eta"""
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "tests", "tools"))
import rabbitmq  # noqa: E402  pylint: disable=wrong-import-position

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
TASKS = int(os.environ.get("BENCH_TASKS", "60000"))
CELERY_TASKS = 4000
ETA_MESSAGES = int(os.environ.get("BENCH_ETA", "1000000"))
TRIPS, CELERY_TRIPS = 2000, 500
PYTHON = "/usr/bin/python3"
TICK = os.sysconf("SC_CLK_TCK")
APP = """
import time
from celery import Celery
app = Celery('peer', broker={broker!r}, backend={backend!r})
app.conf.task_default_queue = 'peer'
app.conf.worker_prefetch_multiplier = 64
@app.task(name='bench.noop')
def noop():
    pass
if __name__ == '__main__':
    ms = []
    for i in range(100 + {trips}):
        start = time.monotonic()
        noop.delay().get(timeout=60)
        ms.append((time.monotonic() - start) * 1000)
    ms = sorted(ms[100:])
    print(ms[len(ms) // 2], ms[len(ms) * 99 // 100])
"""


class Redis:
    """A private Redis on a socket, which keeps nothing on disk."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "redis.sock")
        self.process = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "", "--dir", folder],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(self.path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def ask(self, command):
        self.socket.sendall(command.encode() + b"\r\n")
        reply = self.socket.recv(65536)
        return int(reply[1:]) if reply[:1] == b":" else reply

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Worker:
    """A process group whose CPU time and memory can be read."""

    def __init__(self, words, folder, env=None):
        self.log = open(os.path.join(folder, "worker.log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(words, cwd=folder, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, start_new_session=True)

    def pids(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.getsid(int(pid)) == self.process.pid:
                    found.append(pid)
            except OSError:
                pass
        return found

    def cpu(self):
        """Seconds that its processes have used."""
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                    total += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
            except OSError:
                pass
        return total / TICK

    def resident_kb(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="utf-8") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))

    def check(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            sys.exit("the worker ended:\n" + self.log.read()[-3000:])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


class Bench:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.rabbit = rabbitmq.Server(machine="+sbwt none")
        self.redis = Redis(folder)
        self.amqp = self.rabbit.url()
        self.store = f"redis+socket://{self.redis.path}?virtual_host=0"
        self.python_store = self.store
        self.queues = 0

    def close(self):
        self.redis.stop()
        self.rabbit.close()

    def run(self, *words):
        done = subprocess.run([self.program, *map(str, words)], text=True, capture_output=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, words))}: {done.stdout}{done.stderr}")
        return [float(word) for word in done.stdout.split()]

    def queue(self, kind="classic"):
        self.queues += 1
        name = f"bench{self.queues}"
        if kind == "quorum":
            self.run("bare-publish", self.rabbit.port, name, kind, 0, 1)
        return name

    def worker(self, broker, queue, *options, quiet=True):
        words = [os.environ["CELERIAC"], *(["-q"] if quiet else []), "-A", os.environ["BENCH_MODULE"], "-b", broker, "--result-backend",
                 self.store, "worker", "-c", "2", "-Q", queue, "-l", "error", *options]
        return Worker(words, self.folder)

    def celery(self, broker, trips=0):
        with open(os.path.join(self.folder, "peer.py"), "w", encoding="utf-8") as file:
            file.write(APP.format(broker=broker, backend=self.python_store, trips=trips))
        return Worker([PYTHON, "-m", "celery", "-q", "-A", "peer", "worker", "-c", "2", "-l", "error", "--without-gossip",
                       "--without-mingle", "--without-heartbeat"], self.folder, {"C_FORCE_ROOT": "1"})

    def results(self):
        """How many there are: each has a key of its own."""
        return self.redis.ask("DBSIZE")

    def timed(self, start, count):
        """Starts a worker; tasks a second and CPU seconds per task, from the first result to the last."""
        self.redis.ask("FLUSHALL")
        before = self.results()
        worker = start()
        try:
            while self.results() <= before:
                worker.check()
                time.sleep(0.001)
            first, began, cpu = self.results(), time.monotonic(), worker.cpu()
            deadline = began + 120
            while self.results() < count:
                worker.check()
                if time.monotonic() > deadline:
                    sys.exit(f"only {self.results()} of {count} results came")
                time.sleep(0.02)
            seconds = time.monotonic() - began
            return (count - first) / seconds, (worker.cpu() - cpu) / (count - first)
        finally:
            worker.stop()


def ratio(name, ours, peer, peer_name, wanted=""):
    mine, theirs = statistics.median(ours), statistics.median(peer)
    print(f"{name}: celeriac {mine:,.0f}/s, {peer_name} {theirs:,.0f}/s, ratio {mine / theirs:.2f}{wanted}", flush=True)
    return mine


def work(bench):
    """No-op tasks from RabbitMQ, results in Redis."""
    fastest = cpu = None
    for kind, prefork, threads in (("classic", 0.9, 0.95), ("quorum", 0.5, 0.6)):
        rates = {"bare": [], "prefork": [], "threads": []}
        cpus = []
        for _ in range(ROUNDS):
            queue = bench.queue(kind)
            for name in rates:
                bench.run("send", bench.amqp, bench.store, queue, TASKS)
                if name == "bare":
                    bench.redis.ask("FLUSHALL")
                    rates[name].append(TASKS / bench.run("bare-rabbit", bench.rabbit.port, bench.redis.path, queue, TASKS, 1000,
                                                         "coalesced")[0])
                    continue
                rate, used = bench.timed(lambda name=name, queue=queue: bench.worker(bench.amqp, queue, "-P", name), TASKS)
                rates[name].append(rate)
                if name == "prefork":
                    cpus.append(used)
        mine = ratio(f"RabbitMQ ({kind}) + Redis, prefork -c 2", rates["prefork"], rates["bare"], "bare loop (prefetch 1000, coalesced acks)",
                     f" (wanted {prefork})")
        ratio(f"RabbitMQ ({kind}) + Redis, threads -c 2", rates["threads"], rates["bare"], "bare loop", f" (wanted {threads})")
        if kind == "classic":
            fastest, cpu = mine, statistics.median(cpus)
    rates, cpus = [], []
    for _ in range(ROUNDS):
        bench.run("send", bench.amqp, bench.store, "peer", CELERY_TASKS)
        rate, used = bench.timed(lambda: bench.celery(bench.amqp), CELERY_TASKS)
        rates.append(rate)
        cpus.append(used)
    print(f"Python's Celery, prefork -c 2: {statistics.median(rates):,.0f}/s, {statistics.median(cpus) * 1e5:.1f} CPU s per 100,000; "
          f"celeriac {cpu * 1e5:.2f} CPU s; throughput ratio {fastest / statistics.median(rates):.1f} (wanted 12), "
          f"CPU 1/{statistics.median(cpus) / max(cpu, 1e-9):.0f} (wanted 1/40)", flush=True)


def redis(bench):
    """Redis as broker and store."""
    rates = {"bare": [], "prefork": [], "threads": []}
    broker = bench.store
    for _ in range(ROUNDS):
        for name in rates:
            queue = bench.queue()
            bench.redis.ask("FLUSHALL")
            bench.run("send", broker, bench.store, queue, TASKS)
            if name == "bare":
                rates[name].append(TASKS / bench.run("bare-redis", bench.redis.path, queue, TASKS)[0])
                continue
            worker = bench.worker(broker, queue, "-P", name)
            try:
                rates[name].append(redis_rate(bench, worker, queue))
            finally:
                worker.stop()
    ratio("Redis as broker and store, prefork -c 2", rates["prefork"], rates["bare"], "bare Lua loop (64 a claim)", " (wanted 0.7)")
    ratio("Redis as broker and store, threads -c 2", rates["threads"], rates["bare"], "bare Lua loop")


def redis_rate(bench, worker, queue):
    """By the length of the queue: there are other keys than results here."""
    def left():
        return bench.redis.ask(f"LLEN {queue}") + bench.redis.ask("HLEN unacked")
    while left() >= TASKS:
        worker.check()
        time.sleep(0.001)
    first, began = left(), time.monotonic()
    while left() > 0:
        worker.check()
        time.sleep(0.02)
    return first / (time.monotonic() - began)


def send(bench):
    for kind in "classic", "quorum":
        ours, bare = [], []
        for _ in range(ROUNDS):
            bare.append(TASKS / bench.run("bare-publish", bench.rabbit.port, bench.queue(), kind, TASKS, 1000)[0])
            ours.append(TASKS / bench.run("send", bench.amqp, bench.store, bench.queue(kind), TASKS)[0])
        ratio(f"bulk send, {kind} queue, mandatory and confirmed", ours, bare, "bare publisher (confirmed in batches of 1,000)",
              " (wanted 0.9)" if kind == "classic" else "")


def roundtrip(bench):
    ours, theirs = [], []
    for _ in range(ROUNDS):
        worker = bench.worker(bench.amqp, "celery")
        try:
            ours.append(bench.run("roundtrip", bench.amqp, bench.store, TRIPS))
        finally:
            worker.stop()
        worker = bench.celery(bench.amqp, CELERY_TRIPS)
        try:
            done = subprocess.run([PYTHON, "peer.py"], cwd=bench.folder, check=True, capture_output=True, text=True)
            theirs.append([float(word) for word in done.stdout.split()])
        finally:
            worker.stop()
    mine = [statistics.median(column) for column in zip(*ours)]
    peer = [statistics.median(column) for column in zip(*theirs)]
    print(f"round trip over RabbitMQ + Redis: celeriac median {mine[0]:.2f} ms, p99 {mine[1]:.2f} ms; Celery median {peer[0]:.2f} ms, "
          f"p99 {peer[1]:.2f} ms; median 1/{peer[0] / mine[0]:.1f} (wanted 1/3)", flush=True)


def chord(bench):
    sizes = {100: [], 1000: [], 5000: [], 50000: []}
    worker = bench.worker(bench.amqp, "celery")
    try:
        bench.run("chord", bench.amqp, bench.store, 100)
        for _ in range(ROUNDS):
            for size, ms in sizes.items():
                ms.append(statistics.median(bench.run("chord", bench.amqp, bench.store, size)[0] for _ in range(max(1, 2000 // size))))
    finally:
        worker.stop()
    first = statistics.median(sizes[100])
    for size, ms in sizes.items():
        print(f"chord over RabbitMQ + Redis, {size} parts: {statistics.median(ms):.4f} ms a part, {statistics.median(ms) / first:.2f} "
              "of that with 100", flush=True)


def eta(bench):
    """Messages that wait for an hour: the worker's memory."""
    queue = bench.queue()
    worker = bench.worker(bench.amqp, queue)
    try:
        bench.run("send", bench.amqp, bench.store, queue, 1000)
        time.sleep(2)  # it is idle and has what it needs
        before = worker.resident_kb()
        seconds = bench.run("send", bench.amqp, bench.store, queue, ETA_MESSAGES, 3600)[0]
        time.sleep(2)
        worker.check()
        after = worker.resident_kb()
        print(f"{ETA_MESSAGES:,} messages with an ETA sent in {seconds:.1f} s: the worker's resident memory {before:,} kB before, {after:,} kB "
              "while they wait", flush=True)
    finally:
        worker.stop()


PARTS = {"work": work, "redis": redis, "send": send, "roundtrip": roundtrip, "chord": chord, "eta": eta}


def missing():
    if not shutil.which("redis-server"):
        return "redis-server is not installed"
    for module in "celery", "redis", "amqp":
        if subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True, check=False).returncode != 0:
            return f"Python's module {module} is not installed"
    return None


def main():
    why = missing()
    folder = tempfile.mkdtemp(prefix="celeriac-bench-")
    bench = None
    try:
        if not why:
            bench = Bench(sys.argv[1], folder)
    except rabbitmq.Missing as lacking:
        why = str(lacking)
    try:
        if why:
            print(f"skipped: {why}")
            return
        for name in sys.argv[2:] or PARTS:
            PARTS[name](bench)
    finally:
        if bench:
            bench.close()
        shutil.rmtree(folder, ignore_errors=True)


main()
