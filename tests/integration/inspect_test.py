"""`celeriac inspect`, `control` and `status` asking Python's workers on RabbitMQ and Redis, beside Debian's `celery`, which must print
the same; and what is said when nobody answers, or there is no broker."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import support

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import rabbitmq  # noqa: E402  pylint: disable=wrong-import-position
import redisserver  # noqa: E402  pylint: disable=wrong-import-position

RABBIT = REDIS = None
NOBODY = "Error: No nodes replied within time constraint\n"

PROJECT = '''
import os
import time
from celery import Celery

app = Celery("project", broker=os.environ["TEST_BROKER"], backend="disabled://")
app.conf.broker_connection_retry = False


@app.task(name="t.add", rate_limit="2/s", max_retries=3)
def add(x, y):
    return x + y


@app.task(name="t.wait")
def wait(path, *args):
    while not os.path.exists(path):
        time.sleep(0.01)
'''


def setUpModule():
    global RABBIT, REDIS  # pylint: disable=global-statement
    try:
        RABBIT, REDIS = rabbitmq.Server(), redisserver.Server()
    except (rabbitmq.Missing, redisserver.Missing) as missing:
        tearDownModule()
        raise unittest.SkipTest(str(missing)) from None


def tearDownModule():
    for server in (RABBIT, REDIS):
        if server is not None:
            server.close()


# Debian's command, many times in one process: [[word, ...], ...] in, [[status, stdout, stderr], ...] out.
CELERY = '''
import json, sys
from click.testing import CliRunner
from celery.bin.celery import celery

runner = CliRunner(mix_stderr=False)
done = [runner.invoke(celery, ["-A", "project", "-C", *words]) for words in json.load(sys.stdin)]
json.dump([[one.exit_code, one.stdout, one.stderr] for one in done], sys.stdout)
'''
BOTH = ("-t", "10", "-d", "w1@test,w2@test")  # as soon as both have answered, it is over
ONE = ("-t", "10", "-d", "w1@test")


class Workers:
    """Two workers of Python, shared by the tests of a class: each runs one task at a time."""
    module = False
    url = None  # of the broker
    home = None
    nodes = {}

    @classmethod
    def environment(cls):
        return {**os.environ, "TEST_BROKER": cls.url, "PYTHONDONTWRITEBYTECODE": "1", "C_FORCE_ROOT": "1", "HOME": cls.home,
                "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}

    @classmethod
    def start(cls, name, *options):
        return support.Process([sys.executable, "-m", "celery", "-A", "project", "worker", "-n", name, "-l", "INFO", "-c", "1",
                                "--without-gossip", "--without-mingle", *options], cls.home, cls.environment())

    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix="celeriac-test-")
        with open(os.path.join(cls.home, "project.py"), "w", encoding="utf-8") as file:
            file.write(PROJECT)
        cls.nodes = {name: cls.start(name) for name in ("w1@test", "w2@test")}
        for node in cls.nodes.values():
            node.expect(r" ready\.$")

    @classmethod
    def tearDownClass(cls):
        for node in cls.nodes.values():
            node.kill()
        if cls.home:
            shutil.rmtree(cls.home, ignore_errors=True)

    def setUp(self):
        url = self.url
        super().setUp()
        self.url = url

    def globals(self):
        return ["-b", self.url]

    def run_python(self, code, input=None):
        done = subprocess.run([sys.executable, "-c", code], cwd=self.home, env=self.environment(), text=True, input=input or "",
                              capture_output=True, timeout=support.TIMEOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    @staticmethod
    def sorted(text):
        """The replies in the order of their nodes' names: they come in any."""
        blocks = re.split(r"(?m)^(?=->  |\n\d+ node)", text)
        return "".join(sorted(blocks, key=lambda block: (not block.startswith("->"), block)))

    def same(self, commands, mask=None):
        """Both commands print the same and end alike. `mask` is a pattern of what may differ."""
        theirs = json.loads(self.run_python(CELERY, json.dumps(commands)))
        for words, (status, stdout, stderr) in zip(commands, theirs):
            with self.subTest(words=words):
                ours = self.run_command(*words)
                texts = [re.sub(mask, "*", text) if mask else text for text in (self.sorted(ours.stdout), self.sorted(stdout))]
                self.assertEqual(texts[0], texts[1], ours.stderr)
                self.assertEqual((ours.returncode, ours.stderr), (status, stderr))

    def ask(self, *words):
        return json.loads(self.good("inspect", *words, "-j", *ONE))["w1@test"]

    def count(self, method):
        return sum(map(len, json.loads(self.good("inspect", method, "-j", *BOTH)).values()))

    def check_unavailable(self, *words):
        done = self.run_command(*words)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (69, "", NOBODY), words)

    def test_replies_are_shown_as_by_celery(self):
        methods = [["ping"], ["registered"], ["registered", "max_retries", "rate_limit"], ["active_queues"], ["active"],
                   ["reserved"], ["revoked"], ["conf"], ["memsample"], ["query_task", "x", "y"], ["report"]]
        self.same([["status", *BOTH], ["status", "-j", *ONE], *(["inspect", *method, *BOTH] for method in methods),
                   *(["inspect", *method, "-j", *ONE] for method in methods)])
        self.same([["inspect", "clock", *BOTH], ["inspect", "stats", *BOTH], ["inspect", "stats", "--json", *ONE]],
                  mask=r"\d+(\.\d+)?(e-\d+)?")
        self.assertEqual(list(self.ask("stats"))[:4], ["total", "pid", "clock", "uptime"])  # in the order of the reply

    def test_controls_are_obeyed_and_refused_as_by_celery(self):
        methods = [["rate_limit", "t.add", "3/m"], ["rate_limit", "t.none", "3/m"], ["rate_limit", "t.add"],
                   ["rate_limit", "t.add", "fast"], ["time_limit", "t.add", "1.5", "2"], ["autoscale", "3", "1"],
                   ["revoke", "a", "b"], ["terminate", "SIGKILL", "c"], ["heartbeat"], ["pool_restart"], ["cancel_consumer", "other"]]
        self.same([*(["control", *method, *BOTH] for method in methods), ["control", "rate_limit", "t.add", "3/m", "-j", *ONE]])
        self.assertEqual(self.good("control", "add_consumer", "q2", "ex2", "direct", "key2", *ONE),
                         "->  w1@test: OK\n        add consumer q2\n")
        queues = support.wait_until(lambda: self.ask("active_queues")[1:], "the queue is consumed")
        self.assertEqual((queues[0]["name"], queues[0]["exchange"]["name"], queues[0]["routing_key"]), ("q2", "ex2", "key2"))
        self.good("control", "cancel_consumer", "q2", *ONE)
        self.assertEqual(sorted(self.ask("revoked")), ["a", "b", "c"])
        self.assertEqual(self.ask("registered"), ["t.add [rate_limit=3/m]", "t.wait"])

    def test_tasks_are_shown_as_celery_shows_them(self):
        gate = self.path("gate")
        self.run_python(f"from project import *\nfor i in range(2):\n"
                    f"    wait.delay({gate!r}, 2.5, None, 'it\\'s \\u00e9 \\U0001f600 \\n', {{'a': [True, i]}})\n"
                    f"    wait.apply_async([{gate!r}], countdown=3600)")
        support.wait_until(lambda: self.count("active") + self.count("reserved") == 2 and self.count("scheduled") == 2, "the tasks are there")
        self.same([["inspect", method, *more] for method in ("active", "reserved", "scheduled") for more in (BOTH, ("-j", *ONE))])
        self.write("gate", "")

    def test_a_shutdown_is_not_answered_and_ends_the_worker(self):
        worker = self.start("w3@test", "-Q", "third")
        self._processes.append(worker)
        worker.expect(r" ready\.$")
        self.check_unavailable("control", "shutdown", "-d", "w3@test", "-t", "0.1")
        self.assertEqual(worker.wait(), 0)
        self.check_unavailable("status", "-d", "w3@test", "-t", "0.1")

    def test_nodes_that_do_not_exist_are_not_heard_of(self):
        self.check_unavailable("inspect", "ping", "-d", "nobody@test", "-t", "0.2")
        self.assertEqual(self.good("inspect", "ping", "-d", "nobody@test,w1@test", "-t", "2"),
                         "->  w1@test: OK\n        pong\n\n1 node online.\n")

    def test_a_worker_that_hangs_does_not_answer(self):
        self.nodes["w2@test"].signal(signal.SIGSTOP)
        try:
            self.assertEqual(self.good("status", "-t", "1"), "->  w1@test: OK\n\n1 node online.\n")
        finally:
            self.nodes["w2@test"].signal(signal.SIGCONT)
        self.assertIn("2 nodes online.", self.good("status", *BOTH))

    def test_another_control_exchange_reaches_other_workers(self):
        done = self.run_command("status", "-t", "0.2", env={"CELERY_CONTROL_EXCHANGE": "other"})
        self.assertEqual(done.returncode, 69, done.stdout)

    def test_a_worker_of_ours_answers_beside_them(self):
        worker = self.spawn("-A", self.tasks, "worker", "-n", "c1@test", "-c", "1", "-Q", "ours", "-l", "info", kind=support.Worker)
        worker.ready()
        nodes = BOTH[-1] + ",c1@test"
        self.assertEqual(self.sorted(self.good("status", "-t", "10", "-d", nodes)),
                         "->  c1@test: OK\n->  w1@test: OK\n->  w2@test: OK\n\n3 nodes online.\n")
        self.same([["inspect", *method, "-t", "10", "-d", "c1@test", *more] for method in (["ping"], ["active"], ["active_queues"],
                  ["registered"], ["query_task", "x"]) for more in ((), ("-j",))])
        self.assertEqual(worker.stop(), 0)


class RabbitTest(Workers, support.Case):
    @classmethod
    def setUpClass(cls):
        cls.url = RABBIT.url("t0")
        super().setUpClass()


class RedisTest(Workers, support.Case):
    @classmethod
    def setUpClass(cls):
        cls.url = REDIS.url(0)
        super().setUpClass()

    def test_nothing_is_left_behind(self):
        before = set(REDIS.cli("KEYS", "*").split())
        self.assertIn("2 nodes online.", self.good("status", *BOTH))
        left = {key for key in set(REDIS.cli("KEYS", "*").split()) - before if REDIS.cli("TTL", key).strip() == "-1"}
        self.assertEqual(left, set())


class EmbeddedTest(support.Case):
    """On the embedded broker."""

    def test_nobody_is_there(self):
        done = self.run_command("status", "-t", "0.1")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (69, "", NOBODY))

    def test_workers_are_asked_and_told(self):
        one = self.worker("-c", "1", "-P", "threads", name="c1@test")
        two = self.worker("-c", "1", "-P", "threads", name="c2@test")
        self.assertEqual(Workers.sorted(self.good("status", "-t", "10", "-d", "c1@test,c2@test")),
                         "->  c1@test: OK\n->  c2@test: OK\n\n2 nodes online.\n")
        nodes = json.loads(self.good("inspect", "registered", "-j", "-t", "10", "-d", "c1@test,c2@test"))
        self.assertIn("test.add", nodes["c1@test"])
        self.assertEqual(nodes["c1@test"], nodes["c2@test"])
        for task, answer in (("test.none", "OK\n        new rate limit set successfully\n"), ("no.such", "ERROR\n        unknown task\n")):
            self.assertEqual(self.good("control", "rate_limit", task, "1/s", "-t", "10", "-d", "c1@test"), "->  c1@test: " + answer)
        done = self.run_command("control", "shutdown", "-d", "c1@test", "-t", "0.1")
        self.assertEqual((done.returncode, done.stderr), (69, NOBODY))
        self.assertEqual(one.wait(), 0)
        self.assertEqual(self.good("status", "-t", "10", "-d", "c2@test"), "->  c2@test: OK\n\n1 node online.\n")
        self.assertEqual(two.stop(), 0)


class UsageTest(support.Case):
    module = False

    def test_a_dead_broker_is_said_at_once(self):
        for url in ("amqp://guest:s3cret@127.0.0.1:1//", "redis://:s3cret@127.0.0.1:1/0"):
            for words in (["status"], ["inspect", "ping"], ["control", "heartbeat"]):
                with self.subTest(url=url, words=words):
                    done = self.run_command("-b", url, *words, bare=True)
                    self.assertEqual((done.returncode, done.stdout), (69, ""), done.stderr)
                    self.assertRegex(done.stderr, r"^Error: .*127\.0\.0\.1")
                    self.assertNotIn("s3cret", done.stderr)

    def test_wrong_usage_ends_with_2(self):
        cases = [
            (["inspect"], "Missing argument"),
            (["inspect", "pong"], "'pong' is not one of 'report', 'conf', "),
            (["inspect", "pong"], "Did you mean this?\n    ping\n"),
            (["inspect", "hello"], "'hello' is not one of "),
            (["inspect", "shutdown"], "'shutdown' is not one of "),
            (["control", "ping"], "'ping' is not one of "),
            (["inspect", "ping", "x"], "Command 'ping' takes no arguments."),
            (["inspect", "conf", "true", "x"], "Command 'conf' takes arguments: [include_defaults=False]"),
            (["inspect", "conf", "maybe"], "'maybe' is not a valid boolean."),
            (["control", "autoscale", "3", "x"], "'x' is not a valid integer."),
            (["control", "autoscale", "99999999999999999999"], "is not a valid integer."),
            (["control", "time_limit", "t", "soon"], "'soon' is not a valid number."),
            (["control", "rate_limit", "t", "1/s", "x"], "Command 'rate_limit' takes arguments: <task_name> <rate_limit"),
            (["status", "x"], "Got unexpected extra argument (x)"),
            (["status", "-t", "soon"], "'soon' is not a valid number."),
            (["status", "-t", "-1"], "Invalid value for '--timeout': out of range"),
            (["status", "-t", "nan"], "Invalid value for '--timeout': out of range"),
        ]
        for words, message in cases:
            with self.subTest(words=words):
                done = self.run_command(*words)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(message, done.stderr)

    def test_help_manual_and_completion_know_the_methods(self):
        text = self.good("control", "--help", bare=True)
        self.assertIn("  rate_limit <task_name> <rate_limit (e.g., 5/s | 5/m | 5/h)>\n"
                      "      Tell worker(s) to modify the rate limit for a task by type.\n", text)
        self.assertIn("-d, --destination LIST", text)
        manual = self.good("help", "--man", bare=True)
        self.assertIn("\n.B rate_limit <task_name> ", manual)
        for shell in ("bash", "zsh", "fish"):
            script = self.good("help", "--completion", shell, bare=True)
            self.assertIn("active_queues", script)
            self.assertIn("rate_limit", script)
            self.assertNotIn("hello ", script)


if __name__ == "__main__":
    support.main()
