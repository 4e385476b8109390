"""What the integration tests share: a temporary folder with a database, the command, workers.

    class MyTest(support.Case):
        def test_a_task_is_run(self):
            worker = self.worker("-c", "1")
            task_id = self.call("test.add", 2, 3)
            self.assertEqual(self.result(task_id), "5")
            worker.expect(r"Task test\\.add\\[%s\\] succeeded in " % task_id)
            self.assertEqual(worker.stop(), 0)

    if __name__ == "__main__":
        support.main()

Nothing sleeps: what is waited for is a line of output, the end of a process or a condition, with a deadline. Whatever a test
started is ended and its folder removed when it is over, however it ends. meson says by environment variables where
things are: CELERIAC, CEL_TESTTASKS, ... (see tests/meson.build). A test that misses one is skipped.
"""
import atexit
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest

TIMEOUT = float(os.environ.get("CELERIAC_TEST_TIMEOUT", "60"))  # seconds; sanitizers and busy machines are slow
SKIPPED = 77  # meson's exit status for a skipped test

# What a person's environment may hold and a test must not see.
_PRIVATE = re.compile(r"^(CELERY_|CELERIAC_(?!SHARED|TEST)|CELERYD_|BROKER_|RESULT_BACKEND$|APP$|CONFIG_MODULE$|LOADER$|NO_COLOR$|XDG_)")


def path_of(variable):
    """The file that an environment variable names; the test is skipped without it."""
    path = os.environ.get(variable)
    if not path or not os.path.exists(path):
        raise unittest.SkipTest(f"the environment variable {variable} does not name a file: run me with `meson test`")
    return path


def wait_until(condition, what, timeout=TIMEOUT):
    """Calls condition() until it returns something true, which is returned."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout:g} s still not: {what}")
        time.sleep(0.005)  # the step of a look, not a wait: the condition decides


class Process:
    """A process whose output is collected line by line. `stdout` and `stderr` are lists of lines, `lines` has both."""

    def __init__(self, command, cwd, env, stdin=subprocess.DEVNULL):
        self.command = command
        self.stdout, self.stderr, self.lines = [], [], []
        self._changed = threading.Condition()
        self._seen = 0
        self.popen = subprocess.Popen(command, cwd=cwd, env=env, stdin=stdin, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace")
        atexit.register(self._reap)  # should the test be interrupted
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                         for pair in ((self.popen.stdout, self.stdout), (self.popen.stderr, self.stderr))]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, lines):
        for line in stream:
            with self._changed:
                lines.append(line.rstrip("\n"))
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        stream.close()
        with self._changed:
            self._changed.notify_all()

    @property
    def pid(self):
        return self.popen.pid

    @property
    def text(self):
        return "\n".join(self.lines)

    def _find(self, pattern):
        for i in range(self._seen, len(self.lines)):
            match = re.search(pattern, self.lines[i])
            if match:
                self._seen = i + 1
                return match
        return None

    def expect(self, pattern, timeout=TIMEOUT):
        """Waits for a line that matches, behind the one that was expected last, and returns the match."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                match = self._find(pattern)
                if match:
                    return match
                left = deadline - time.monotonic()
                if left <= 0 or not any(reader.is_alive() for reader in self._readers):
                    raise AssertionError(f"no line matches {pattern!r} "
                                         f"(exit status {self.popen.poll()}):\n{self.text}")
                self._changed.wait(min(left, 0.5))

    def rewind(self):
        """Lets expect() look at all lines again."""
        self._seen = 0

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, timeout=TIMEOUT):
        """Waits for the end and returns the exit status (-9: killed by signal 9)."""
        try:
            status = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command} still runs after {timeout:g} s:\n{self.text}") from None
        for reader in self._readers:
            reader.join(TIMEOUT)
        return status

    def _reap(self):
        if self.popen.poll() is None:
            self.popen.kill()

    def kill(self):
        """Ends it with SIGKILL, as a crash would."""
        if self.popen.poll() is None:
            self.popen.kill()
        return self.wait()

    def children(self):
        """The pids of its children and their children, that is: of the pool."""
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            try:
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                    some = [int(word) for word in file.read().split()]
            except OSError:
                continue
            found += some
            todo += some
        return found


class Worker(Process):
    """A running `celeriac worker`."""

    def ready(self):
        self.expect(r" ready\.$")
        return self

    def stop(self, number=signal.SIGTERM):
        """Asks it to end and returns the exit status."""
        if self.popen.poll() is None:
            self.signal(number)
        return self.wait()


class Case(unittest.TestCase):
    """A test with a folder of its own (self.dir, also the working directory of what it starts) and a database there."""

    maxDiff = None
    module = True  # load the test tasks with -A

    def setUp(self):
        self.celeriac = path_of("CELERIAC")
        self.tasks = path_of("CEL_TESTTASKS")
        self.dir = tempfile.mkdtemp(prefix="celeriac-test-")
        self.db = os.path.join(self.dir, "test.db")
        self.url = "sqlite:///" + self.db + "?synchronous=off"
        self.env = {key: value for key, value in os.environ.items() if not _PRIVATE.match(key)}
        self.env.update(HOME=self.dir, LC_ALL="C.UTF-8", PYTHONIOENCODING="utf-8")
        self._processes = []

    def tearDown(self):
        for process in self._processes:
            process.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- the command

    def globals(self):
        """The global options of every command of the test."""
        return ["-b", self.url] + (["-A", self.tasks] if self.module else [])

    def run_command(self, *words, env=None, bare=False, input=None, cwd=None, timeout=TIMEOUT):
        """Runs `celeriac` with the test's broker and tasks (bare: with nothing) to its end; returns a CompletedProcess."""
        command = [self.celeriac] + ([] if bare else self.globals()) + [str(word) for word in words]
        return subprocess.run(command, cwd=cwd or self.dir, env={**self.env, **(env or {})}, input=input or "", text=True,
                              encoding="utf-8", errors="replace", capture_output=True, timeout=timeout, check=False)

    def good(self, *words, **options):
        """The same; it must succeed. Returns its standard output."""
        done = self.run_command(*words, **options)
        self.assertEqual(done.returncode, 0, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def call(self, task, *args, options=(), **kwargs):
        """Sends a task with `celeriac call` and returns its id."""
        return self.good("call", task, "--args", json.dumps(args), "--kwargs", json.dumps(kwargs), *options).strip()

    def result(self, task_id, timeout=TIMEOUT):
        """Waits for a result with `celeriac result` and returns what it prints, without the last newline."""
        return self.good("result", "--timeout", timeout, task_id)[:-1]

    def failure(self, task_id, timeout=TIMEOUT):
        """Waits for a failure and returns the last line of what is printed: "ValueError: boom"."""
        done = self.run_command("result", "--timeout", timeout, task_id)
        self.assertEqual(done.returncode, 1, f"{done.stdout}{done.stderr}")
        return done.stderr.rstrip("\n").rsplit("\n", 1)[-1]

    def spawn(self, *words, env=None, bare=False, kind=Process, cwd=None):
        """Starts `celeriac` and returns the Process."""
        command = [self.celeriac] + ([] if bare else self.globals()) + [str(word) for word in words]
        process = kind(command, cwd or self.dir, {**self.env, **(env or {})})
        self._processes.append(process)
        return process

    def worker(self, *options, level="info", name="w1@test", wait=True, **rest):
        """Starts a worker and waits until it is ready."""
        worker = self.spawn("worker", "-l", level, "-n", name, *options, kind=Worker, **rest)
        return worker.ready() if wait else worker

    # ---- Python's Celery: project.py in the test's folder is its app

    python_queue = "celery"

    def python(self, code, **env):
        """Runs a client's program; returns the lines that it printed."""
        done = subprocess.run([sys.executable, "-c", "from project import *\n" + code], cwd=self.dir, env={**self.env, **env}, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout.split("\n")[:-1]

    def python_worker(self, queue=None, name="py@test", **env):
        """Starts a worker of Python's and waits until it is ready."""
        process = Process([sys.executable, "-m", "celery", "-A", "project", "worker", "-P", "solo", "-l", "info", "-n", name,
                           "-Q", queue or self.python_queue, "--without-gossip", "--without-mingle", "--without-heartbeat"], self.dir,
                          {**self.env, "C_FORCE_ROOT": "1", **env})
        self._processes.append(process)
        process.expect(r" ready\.$")
        return process

    # ---- files and the database

    def path(self, name):
        return os.path.join(self.dir, name)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def wait_for_lines(self, name, count, timeout=TIMEOUT):
        """Waits until the file has at least `count` lines, and returns them."""
        def lines():
            try:
                found = self.read(name).splitlines()
            except FileNotFoundError:
                return None
            return found if len(found) >= count else None
        return wait_until(lines, f"{count} lines in {name}", timeout)

    def query(self, sql, *values):
        """Rows of the embedded database."""
        connection = sqlite3.connect(self.db, timeout=TIMEOUT)
        try:
            with connection:
                return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def queue_length(self, queue="celery"):
        """How many messages of the queue are in the database, in whatever state."""
        return self.query("SELECT count(*) FROM messages WHERE queue=?", queue)[0][0]


class _Result(unittest.TextTestResult):
    """Says what passed as cmocka does, so that tests/tools/count.py counts each."""

    def _say(self, mark, test):
        self.stream.writeln(f"[{mark}] {test.id().split('.', 1)[-1]}")

    def addSuccess(self, test):
        super().addSuccess(test)
        self._say("       OK ", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.stream.writeln(f"[  SKIPPED ] {test.id().split('.', 1)[-1]}: {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._say("  FAILED  ", test)

    def addError(self, test, err):
        super().addError(test, err)
        self._say("  FAILED  ", test)


def _end(*_):
    raise KeyboardInterrupt("ended by a signal")


def main():
    """Runs the tests of the program; those named on the command line, else all. SIGTERM ends it as Ctrl+C does: with what it started."""
    signal.signal(signal.SIGTERM, _end)
    program = unittest.main(exit=False, testRunner=unittest.TextTestRunner(resultclass=_Result, verbosity=0))
    result = program.result
    if result.skipped and len(result.skipped) >= result.testsRun:  # 0 ran: the module was skipped before its tests
        print(f"SKIP: {result.skipped[0][1]}")
        sys.exit(SKIPPED)
    sys.exit(0 if result.wasSuccessful() else 1)
