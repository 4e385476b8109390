"""`celeriac multi`: the same names, templates and command lines as `celery multi`, and workers that start, stop and restart."""
import json
import os
import re
import signal
import subprocess
import sys

import support

FILES = ("--pidfile=/tmp/%n.pid", "--logfile=/tmp/%n%I.log")

# `celery multi` for each list of words of a JSON list; see the end of celery/bin/multi.py for what it does with them.
CELERY_MULTI = """
import io, json, sys
from celery.bin.multi import MultiTool

said = []
for words in json.load(sys.stdin):
    at = words.index("multi")
    stdout = io.StringIO()
    MultiTool(stdout=stdout).execute_from_commandline(words[at:] + words[:at])
    said.append(stdout.getvalue())
json.dump(said, sys.stdout)
"""


def celery_is_there():
    return subprocess.run([sys.executable, "-c", "import celery.bin.multi"], capture_output=True, check=False).returncode == 0


class GrammarTest(support.Case):
    """Word for word what Python's says, but for the program: its "python3 -m celery" is our "celeriac"."""

    module = False

    def setUp(self):
        super().setUp()
        if not celery_is_there():
            self.skipTest("Python's Celery is not installed")

    def assert_same(self, commands):
        """Each with a list of words; all in one process of Python's, which takes seconds to start."""
        done = subprocess.run([sys.executable, "-c", CELERY_MULTI], input=json.dumps(commands), cwd=self.dir, env=self.env,
                              capture_output=True, text=True, timeout=support.TIMEOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        for words, text in zip(commands, json.loads(done.stdout)):
            ours = self.run_command(*words, bare=True)
            self.assertEqual(ours.returncode, 0, f"{words}: {ours.stderr}")
            text = text.replace(sys.executable, self.celeriac).replace("-m celery ", "")
            self.assertEqual(ours.stdout, re.sub(r"(?m) (?= |$)", "", text), f"{words}")  # an empty word at the end of each line
            self.assertEqual(ours.stderr, "")

    def test_names_and_templates(self):
        commands = []
        for nodes in (["3"], ["1"], ["foo"], ["foo", "bar@far.example.com", "baz@%h", "b@%n.%d"], ["3", "--range-prefix=w"],
                      ["2", "-n", "h.example.com"], ["2", "--hostname=other", "--prefix=x"], ["a", "b", "--prefix=x-", "--suffix=s"],
                      ["2", '--suffix=""'], ["a-b"]):
            commands += [["multi", "names", *nodes, *FILES], ["multi", "expand", "%n|%h|%d|%i|%I|%N|%p|100% %%n", *nodes, *FILES]]
        self.assert_same(commands)

    def test_command_lines(self):
        self.assert_same([["multi", "show", *FILES, *words] for words in (
                      ["3", "-c", "3"],
                      ["3", "-c", "3", "-c:1", "10"],
                      ["10", "-l", "INFO", "-Q:1-3", "images,video", "-Q:4,5", "data", "-Q", "default", "-L:4,5", "DEBUG"],
                      ["image", "video", "data", "-c", "3", "-c:image", "10"],
                      ["foo", "bar", "baz", "xuzzy", "-c", "3", "-c:foo,bar,baz", "10"],
                      ["foo", "bar", "-c:1", "4", "-c:bar", "5", "-E", "--time-limit:2=7"],
                      ["foo@a", "foo@b", "-c:foo@b", "4"],
                      ["4", "-c:2-3", "5", "-c:3", "7", "-E:1"],
                      ["2", "-E", "--", "worker.prefetch_multiplier=1"],
                      ["1", "--append=x.y=%n"],
                      ["1", "--purge", "-O", "fair", "--max-tasks-per-child=5"])])
        self.assert_same([["-A", "proj", "--broker=amqp://h//", "multi", "show", "2", "-c", "1", *FILES],
                          ["multi", "get", "b@h", "a@h", "b@h", "-c", "2", *FILES],
                          ["multi", "show", "1", "-p", "/tmp/x.pid", "-f", "/tmp/x.log"]])

    def test_default_files_are_our_own(self):
        self.assertEqual(self.good("multi", "get", "a@h", "a@h", bare=True),
                         "worker --detach -n a@h --pidfile=/var/run/celeriac/a.pid --logfile=/var/log/celeriac/a%I.log "
                         f"--executable={self.celeriac}\n")


class UsageTest(support.Case):
    module = False

    def test_a_command_that_is_none_and_nodes_that_are_not_there(self):
        for words, message in ((["frob", "1"], "Invalid command: frob\n"), ([], ""), (["--quiet"], ""), (["get"], "Missing argument of get\n")):
            done = self.run_command("multi", *words, bare=True)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr, message)
            self.assertIn("usage: celeriac multi start", done.stdout)
        done = self.run_command("multi", "get", "x@h", "a@h", bare=True)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        done = self.run_command("multi", "show", "a", "-c:2", "1", bare=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no node 2", done.stderr)

    def test_help(self):
        self.assertIn("celeriac multi start 10", "\n".join(self.good("multi", "help", bare=True).splitlines()).replace("-A tasks ", ""))
        self.assertIn("--range-prefix TEXT", self.good("multi", "--help", bare=True))
        self.assertIn("--range-prefix TEXT", self.good("help", "multi", bare=True))


class ClusterTest(support.Case):
    """Workers that multi has started. They are daemons, so what is left of them is found by their pid files."""

    def setUp(self):
        super().setUp()
        self.files = (f"--pidfile={self.dir}/run/%n.pid", f"--logfile={self.dir}/log/%n%I.log")

    def tearDown(self):
        for node in self.nodes():
            try:
                os.kill(self.pid(node), signal.SIGKILL)
            except (OSError, ValueError):
                pass
        super().tearDown()

    def nodes(self):
        folder = self.path("run")
        return sorted(name[:-4] for name in os.listdir(folder)) if os.path.isdir(folder) else []

    def pid(self, node):
        return int(self.read(f"run/{node}.pid"))

    def multi(self, command, *words, status=0):
        done = self.run_command("multi", command, *words, "-n", "h", *self.files)
        self.assertEqual(done.returncode, status, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def start(self, *words):
        said = self.multi("start", *words, "-l", "info", "-c", "1")
        for node in self.nodes():
            support.wait_until(lambda node=node: " ready." in self.read(f"log/{node}.log"), f"{node} to be ready")
        return said

    def test_start_stop_and_what_is_down(self):
        said = self.start("2")
        self.assertRegex(said, r"^celeriac multi v[0-9.]+\n> Starting nodes\.\.\.\n\t> celery1@h: OK\n\t> celery2@h: OK\n$")
        self.assertEqual(self.nodes(), ["celery1", "celery2"])
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")
        pids = [self.pid("celery1"), self.pid("celery2")]

        said = self.multi("stopwait", "2")
        self.assertIn(f"> Stopping nodes...\n\t> celery1@h: TERM -> {pids[0]}\n\t> celery2@h: TERM -> {pids[1]}\n"
                      f"> Waiting for 2 nodes -> {pids[0]}, {pids[1]}....", said)
        for node in ("celery1", "celery2"):
            self.assertIn(f"\n\t> {node}@h: OK\n> {node}@h: DOWN\n", said)
        self.assertEqual(self.nodes(), [])
        self.assertFalse(any(os.path.exists(f"/proc/{pid}/exe") for pid in pids))

        said = self.multi("stop", "2", "--nosplash")
        self.assertEqual(said, "> celery1@h: DOWN\n> celery2@h: DOWN\n")
        self.assertEqual(self.multi("stop", "2", "--quiet"), "")

    def test_stopwait_lets_tasks_finish(self):
        self.start("one")
        task = self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        stopping = self.spawn("multi", "stopwait", "one", "-n", "h", *self.files)
        stopping.expect("one@h: TERM -> ")
        self.assertIsNone(stopping.popen.poll())
        self.write("gate", "")
        self.assertEqual(stopping.wait(), 0)
        self.assertIn(f"Task test.gate[{task}] succeeded in ", self.read("log/one.log"))
        self.assertEqual(self.nodes(), [])

    def test_restart_starts_what_was_down_too(self):
        self.start("one")
        before = self.pid("one")
        said = self.multi("restart", "one", "two", "-c", "1")
        self.assertRegex(said, r"(?s)> Restarting node two@h: OK\n> Stopping nodes\.\.\.\n\t> one@h: TERM -> \d+\n.*"
                               r"\n\t> one@h: OK\n> Restarting node one@h: OK\n")
        self.assertEqual(self.nodes(), ["one", "two"])
        self.assertNotEqual(self.pid("one"), before)
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")

    def test_kill_and_a_stale_pid_file(self):
        self.start("one")
        pid = self.pid("one")
        self.assertIn(f"Sending KILL to node one@h ({pid})\n", self.multi("kill", "one"))
        support.wait_until(lambda: not os.path.exists(f"/proc/{pid}/exe"), "the end of the worker")
        self.assertIn(f"Could not signal one@h ({pid}): No such process\n> one@h: DOWN\n", self.multi("stop", "one"))
        self.start("one")
        self.assertNotEqual(self.pid("one"), pid)

    def test_another_signal(self):
        self.start("one")
        self.call("test.stubborn", 60)
        support.wait_until(lambda: "received" in self.read("log/one.log"), "the task")
        self.assertIn("one@h: QUIT -> ", self.multi("stopwait", "one", "-QUIT"))  # cold: the task does not hold it up
        self.assertEqual(self.nodes(), [])

    def test_a_node_that_does_not_start_is_told(self):
        self.start("one")
        said = self.multi("start", "one", "two", "-c", "1", status=1)
        self.assertIn(f"(pid: {self.pid('one')})", said)
        self.assertIn("* Child terminated with exit code 73\nFAILED\n\t> two@h: OK\n", said)
        self.assertIn("two", self.nodes())
        self.assertIn("exit code 2\nFAILED", self.multi("start", "three", "--no-such-option=1", status=1))
        self.assertIn("Error: /no/such: No such file or directory\nFAILED",
                      re.sub("(?s)(.*FAILED\n)(Error.*)", r"\2FAILED", self.multi("start", "three", "--executable=/no/such", status=1)))

    def test_paths_are_those_of_the_workdir(self):
        os.mkdir(self.path("below"))
        self.files = ("--pidfile=../run/%n.pid", "--logfile=../log/%n.log", "--workdir=below")
        said = self.start("one", "--verbose")
        self.assertIn(f" --workdir=below worker --detach ", said)
        self.assertEqual(os.readlink(f"/proc/{self.pid('one')}/cwd"), self.path("below"))
        self.assertIn("one@h: OK\n> one@h: DOWN", self.multi("stopwait", "one"))


if __name__ == "__main__":
    support.main()
