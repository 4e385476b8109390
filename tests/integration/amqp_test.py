"""RabbitMQ as broker: workers and clients of ours, and of Python's Celery in both directions, on a private server."""
import json
import os
import subprocess
import sys
import time
import unittest

import support

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import rabbitmq  # noqa: E402  pylint: disable=wrong-import-position

SERVER = None


def setUpModule():
    global SERVER  # pylint: disable=global-statement
    try:
        SERVER = rabbitmq.Server()
    except rabbitmq.Missing as missing:
        raise unittest.SkipTest(str(missing)) from None


def tearDownModule():
    if SERVER is not None:
        SERVER.close()


# What Python's worker runs, and Python's client calls.
PROJECT = '''
import os
from celery import Celery

app = Celery("project", broker=os.environ["TEST_BROKER"], backend=os.environ.get("TEST_BACKEND", "disabled://"))
app.conf.task_default_queue = os.environ.get("TEST_QUEUE", "celery")
app.conf.broker_connection_retry = False


@app.task(name="py.add")
def add(x, y):
    return x + y


@app.task(name="py.note")
def note(text):
    with open(os.environ["TEST_NOTES"], "a", encoding="utf-8") as file:
        file.write(text + "\\n")
    return text


@app.task(name="py.request", bind=True)
def request(self, *args, **kwargs):
    info = self.request
    with open(os.environ["TEST_NOTES"], "a", encoding="utf-8") as file:
        file.write(repr([info.id, list(args), kwargs, info.retries, info.root_id, info.headers and info.headers.get("custom"),
                         info.delivery_info["routing_key"], info.eta is not None]) + "\\n")


@app.task(name="py.fail")
def fail(text):
    raise ValueError(text)
'''


class AmqpCase(support.Case):
    """A virtual host's worth of empty queues for each test, results in SQLite."""
    hosts = iter(range(40))

    def setUp(self):
        super().setUp()
        self.broker = SERVER.url(f"t{next(AmqpCase.hosts)}")
        self.backend = "sqlite:///" + self.db + "?synchronous=off"

    def globals(self):
        return ["-b", self.broker, "--result-backend", self.backend] + (["-A", self.tasks] if self.module else [])

    def ready(self, queue="celery"):
        """How many messages wait in a queue; -1 if there is none."""
        found = json.loads(self.good("list", "queues", "--json", env={"CELERY_TASK_DEFAULT_QUEUE": queue}))
        return found[0]["ready"] if found else -1


class WorkerTest(AmqpCase):
    def test_a_task_is_run_and_its_message_gone(self):
        worker = self.worker("-c", "2")
        task_id = self.call("test.add", 2, 3)
        self.assertEqual(self.result(task_id), "5")
        worker.expect(rf"Task test\.add\[{task_id}\] succeeded in ")
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.ready(), 0)
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL|WARNING")

    def test_messages_wait_in_the_server_until_a_worker_comes(self):
        ids = [self.call("test.add", n, 1) for n in range(3)]
        self.assertEqual(self.ready(), 3)
        self.worker("-c", "2")
        self.assertEqual([self.result(task_id) for task_id in ids], ["1", "2", "3"])

    def test_purge_deletes_what_waits(self):
        for n in range(3):
            self.call("test.add", n, 1)
        self.assertIn("Purged 3 messages", self.good("purge", "-f"))
        self.assertEqual(self.ready(), 0)

    def test_a_countdown_is_kept(self):
        self.worker("-c", "1")
        began = time.monotonic()
        task_id = self.call("test.add", 1, 1, options=["--countdown", "1"])
        self.assertEqual(self.result(task_id), "2")
        self.assertGreaterEqual(time.monotonic() - began, 1)

    def test_the_server_dies_and_comes_back(self):
        worker = self.worker("-c", "2")
        self.assertEqual(self.result(self.call("test.add", 1, 1)), "2")
        waiting = self.call("test.add", 2, 2, options=["--queue", "later"])
        SERVER.kill()
        worker.expect(r"the broker is out of reach, trying again: ")
        done = self.run_command("call", "test.add", "--args", "[1, 1]")
        self.assertEqual(done.returncode, 69, done.stderr)
        self.assertIn("Connection refused", done.stderr)
        SERVER.start()
        worker.expect(r"the broker is reachable again")
        self.assertEqual(self.result(self.call("test.add", 3, 3)), "6")
        self.assertEqual(worker.stop(), 0)
        self.worker("-c", "1", "-Q", "later")
        self.assertEqual(self.result(waiting), "4")  # it was on the server's disk

    def test_a_wrong_password_ends_the_worker_and_is_not_shown(self):
        self.broker = SERVER.url("%2F", login="guest:topsecret")
        worker = self.worker(wait=False)
        self.assertNotEqual(worker.wait(), 0)
        self.assertIn("ACCESS_REFUSED", worker.text)
        self.assertNotIn("topsecret", worker.text)

    def test_a_list_of_servers_is_tried_in_turn(self):
        self.broker = "amqp://127.0.0.1:1//;" + self.broker
        self.worker("-c", "1")
        self.assertEqual(self.result(self.call("test.add", 2, 2)), "4")


class PythonCase(AmqpCase):
    def setUp(self):
        super().setUp()
        if subprocess.run([sys.executable, "-c", "import celery, kombu, amqp"], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest("Python's Celery is not installed (package python3-celery)")
        self.write("project.py", PROJECT)
        self.env.update(TEST_BROKER=self.broker, TEST_NOTES=self.path("notes"), PYTHONDONTWRITEBYTECODE="1")


class PythonClientTest(PythonCase):
    """Python sends, we run."""

    def test_tasks_of_pythons_client_are_run(self):
        worker = self.worker("-c", "2")
        ids = self.python("for n in range(5): print(app.send_task('test.add', (n, 10), headers={'custom': [1, None, {'a': 1.5}]}).id)")
        self.assertEqual([self.result(task_id) for task_id in ids], ["10", "11", "12", "13", "14"])
        self.assertEqual(worker.stop(), 0)

    def test_an_eta_and_an_expiry_of_python_are_kept(self):
        self.worker("-c", "1")
        began = time.monotonic()
        ids = self.python("print(app.send_task('test.add', (1, 1), countdown=1, expires=100).id)")
        self.assertEqual(self.result(ids[0]), "2")
        self.assertGreaterEqual(time.monotonic() - began, 1)

    def test_a_chain_and_a_group_of_python_are_run(self):
        self.worker("-c", "2")
        ids = self.python("from celery import chain, group, signature as s\n"
                          "r = chain(s('test.add', (1, 2), app=app), s('test.add', (10,), app=app)).apply_async(); print(r.id)\n"
                          "g = group(s('test.add', (n, n), app=app) for n in range(3)).apply_async(); print(*[x.id for x in g])")
        self.assertEqual([self.result(task_id) for task_id in " ".join(ids).split()], ["13", "0", "2", "4"])

    def test_compressed_messages_of_python_are_read(self):
        self.worker("-c", "1")
        ids = self.python("print(app.send_task('test.add', (4, 5), compression='zlib').id)")
        self.assertEqual(self.result(ids[0]), "9")

    def test_both_declare_the_same_queue(self):
        self.call("test.add", 1, 1)
        self.python("app.send_task('test.add', (2, 2))")
        self.assertEqual(self.ready(), 2)


class PythonWorkerTest(PythonCase):
    """We send, Python runs."""
    module = False

    def call(self, task, *args, options=(), **kwargs):
        return self.good("call", task, "--args", json.dumps(args), "--kwargs", json.dumps(kwargs), *options).strip()

    def test_our_tasks_are_run_by_pythons_worker(self):
        worker = self.python_worker()
        task_id = self.call("py.request", 1, "zwei", None, options=["--countdown", "0.5"], key={"a": [1.5, True]})
        worker.expect(rf"Task py\.request\[{task_id}\] succeeded")
        line = eval(self.wait_for_lines("notes", 1)[0])  # pylint: disable=eval-used
        self.assertEqual(line, [task_id, [1, "zwei", None], {"key": {"a": [1.5, True]}}, 0, task_id, None, "celery", True])

    def test_twenty_tasks_arrive_once_each(self):
        self.python_worker()
        for n in range(20):
            self.call("py.note", f"note {n}")
        self.assertEqual(sorted(self.wait_for_lines("notes", 20)), sorted(f"note {n}" for n in range(20)))

    def test_results_of_python_in_files_are_pythons_own(self):
        self.env["TEST_BACKEND"] = "file://" + self.dir
        worker = self.python_worker()
        task_id = self.call("py.add", 20, 22)
        worker.expect(rf"Task py\.add\[{task_id}\] succeeded in .*: 42")
        self.assertEqual(self.python(f"print(app.AsyncResult('{task_id}').get(timeout=20))"), ["42"])
        failing = self.call("py.fail", "oh")
        worker.expect(rf"Task py\.fail\[{failing}\] raised unexpected: ")
        worker.expect(r"^ValueError: oh$")


QUEUES = """
from kombu import Exchange, Queue
from kombu.common import Broadcast
media = Exchange("media", type="topic")
task_default_queue = "plain"
task_queues = [
    Queue("plain"),
    Queue("video", media, routing_key="video.#"),
    Queue("urgent", Exchange("urgent"), routing_key="urgent", queue_arguments={"x-max-priority": 10}),
    Queue("safe", queue_arguments={"x-queue-type": "quorum"}),
    Queue("short", queue_arguments={"x-message-ttl": 100, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}),
    Broadcast("everyone"),
]
"""


class QueuesTest(PythonCase):
    """task_queues: both sides read one configuration, and each takes what the other has declared."""

    def setUp(self):
        super().setUp()
        self.write("celeryconfig.py", QUEUES)
        self.env["TEST_QUEUE"] = "plain"
        self.vhost = self.broker.rsplit("/", 1)[1]

    def send(self, *words):
        return self.good("call", "test.add", "--args", "[1, 2]", *words).strip()

    def properties(self):
        """Names, arguments and bindings, less the queues that have a random name."""
        lines = SERVER.ctl("list_queues", "-p", self.vhost, "name", "durable", "arguments").splitlines()
        bound = SERVER.ctl("list_bindings", "-p", self.vhost, "source_name", "destination_name", "routing_key").splitlines()
        return [sorted(line for line in found if "bcast." not in line and "celery_delayed" not in line and "celeryev" not in line
                       and "celery.pidbox" not in line) for found in (lines, bound)]

    def python_queues(self):
        """As Python's worker declares them."""
        self.python("app.config_from_object('celeryconfig')\n"
                    "with app.connection_for_write() as c:\n"
                    "    for q in app.amqp.queues.values(): q(c.default_channel).declare()")

    def test_what_we_declare_is_what_python_declares(self):
        worker = self.worker("-c", "1")
        self.assertEqual(worker.stop(), 0)
        ours = self.properties()
        self.python_queues()  # it dies of a queue that has other arguments
        self.assertEqual(self.properties(), ours)
        self.assertIn("x-max-priority", str(ours))
        self.assertIn("video.#", str(ours))
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL|WARNING")

    def test_what_python_has_declared_is_taken_without_a_warning(self):
        self.python_queues()
        theirs = self.properties()
        worker = self.worker("-c", "1")
        self.assertEqual(self.result(self.send("--queue", "safe")), "3")
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.properties(), theirs)
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL|WARNING")

    def test_a_topic_exchange_delivers_by_its_pattern_and_refuses_what_nobody_wants(self):
        task_id = self.send("--exchange", "media", "--routing-key", "video.compress")
        self.assertEqual(self.ready("video"), 1)
        done = self.run_command("call", "test.add", "--args", "[1, 2]", "--exchange", "media", "--routing-key", "audio.compress")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("NO_ROUTE", done.stderr)
        self.worker("-c", "1", "-Q", "video")
        self.assertEqual(self.result(task_id), "3")

    def test_the_higher_priority_is_run_first(self):
        ids = [self.send("--queue", "urgent", "--priority", str(priority)) for priority in (1, 9, 5)]
        worker = self.worker("-c", "1", "-Q", "urgent", "-O", "fair")
        for task_id in ids:
            self.result(task_id)
        self.assertEqual(worker.stop(), 0)
        order = [line for line in worker.text.splitlines() if " succeeded in " in line]
        self.assertEqual([next(n for n, task_id in enumerate(ids) if task_id in line) for line in order], [1, 2, 0])

    def test_a_message_that_waits_too_long_is_dead_lettered(self):
        self.python("from kombu import Queue\n"
                    "with app.connection_for_write() as c: Queue('dead')(c.default_channel).declare()")
        self.send("--queue", "short")
        support.wait_until(lambda: "dead\t1" in SERVER.ctl("list_queues", "-p", self.vhost, "name", "messages"), "a dead letter")

    def dead_letters(self):
        import amqp  # pylint: disable=import-outside-toplevel
        with amqp.Connection(f"127.0.0.1:{SERVER.port}", virtual_host=self.vhost) as connection:
            return connection.channel().queue_declare("dead", passive=True).message_count

    def test_a_failed_task_is_dead_lettered_if_it_is_not_to_be_acknowledged(self):
        self.python("from kombu import Queue\n"
                    "with app.connection_for_write() as c: Queue('dead')(c.default_channel).declare()")
        self.write("celeryconfig.py", QUEUES.replace("Queue(\"plain\")", "Queue('plain', queue_arguments="
                   "{'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead'})"))
        worker = self.worker("-c", "1", "-Q", "plain",
                             env={"CELERY_TASK_ACKS_LATE": "1", "CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT": "0"})
        good = self.good("call", "test.add", "--args", "[1, 2]").strip()
        bad = self.good("call", "test.fail").strip()
        self.assertEqual(self.result(good), "3")
        self.assertEqual(self.failure(bad), "ValueError: boom")
        support.wait_until(lambda: self.dead_letters() == 1, "a dead letter")
        self.assertEqual(worker.stop(), 0)
        self.assertEqual((self.ready("plain"), self.dead_letters()), (0, 1))

    def test_a_task_that_is_killed_by_its_limit_goes_back_but_not_for_ever(self):
        worker = self.worker("-c", "1", "-Q", "safe,plain", "--time-limit", "0.3",
                             env={"CELERY_TASK_ACKS_LATE": "1", "CELERY_TASK_ACKS_ON_TIMEOUT": "0", "CELERY_TASK_DELIVERY_LIMIT": "2"})
        for queue in "safe", "plain":  # one counts deliveries, the other does not
            task_id = self.good("call", "test.late.sleep", "--args", "[60]", "--queue", queue).strip()
            self.assertIn("TimeLimitExceeded", self.failure(task_id))
            self.assertEqual(worker.text.count(f"Hard time limit (0.3s) exceeded for test.late.sleep[{task_id}]"), 2)

    def test_poison_is_found_by_the_count_of_a_quorum_queue_and_by_our_own(self):
        worker = self.worker("-c", "1", "-Q", "safe,plain")
        for queue in "safe", "plain":
            task_id = self.good("call", "test.late.crash", "--args", json.dumps([self.path(queue)]), "--queue", queue).strip()
            self.assertIn("WorkerLostError", self.failure(task_id))
            self.assertEqual(len(self.read(queue).splitlines()), 3)  # task_delivery_limit
        self.assertEqual(worker.stop(), 0)
        self.assertEqual((self.ready("safe"), self.ready("plain")), (0, 0))

    def test_a_broadcast_reaches_every_worker(self):
        first, second = self.worker("-c", "1", "-Q", "everyone"), self.worker("-c", "1", "-Q", "everyone", name="w2@test")
        task_id = self.send("--queue", "everyone")
        for worker in first, second:
            worker.expect(rf"Task test\.add\[{task_id}\] succeeded in ")


TOPIC = """
from kombu import Exchange, Queue
task_default_queue = "plain"
task_queues = [
    Queue("plain"),
    Queue("movie", Exchange("cinema", type="topic"), routing_key="movie.#", queue_arguments={"x-queue-type": "quorum"}),
]
"""


class DelayTest(PythonCase):
    """An ETA is waited for in the server, where kombu 5.5 and later have it wait."""

    def delayed(self):
        """How many messages wait for their ETA in the server; -1 while it has no queues for that."""
        import amqp  # pylint: disable=import-outside-toplevel
        vhost = self.broker.rsplit("/", 1)[1]
        with amqp.Connection(f"127.0.0.1:{SERVER.port}", virtual_host=vhost) as connection:
            channel = connection.channel()
            try:
                return sum(channel.queue_declare(f"celery_delayed_{level}", passive=True).message_count for level in range(28))
            except amqp.NotFound:
                return -1

    def test_an_eta_is_waited_for_in_the_server(self):
        began = time.monotonic()
        task_id = self.call("test.add", 1, 1, options=["--countdown", "3.5"])
        self.assertEqual((self.delayed(), self.ready()), (1, 0))
        self.worker("-c", "1")
        self.assertEqual(self.result(task_id), "2")
        self.assertGreaterEqual(time.monotonic() - began, 3.5)

    def test_a_retry_with_a_countdown_waits_in_the_server(self):
        worker = self.worker("-c", "1")
        task_id = self.call("test.retry", 1, 3.5)
        worker.expect(rf"Task test\.retry\[{task_id}\] retry: Retry in 3\.5s")
        support.wait_until(lambda: self.delayed() == 1, "a message that waits")
        self.assertEqual(worker.stop(), 0)
        worker = self.worker("-c", "1")
        self.assertEqual(self.result(task_id), "1")

    def test_what_older_senders_leave_to_the_workers_memory_goes_back_to_the_server(self):
        worker = self.worker("-c", "1", level="debug", env={"CELERY_WORKER_ETA_TASK_LIMIT": "3"})
        ids = self.python("for n in range(20): print(app.send_task('test.append', ('%s', str(n)), countdown=6).id)"
                          % self.path("lines"))
        now = self.python("print(app.send_task('test.add', (1, 2)).id)")
        self.assertEqual(self.result(now[0]), "3")
        support.wait_until(lambda: self.delayed() == 17, "all but three in the server")
        for task_id in ids:
            self.result(task_id)
        self.assertEqual(sorted(self.read("lines").split()), sorted(str(n) for n in range(20)))
        self.assertEqual(worker.stop(), 0)
        self.assertEqual((self.delayed(), self.ready()), (0, 0))
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL|WARNING")

    def test_a_held_eta_comes_back_when_its_worker_is_killed(self):
        worker = self.worker("-c", "1")
        task_id = self.python("print(app.send_task('test.add', (1, 2), countdown=4).id)")[0]
        worker.expect(rf"Task test\.add\[{task_id}\] received")
        worker.kill()
        self.worker("-c", "1", name="w2@test")
        self.assertEqual(self.result(task_id), "3")

    def test_a_delayed_message_is_run_and_retried_by_python(self):
        worker = self.python_worker()
        task_id = self.call("py.request", 7, options=["--countdown", "2.2"])
        self.assertEqual(self.delayed(), 1)
        worker.expect(rf"Task py\.request\[{task_id}\] succeeded")
        self.assertIn(task_id, self.wait_for_lines("notes", 1)[0])

    def test_what_a_newer_python_delays_is_run(self):
        """It declares nothing itself: the worker of a quorum queue has made the exchanges."""
        self.write("celeryconfig.py", TOPIC)
        self.env["TEST_QUEUE"] = "plain"
        self.worker("-c", "1", "-Q", "movie")
        support.wait_until(lambda: self.delayed() == 0, "the queues for delays")
        bits = ".".join(f"{2:028b}")
        task_id = self.python(
            "from kombu import Exchange\n"
            "app.config_from_object('celeryconfig')\n"
            f"print(app.send_task('test.add', (20, 1), exchange=Exchange('celery_delayed_27', type='topic', passive=True),"
            f" routing_key='{bits}.movie.drama').id)")[0]
        support.wait_until(lambda: self.delayed() == 1, "one message that is delayed")  # it was sent unconfirmed
        self.assertEqual(self.result(task_id), "21")
        ours = self.call("test.add", 20, 2, options=["--countdown", "1.5", "--exchange", "cinema", "--routing-key", "movie.x",
                                                     "--queue", "movie"])
        self.assertEqual(self.result(ours), "22")

    def test_a_refusal_is_told_and_the_task_run_nevertheless(self):
        self.broker = SERVER.url("%2F", login="limited:limited")
        self.env["CELERY_TASK_DEFAULT_QUEUE"] = "mine"
        done = self.run_command("call", "test.add", "--args", "[2, 2]", "--countdown", "1.5")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("access to exchange 'celery_delayed_", done.stderr)
        self.assertIn("broker_native_delayed_delivery_queue_type", done.stderr)
        self.worker("-c", "1", "-Q", "mine")
        self.assertEqual(self.result(done.stdout.strip()), "4")


class HotwordsTest(AmqpCase):
    def test_the_ranking_is_right_over_rabbitmq(self):
        self.tasks = support.path_of("HOTWORDS_MODULE")
        client, sample = support.path_of("HOTWORDS_CLIENT"), support.path_of("HOTWORDS_SAMPLE")
        self.env = {key: value for key, value in self.env.items() if not key.startswith("HOTWORDS_")}
        process = support.Process([client, "-b", self.broker, "--result-backend", self.backend, "--json", "--data", sample],
                                  self.dir, self.env)
        self._processes.append(process)
        process.expect(r"^job \S+: 4 parts sent to the queue celery_test$")
        self.assertEqual(self.ready("celery_test"), 4)
        worker = self.worker("-c", "4", "-Q", "celery_test", name="celery_test")
        self.assertEqual(process.wait(), 0, process.text)
        with open(os.path.join(sample, "expected.json"), encoding="utf-8") as file:
            expected = json.load(file)
        model = json.loads("\n".join(process.stdout))
        for got, want in zip(model["partitions"] + [model["merged"]], expected["partitions"] + [expected["merged"]]):
            self.assertEqual({key: value for key, value in got.items() if key != "bad_records"}, want)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.ready("celery_test"), 0)
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL|WARNING")


if __name__ == "__main__":
    support.main()
