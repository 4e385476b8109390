"""Results as messages to who sent the task (rpc://): on the embedded broker, and on RabbitMQ with Python's Celery on the other side."""
import json
import os
import subprocess
import sys
import unittest

import support

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import rabbitmq  # noqa: E402  pylint: disable=wrong-import-position

RABBIT = None

PROJECT = '''
import os
from celery import Celery, chain, group, signature

app = Celery("project", broker=os.environ["TEST_BROKER"], backend="rpc://")


@app.task(name="py.add")
def add(x, y):
    return x + y


@app.task(name="py.fail")
def fail(text):
    raise ValueError(text)


def sig(name, *args, queue=None):
    return signature(name, args, app=app, queue=queue)
'''


def setUpModule():
    global RABBIT  # pylint: disable=global-statement
    try:
        RABBIT = rabbitmq.Server()
    except rabbitmq.Missing:
        RABBIT = None  # the embedded tests run nevertheless


def tearDownModule():
    if RABBIT is not None:
        RABBIT.close()


def task(name, *args, queue=None, **options):
    if queue:
        options["queue"] = queue
    return {"task": name, "args": list(args), "kwargs": {}, "options": options, "subtask_type": None, "immutable": False}


def canvas(kind, tasks):
    return {"task": f"celery.{kind}", "args": [], "kwargs": {"tasks": tasks}, "options": {}, "subtask_type": kind, "immutable": False}


class RpcCase(support.Case):
    def globals(self):
        return ["-b", self.url, "--result-backend", "rpc://", "-A", self.tasks]

    def send(self, signature, *options):
        """Sends with the test client and returns its last line."""
        done = subprocess.run([support.path_of("CEL_TESTCLIENT"), "-t", "30", *options, self.url, "rpc://"], cwd=self.dir, env=self.env,
                              input=json.dumps(signature), capture_output=True, text=True, timeout=support.TIMEOUT, check=False)
        self.assertEqual(done.stderr, "")
        return json.loads(done.stdout.splitlines()[-1])

    def check_ours(self):
        self.assertEqual(self.send(task("test.add", 2, 3)), {"value": 5})
        failure = self.send(task("test.fail", "boom"))
        self.assertIn("boom", failure["message"])
        self.assertEqual(self.send(task("test.progress", 5)), {"value": 5})
        self.assertEqual(self.send(canvas("chain", [task("test.add", 1, 2), task("test.add", 10), task("test.add", 100)])), {"value": 113})
        self.assertEqual(self.send(canvas("group", [task("test.add", n, n) for n in range(5)])), {"value": [0, 2, 4, 6, 8]})


class EmbeddedTest(RpcCase):
    def test_results_come_to_who_sent_the_task(self):
        worker = self.worker("-c", "2")
        self.check_ours()
        self.assertEqual(self.query("SELECT count(*) FROM result"), [(0,)])
        self.assertEqual(worker.stop(), 0)
        self.assertNotRegex(worker.text, "CRITICAL|WARNING")

    def test_a_client_that_is_gone_is_no_error(self):
        self.send(task("test.add", 1, 1), "-n")
        worker = self.worker("-c", "1")
        worker.expect(r"Task test\.add\[\S+\] succeeded in ")
        self.assertEqual(self.send(task("test.add", 2, 3)), {"value": 5})
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.queue_length(), 0)
        self.assertNotRegex(worker.text, "ERROR|CRITICAL|WARNING")

    def test_chords_are_refused_when_they_are_sent(self):
        chord = {"task": "celery.chord", "args": [], "options": {}, "subtask_type": "chord", "immutable": False,
                 "kwargs": {"header": canvas("group", [task("test.add", 1, 1)]), "body": task("test.xsum"), "kwargs": {}}}
        answer = self.send(chord)
        self.assertIn("no chords", answer["message"])
        self.assertEqual(self.queue_length(), 0)

    def test_a_late_task_is_acknowledged_after_its_result(self):
        worker = self.worker("-c", "1")
        self.assertEqual(self.send(task("test.late.xsum", [1, 2, 3])), {"value": 6})
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.queue_length(), 0)


class RabbitTest(RpcCase):
    python_queue = "python"
    hosts = iter(range(40))

    def setUp(self):
        if RABBIT is None:
            self.skipTest("RabbitMQ is not installed")
        super().setUp()
        self.url = RABBIT.url(f"t{next(RabbitTest.hosts)}")
        self.write("project.py", PROJECT)
        self.env.update(TEST_BROKER=self.url, PYTHONDONTWRITEBYTECODE="1")

    def test_results_come_to_who_sent_the_task(self):
        self.worker("-c", "2")
        self.check_ours()

    def test_python_gets_our_results_and_errors(self):
        self.worker("-c", "2")
        lines = self.python("print(sig('test.add', 2, 3).apply_async().get(timeout=30))\n"
                            "print(group(sig('test.add', n, n) for n in range(5)).apply_async().get(timeout=30))\n"
                            "print(chain(sig('test.add', 1, 2), sig('test.add', 10)).apply_async().get(timeout=30))\n"
                            "try: sig('test.fail', 'boom').apply_async().get(timeout=30)\n"
                            "except Exception as error: print(type(error).__name__, 'boom' in str(error))")
        self.assertEqual(lines[:3], ["5", "[0, 2, 4, 6, 8]", "13"])
        self.assertRegex(lines[3], r"^\w+ True$")

    def test_we_get_pythons_results_and_errors(self):
        self.python_worker()
        self.assertEqual(self.send(task("py.add", 2, 3, queue="python")), {"value": 5})
        failure = self.send(task("py.fail", "ouch", queue="python"))
        self.assertEqual((failure["type"], failure["message"]), ("ValueError", "ouch"))

    def test_a_chain_over_both_is_answered(self):
        self.worker("-c", "1")
        self.python_worker()
        steps = [task("test.add", 1, 2), task("py.add", 10, queue="python"), task("test.add", 100)]
        self.assertEqual(self.send(canvas("chain", steps)), {"value": 113})
        lines = self.python("print(chain(sig('test.add', 1, 2), sig('py.add', 10, queue='python'), sig('test.add', 100))"
                            ".apply_async().get(timeout=30))")
        self.assertEqual(lines, ["113"])


if __name__ == "__main__":
    support.main()
