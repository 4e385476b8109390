"""Results in Redis, messages in RabbitMQ: workers and clients of ours and of Python's Celery, on private servers."""
import json
import os
import sys
import unittest

import support

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import rabbitmq  # noqa: E402  pylint: disable=wrong-import-position
import redisserver  # noqa: E402  pylint: disable=wrong-import-position

RABBIT = REDIS = None


def setUpModule():
    global RABBIT, REDIS  # pylint: disable=global-statement
    try:
        REDIS = redisserver.Server()
        RABBIT = rabbitmq.Server()
    except (rabbitmq.Missing, redisserver.Missing) as missing:
        tearDownModule()
        raise unittest.SkipTest(str(missing)) from None


def tearDownModule():
    for server in RABBIT, REDIS:
        if server is not None:
            server.close()


PROJECT = '''
import os
from celery import Celery, chord, chain, group, signature

app = Celery("project", broker=os.environ["TEST_BROKER"], backend=os.environ["TEST_STORE"])


@app.task(name="py.add")
def add(x, y):
    return x + y


@app.task(name="py.sum")
def total(numbers):
    return sum(numbers)


@app.task(name="py.fail")
def fail(text):
    raise ValueError(text)


def sig(name, *args, queue=None):
    return signature(name, args, app=app, queue=queue)
'''


class RedisCase(support.Case):
    python_queue = "python"
    hosts = iter(range(40))

    def setUp(self):
        super().setUp()
        REDIS.cli("FLUSHALL")
        self.broker = RABBIT.url(f"t{next(RedisCase.hosts)}")
        self.backend = REDIS.url()
        self.write("project.py", PROJECT)
        self.env.update(TEST_BROKER=self.broker, TEST_STORE=self.backend, PYTHONDONTWRITEBYTECODE="1")

    def globals(self):
        return ["-b", self.broker, "--result-backend", self.backend] + (["-A", self.tasks] if self.module else [])

    def assert_keys_expire(self):
        for key in REDIS.keys():
            self.assertGreater(int(REDIS.cli("TTL", key)), 0, key)


class ResultTest(RedisCase):
    def test_a_result_has_celerys_key_and_is_found_by_its_id(self):
        worker = self.worker("-c", "2")
        task_id = self.call("test.add", 2, 3)
        self.assertEqual(self.result(task_id), "5")
        self.assertEqual(REDIS.keys(), [f"celery-task-meta-{task_id}"])
        document = json.loads(REDIS.cli("GET", f"celery-task-meta-{task_id}"))
        self.assertEqual((document["status"], document["result"], document["task_id"]), ("SUCCESS", 5, task_id))
        self.assert_keys_expire()
        self.assertEqual(worker.stop(), 0)
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL|WARNING")

    def test_a_failure_is_told_with_its_type(self):
        self.worker("-c", "1")
        self.assertRegex(self.failure(self.call("test.fail", "boom")), r"boom")

    def test_results_of_a_dead_server_are_stored_when_it_is_back(self):
        worker = self.worker("-c", "2")
        self.result(self.call("test.add", 1, 1))
        REDIS.kill()
        ids = [self.call("test.add", n, n) for n in range(20)]
        worker.expect(r"out of reach|lost|refused")
        REDIS.start()
        self.assertEqual([self.result(task_id) for task_id in ids], [str(2 * n) for n in range(20)])
        self.assertEqual(worker.stop(), 0)

    def test_a_wrong_password_is_an_error_and_not_shown(self):
        task_id = self.call("test.add", 1, 1)
        self.backend = REDIS.url(password="topsecret")
        done = self.run_command("result", "--timeout", "5", task_id)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"Redis refuses|Redis refused|login")
        self.assertNotIn("topsecret", done.stderr)


class PythonTest(RedisCase):
    """Python's client, and canvases whose parts run on both."""

    def test_python_gets_our_results_and_errors(self):
        self.worker("-c", "2")
        lines = self.python("print(sig('test.add', 2, 3).apply_async().get(timeout=30))\n"
                            "try: sig('test.fail', 'boom').apply_async().get(timeout=30)\n"
                            "except Exception as error: print(type(error).__name__, 'boom' in str(error))")
        self.assertEqual(lines[0], "5")
        self.assertRegex(lines[1], r"^\w+ True$")

    def test_we_get_pythons_results(self):
        self.python_worker()
        ids = self.python("print(add.apply_async((2, 3), queue='python').id)\nprint(fail.apply_async(('ouch',), queue='python').id)")
        self.assertEqual(self.result(ids[0]), "5")
        self.assertEqual(self.failure(ids[1]), "ValueError: ouch")

    def test_a_chord_of_python_with_parts_on_both_fires_once(self):
        ours, theirs = self.worker("-c", "2"), self.python_worker()
        for body in "sig('py.sum', queue='python')", "sig('test.xsum')":
            lines = self.python("r = chord([sig('py.add', n, n, queue='python') if n % 2 else sig('test.add', n, n) for n in range(20)],"
                                f" {body}).apply_async()\nprint(r.get(timeout=60))")
            self.assertEqual(lines, ["380"])
        for worker in ours, theirs:
            self.assertNotRegex(worker.text, r"ERROR|CRITICAL")
        self.assertEqual(len(REDIS.keys("celery-task-meta-*")), 42)
        self.assert_keys_expire()

    def test_a_chain_goes_from_one_to_the_other_and_back(self):
        self.worker("-c", "1")
        self.python_worker()
        lines = self.python("print(chain(sig('test.add', 1, 2), sig('py.add', 10, queue='python'), sig('test.add', 100))"
                            ".apply_async().get(timeout=60))")
        self.assertEqual(lines, ["113"])


class HotwordsTest(RedisCase):
    def test_the_users_job_leaves_five_results(self):
        self.tasks = support.path_of("HOTWORDS_MODULE")
        client, sample = support.path_of("HOTWORDS_CLIENT"), support.path_of("HOTWORDS_SAMPLE")
        self.env = {key: value for key, value in self.env.items() if not key.startswith("HOTWORDS_")}
        process = support.Process([client, "-b", self.broker, "--result-backend", self.backend, "--json", "--data", sample],
                                  self.dir, self.env)
        self._processes.append(process)
        process.expect(r"^job \S+: 4 parts sent to the queue celery_test$")
        worker = self.worker("-c", "4", "-Q", "celery_test", name="celery_test")
        self.assertEqual(process.wait(), 0, process.text)
        with open(os.path.join(sample, "expected.json"), encoding="utf-8") as file:
            expected = json.load(file)
        model = json.loads("\n".join(process.stdout))
        for got, want in zip(model["partitions"] + [model["merged"]], expected["partitions"] + [expected["merged"]]):
            self.assertEqual({key: value for key, value in got.items() if key != "bad_records"}, want)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(len(REDIS.keys("celery-task-meta-*")), 5)
        self.assert_keys_expire()
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL|WARNING")


if __name__ == "__main__":
    support.main()
