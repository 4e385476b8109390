"""Redis as broker: workers and clients of ours and of Python's Celery on the same queues, on a private server. Results are in Redis,
too, in another database."""
import json
import os
import random
import re
import sys
import time
import unittest

import support

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import redisserver  # noqa: E402  pylint: disable=wrong-import-position

SERVER = None
SHORT = {"visibility_timeout": 2}


def setUpModule():
    global SERVER  # pylint: disable=global-statement
    try:
        SERVER = redisserver.Server()
    except redisserver.Missing as missing:
        raise unittest.SkipTest(str(missing)) from None


def tearDownModule():
    if SERVER is not None:
        SERVER.close()


# What Python's worker runs; some tasks have the names of ours, so that both can run them.
PROJECT = '''
import json, os
from celery import Celery, chord, chain, group, signature
from kombu import Exchange, Queue
from kombu.common import Broadcast

app = Celery("project", broker=os.environ["TEST_BROKER"], backend=os.environ["TEST_STORE"])
app.conf.broker_transport_options = json.loads(os.environ.get("TEST_TRANSPORT", "{}"))
app.conf.broker_connection_retry = False


def note(path, text):
    with open(path, "a", encoding="utf-8") as file:
        file.write(text + "\\n")


@app.task(name="test.add")
def add(x, y):
    return x + y


@app.task(name="test.xsum")
def total(numbers):
    return sum(numbers)


@app.task(name="test.late.append", acks_late=True)
def append(path, text):
    note(path, text)


@app.task(name="test.late.gate", acks_late=True, bind=True)
def gate(self, path, result=None):
    note(path + ".python", self.request.id)


@app.task(name="py.who", bind=True)
def who(self, *args, **kwargs):
    info = self.request
    return [info.hostname, list(args), kwargs, info.retries, info.root_id, info.delivery_info["routing_key"],
            info.delivery_info["priority"], info.eta is not None]


@app.task(name="py.fail")
def fail(text):
    raise ValueError(text)


def sig(name, *args, **options):
    return signature(name, args, app=app, **options)
'''


class RedisCase(support.Case):
    def setUp(self):
        super().setUp()
        SERVER.cli("CONFIG", "SET", "maxmemory", "0")
        SERVER.cli("FLUSHALL")
        self.broker, self.backend = SERVER.url(0), SERVER.url(1)
        self.write("project.py", PROJECT)
        self.env.update(TEST_BROKER=self.broker, TEST_STORE=self.backend, PYTHONDONTWRITEBYTECODE="1")

    def options(self, **options):
        """broker_transport_options of all that is started from now on."""
        self.env["TEST_TRANSPORT"] = json.dumps(options)
        self.env["CELERY_BROKER_TRANSPORT_OPTIONS"] = json.dumps(options)

    def globals(self):
        return ["-b", self.broker, "--result-backend", self.backend] + (["-A", self.tasks] if self.module else [])

    def ready(self, queue="celery"):
        found = json.loads(self.good("list", "queues", "--json", env={"CELERY_TASK_DEFAULT_QUEUE": queue}))
        return next((row["ready"] for row in found if row["name"] == queue), -1)

    def redis(self, *words):
        return SERVER.cli(*words, db=0)

    def unacked(self):
        return int(self.redis("HLEN", "unacked")), int(self.redis("ZCARD", "unacked_index"))

    def wait_until_settled(self):
        support.wait_until(lambda: self.unacked() == (0, 0), "nothing is unacknowledged")


class WorkerTest(RedisCase):
    def test_a_task_is_run_and_what_is_left_has_an_end(self):
        worker = self.worker("-c", "2")
        task_id = self.call("test.add", 2, 3)
        self.assertEqual(self.result(task_id), "5")
        worker.expect(rf"Task test\.add\[{task_id}\] succeeded in ")
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.ready(), 0)
        self.assertEqual(self.unacked(), (0, 0))
        for key in SERVER.keys(db=0):
            if not key.startswith("_kombu.binding."):
                self.assertGreater(int(self.redis("TTL", key)), 0, key)
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL|WARNING")

    def test_messages_wait_until_a_worker_comes_and_can_be_purged(self):
        ids = [self.call("test.add", n, 1) for n in range(3)]
        self.assertEqual(self.ready(), 3)
        self.assertEqual(int(self.redis("LLEN", "celery")), 3)
        self.worker("-c", "2")
        self.assertEqual([self.result(task_id) for task_id in ids], ["1", "2", "3"])
        for n in range(3):
            self.call("test.add", n, 1, options=["--queue", "other"])
        self.assertIn("Purged 3 messages", self.good("purge", "-f", "-Q", "other"))
        self.assertEqual(self.ready("other"), 0)

    def test_a_countdown_waits_in_the_server(self):
        worker = self.worker("-c", "1")
        began = time.monotonic()
        task_id = self.call("test.add", 1, 1, options=["--countdown", "1.5"])
        later = self.call("test.add", 1, 1, options=["--countdown", "3600"])
        support.wait_until(lambda: self.redis("ZCARD", "celeriac.eta.celery") == "2", "both wait")
        self.assertEqual(self.result(task_id), "2")
        self.assertGreaterEqual(time.monotonic() - began, 1.5)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.unacked(), (1, 1))
        self.assertIn(later, self.redis("HVALS", "unacked"))
        self.assertIn("Purged 1 message", self.good("purge", "-f"))
        self.assertEqual(self.unacked(), (0, 0))

    def test_a_task_longer_than_the_visibility_timeout_is_run_once(self):
        self.options(**SHORT)
        first, second = self.worker("-c", "1"), self.worker("-c", "1", name="w2@test")
        task_id = self.call("test.late.sleep", 4.5)
        began = time.monotonic()
        support.wait_until(lambda: time.monotonic() > began + SHORT["visibility_timeout"] + 0.5, "it is older than the timeout")
        self.python_worker("other")  # it restores what is too old, of all queues, when it starts
        self.assertEqual(self.result(task_id), "4.5")
        self.wait_until_settled()
        self.assertEqual(len(re.findall(rf"\[{task_id}\] received", first.text + second.text)), 1)

    def test_a_task_of_the_solo_pool_keeps_its_lease(self):
        self.options(**SHORT)
        first, second = self.worker("-P", "solo"), self.worker("-P", "solo", name="w2@test")
        task_id = self.call("test.late.sleep", 3)
        self.assertEqual(self.result(task_id), "3.0")
        self.wait_until_settled()
        self.assertEqual(len(re.findall(rf"\[{task_id}\] received", first.text + second.text)), 1)

    def test_what_a_killed_worker_had_is_run_by_another(self):
        self.options(**SHORT)
        gate = self.path("gate")
        first = self.worker("-c", "1")
        ids = [self.call("test.late.gate", gate, n) for n in range(4)]
        self.wait_for_lines("gate.started", 1)
        first.kill()
        self.write("gate", "")
        second = self.worker("-c", "1", name="w2@test")
        self.assertEqual([self.result(task_id) for task_id in ids], ["0", "1", "2", "3"])
        self.assertEqual(second.stop(), 0)
        self.assertEqual(self.unacked(), (0, 0))
        self.assertEqual(len(self.read("gate.started").splitlines()), 5)

    def test_workers_and_the_server_are_killed_at_random_and_nothing_is_lost(self):
        self.options(**SHORT)
        lots, path, rnd = 150, self.path("lines"), random.Random(7)
        lines = self.python(f"for n in range({lots}): print(sig('test.late.append', {path!r}, str(n)).apply_async().id)")
        for n, point in enumerate(sorted(rnd.sample(range(1, lots - 30), 4))):
            worker = self.worker("-c", "2", "--prefetch-multiplier", "4", name=f"w{n}@test")
            self.wait_for_lines("lines", point)
            if n % 2:
                SERVER.kill()
                worker.expect(r"out of reach")
                SERVER.start()
            worker.kill()
        worker = self.worker("-c", "2", name="last@test")
        done = self.python("print(sum(app.AsyncResult(i).get(timeout=60) is None for i in %r))" % lines)
        self.assertEqual(done, [str(lots)])
        self.assertEqual(set(map(int, self.read("lines").split())), set(range(lots)))
        self.wait_until_settled()
        self.assertEqual(self.ready(), 0)
        self.assertEqual(worker.stop(), 0)

    def test_a_warm_stop_hands_back_what_has_not_begun(self):
        gate = self.path("gate")
        first = self.worker("-c", "1", "--prefetch-multiplier", "4")
        ids = [self.call("test.late.gate", gate, n) for n in range(4)]
        self.wait_for_lines("gate.started", 1)
        first.signal(15)
        support.wait_until(lambda: int(self.redis("LLEN", "celery")) == 3, "three are back")
        self.write("gate", "")
        self.assertEqual(first.wait(), 0)
        self.worker("-c", "1", name="w2@test")
        self.assertEqual([self.result(task_id) for task_id in ids], ["0", "1", "2", "3"])

    def test_the_server_dies_and_comes_back(self):
        gate = self.path("gate")
        worker = self.worker("-c", "2")
        running = self.call("test.late.gate", gate, 7)
        self.wait_for_lines("gate.started", 1)
        waiting = self.call("test.add", 2, 2, options=["--queue", "later"])
        SERVER.kill()
        worker.expect(r"the broker is out of reach, trying again: ")
        done = self.run_command("call", "test.add", "--args", "[1, 1]")
        self.assertEqual(done.returncode, 69, done.stderr)
        self.assertRegex(done.stderr, r"refused")
        self.write("gate", "")
        SERVER.start()
        worker.expect(r"the broker is reachable again")
        self.assertEqual(self.result(running), "7")
        self.assertEqual(self.result(self.call("test.add", 3, 3)), "6")
        self.assertEqual(worker.stop(), 0)
        self.worker("-c", "1", "-Q", "later")
        self.assertEqual(self.result(waiting), "4")  # it was on the server's disk
        self.assertEqual(len(self.read("gate.started").splitlines()), 1)

    def test_a_worker_waits_for_a_server_that_is_down(self):
        SERVER.kill()
        try:
            worker = self.worker("-c", "1", wait=False)
            worker.expect(r"cannot connect: .*refused.*Trying again in ")
        finally:
            SERVER.start()
        worker.ready()
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")

    def test_a_wrong_password_ends_the_worker_and_is_not_shown(self):
        self.broker = SERVER.url(0, password="topsecret")
        worker = self.worker(wait=False)
        self.assertNotEqual(worker.wait(), 0)
        done = self.run_command("call", "test.add", "--args", "[1, 1]")
        self.assertNotEqual(done.returncode, 0)
        for text in worker.text, done.stderr:
            self.assertRegex(text, r"Redis refuses the login")
            self.assertNotIn("topsecret", text)

    def test_a_full_server_refuses_messages_and_is_worked_off(self):
        self.backend = "sqlite:///" + self.db + "?synchronous=off"
        ids = [self.call("test.add", n, n) for n in range(20)]
        SERVER.cli("CONFIG", "SET", "maxmemory", "1")
        done = self.run_command("call", "test.add", "--args", "[1, 1]")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Redis has no memory left (maxmemory)", done.stderr)
        worker = self.worker("-c", "2")
        self.assertEqual([self.result(task_id) for task_id in ids], [str(2 * n) for n in range(20)])
        self.wait_until_settled()
        SERVER.cli("CONFIG", "SET", "maxmemory", "0")
        self.assertEqual(self.result(self.call("test.add", 3, 3)), "6")
        self.assertEqual(worker.stop(), 0)

    def test_what_is_no_message_is_put_aside_and_the_rest_is_run(self):
        for text in "rubbish", '{"properties": {"delivery_tag": "t1"}', '["delivery_tag"]':
            self.redis("LPUSH", "celery", text)
        task_id = self.call("test.add", 1, 1)
        worker = self.worker("-c", "1")
        self.assertEqual(self.result(task_id), "2")
        support.wait_until(lambda: self.redis("LLEN", "celeriac.quarantine") == "3", "three are put aside")
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.unacked(), (0, 0))
        worker.rewind()
        worker.expect(r"put aside")


class TlsTest(RedisCase):
    """rediss:// as broker and as result store."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.server = redisserver.Server(tls=True)
        except redisserver.Missing as missing:
            raise unittest.SkipTest(str(missing)) from None

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def setUp(self):
        super().setUp()
        self.broker, self.backend = self.server.tls_url(0), self.server.tls_url(1)
        self.env.update(TEST_BROKER=self.broker, TEST_STORE=self.backend)

    def test_tasks_and_results_go_over_tls_also_those_of_python_and_after_a_cut(self):
        worker = self.worker("-c", "2")
        lines = self.python("rs = [sig('test.add', n, 10).apply_async() for n in range(200)]\n"
                            "print(sum(r.get(timeout=30) for r in rs))\n"
                            "big = 'x' * 2000000\n"
                            "print(sig('test.echo', big).apply_async().get(timeout=30) == big)")
        self.assertEqual(lines, ["21900", "True"])
        self.server.cli("CLIENT", "KILL", "TYPE", "normal")
        self.assertEqual(self.result(self.call("test.add", 1, 1)), "2")
        self.server.kill()
        worker.expect(r"the broker is out of reach, trying again: ")
        self.server.start()
        worker.expect(r"the broker is reachable again")
        self.assertEqual(self.result(self.call("test.add", 2, 2)), "4")
        self.assertEqual(worker.stop(), 0)

    def test_a_certificate_of_unknown_origin_or_another_host_is_refused(self):
        for query, text in ("", "is not trusted: self-signed"), (f"ssl_ca_certs={self.server.ca}-not-there", "ssl_ca_certs"):
            self.broker = self.server.tls_url(0, query)
            done = self.run_command("call", "test.add", "--args", "[1, 1]")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(text, done.stderr)
        self.broker = self.server.tls_url(0).replace("127.0.0.1", "127.0.0.2")
        done = self.run_command("call", "test.add", "--args", "[1, 1]")
        self.assertNotEqual(done.returncode, 0)
        self.broker = self.server.tls_url(0, "ssl_cert_reqs=none")
        self.call("test.add", 1, 1)
        worker = self.worker("-c", "1", wait=False)
        worker.ready()


class SentinelTest(RedisCase):
    def setUp(self):
        super().setUp()
        try:
            self.sentinels = redisserver.Sentinels()
        except redisserver.Missing as missing:
            self.skipTest(str(missing))
        self.addCleanup(self.sentinels.close)
        self.broker, self.backend = self.sentinels.url(0), self.sentinels.url(1)

    def test_the_worker_goes_on_with_the_next_master(self):
        worker = self.worker("-c", "2")
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")
        self.sentinels.kill_master()
        worker.expect(r"the broker is out of reach, trying again: ")
        worker.expect(r"the broker is reachable again")
        self.assertEqual(self.result(self.call("test.add", 3, 4)), "7")
        self.assertEqual(worker.stop(), 0)
        self.broker = self.broker.replace("mymaster", "nobody")
        done = self.run_command("call", "test.add", "--args", "[1, 1]")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("knows no master 'nobody'", done.stderr)


class PythonClientTest(RedisCase):
    """Python sends, we run."""

    def test_tasks_of_pythons_client_are_run_and_answered(self):
        worker = self.worker("-c", "2")
        lines = self.python("rs = [sig('test.add', n, 10).apply_async(headers={'custom': [1, None, {'a': 1.5}]}) for n in range(5)]\n"
                            "print(*[r.get(timeout=30) for r in rs])\n"
                            "try: sig('test.fail', 'boom').apply_async().get(timeout=30)\n"
                            "except Exception as error: print('boom' in str(error))")
        self.assertEqual(lines, ["10 11 12 13 14", "True"])
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.unacked(), (0, 0))

    def test_an_eta_and_an_expiry_of_python_are_kept(self):
        self.worker("-c", "1")
        began = time.monotonic()
        self.assertEqual(self.python("print(sig('test.add', 1, 1).apply_async(countdown=1.5, expires=100).get(timeout=30))"), ["2"])
        self.assertGreaterEqual(time.monotonic() - began, 1.5)

    def test_the_lower_number_is_run_first_as_python_means_it(self):
        lines = self.python("for p in (9, 0, 5, 3, None): print(sig('test.late.append', '%s', str(p)).apply_async(priority=p).id)"
                            % self.path("order"))
        self.assertEqual(int(self.redis("LLEN", "celery\x06\x163")), 2)
        worker = self.worker("-c", "1", "--prefetch-multiplier", "1")
        for task_id in lines:
            self.result(task_id)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.read("order").split(), ["0", "None", "5", "3", "9"])

    def test_what_a_dead_python_worker_had_is_run_by_ours(self):
        self.options(**SHORT)
        code = ("c = app.connection_for_read(); q = app.amqp.queues['celery'](c.default_channel); q.consume(callback=lambda message: None)\n"
                "import os, socket\n"
                "while not c.default_channel.qos._delivered:\n"
                "    try: c.drain_events(timeout=1)\n"
                "    except socket.timeout: pass\n"
                "os._exit(0)")
        for exchange in "", "media":
            task_id = self.call("test.add", 20, 22)
            if exchange:  # as a message that came by way of an exchange
                self.redis("SADD", "_kombu.binding.media", "video.#\x06\x16^video\\..*?$\x06\x16celery")
                text = self.redis("LPOP", "celery").replace('"exchange": "", "routing_key": "celery"',
                                                            '"exchange": "media", "routing_key": "video.x"')
                self.redis("LPUSH", "celery", text)
            self.python(code)
            self.assertEqual(self.unacked(), (1, 1))
            worker = self.worker("-c", "1")
            self.assertEqual(self.result(task_id), "42")
            self.assertEqual(worker.stop(), 0)
            self.assertEqual(self.unacked(), (0, 0))

    def test_topic_exchanges_of_python_reach_our_queues(self):
        self.write("celeryconfig.py", "from kombu import Exchange, Queue\ntask_queues = [Queue('video', Exchange('media', type='topic'),"
                                      " routing_key='video.#')]\ntask_default_queue = 'video'\n")
        worker = self.worker("-c", "1", "-Q", "video")
        member = self.redis("SMEMBERS", "_kombu.binding.media")
        self.assertEqual(member, "video.#\x06\x16^video\\..*?$\x06\x16video")
        lines = self.python("app.conf.task_queues = [Queue('video', Exchange('media', type='topic'), routing_key='video.#')]\n"
                            "print(sig('test.add', 1, 2).apply_async(queue='video', routing_key='video.x').get(timeout=30))")
        self.assertEqual(lines, ["3"])
        task_id = self.call("test.add", 2, 2, options=["--exchange", "media", "--routing-key", "video.y.z"])
        self.assertEqual(self.result(task_id), "4")
        done = self.run_command("call", "test.add", "--args", "[1, 2]", "--exchange", "media", "--routing-key", "audio.x")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no queue is bound", done.stderr)
        self.assertEqual(worker.stop(), 0)

    def test_a_broadcast_reaches_all_of_both(self):
        config = "from kombu.common import Broadcast\ntask_queues = [Broadcast('everyone')]\n"
        self.write("celeryconfig.py", config)
        self.write("project.py", PROJECT + "\napp.conf.task_queues = [Broadcast('everyone')]\n")
        workers = [self.worker("-c", "1", "-Q", "everyone", name=f"w{n}@test") for n in range(2)]
        workers.append(self.python_worker("everyone"))
        support.wait_until(lambda: self.redis("CLIENT", "LIST").count("cmd=psubscribe") >= 3, "all have subscribed")
        # Python's client declares no Broadcast by itself, and takes what it has not declared for a direct exchange.
        code = "print(sig('test.add', 1, 2).apply_async(queue='everyone', declare=[Exchange('everyone', type='fanout')]).id)"
        for task_id in self.python(code) + \
                [self.call("test.add", 1, 1, options=["--queue", "everyone"])]:
            for worker in workers:
                worker.rewind()
                worker.expect(rf"Task test\.add\[{task_id}\] succeeded in ")


class PythonWorkerTest(RedisCase):
    """We send, Python runs."""
    module = False

    def call(self, task, *args, options=(), **kwargs):
        return self.good("call", task, "--args", json.dumps(args), "--kwargs", json.dumps(kwargs), *options).strip()

    def test_our_tasks_are_run_by_pythons_worker(self):
        self.python_worker()
        task_id = self.call("py.who", 1, "zwei \u00e4", None, options=["--countdown", "0.5", "--priority", "6"], key={"a": [1.5, True]})
        self.result(task_id)
        self.assertEqual(json.loads(SERVER.cli("GET", f"celery-task-meta-{task_id}"))["result"], ["py@test", [1, "zwei \u00e4", None], {"key": {"a": [1.5, True]}}, 0, task_id,
                                                            "celery", 6, True])
        self.assertEqual(self.failure(self.call("py.fail", "ouch")), "ValueError: ouch")
        self.wait_until_settled()

    def test_what_our_killed_worker_had_is_run_by_pythons(self):
        self.options(**SHORT)
        self.module = True
        first = self.worker("-c", "1")
        task_id = self.call("test.late.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        first.kill()
        began = time.monotonic()  # Python looks when it starts, and then after a hundred seconds
        support.wait_until(lambda: time.monotonic() > began + SHORT["visibility_timeout"] + 0.5, "it is too old")
        self.python_worker()
        self.assertEqual(self.wait_for_lines("gate.python", 1), [task_id])
        self.wait_until_settled()


class BothTest(RedisCase):
    """Workers of both on one queue."""

    def test_sixty_tasks_are_run_once_each_by_one_or_the_other(self):
        ours, theirs = self.worker("-c", "2", "--prefetch-multiplier", "1"), self.python_worker()
        path = self.path("lines")
        ids = self.python(f"for n in range(60): print(sig('test.late.append', {path!r}, str(n)).apply_async().id)")
        for task_id in ids:
            self.result(task_id)
        self.assertEqual(sorted(map(int, self.read("lines").split())), list(range(60)))
        self.wait_until_settled()
        for worker in ours, theirs:
            self.assertNotRegex(worker.text, r"ERROR|CRITICAL")

    def test_canvases_with_parts_on_both_are_right(self):
        self.worker("-c", "2")
        self.python_worker()
        lines = self.python("r = chord([sig('test.add', n, n) for n in range(20)], sig('test.xsum')).apply_async()\n"
                            "print(r.get(timeout=60))\n"
                            "print(chain(sig('test.add', 1, 2), sig('test.add', 10), sig('test.add', 100)).apply_async().get(timeout=60))")
        self.assertEqual(lines, ["380", "113"])


class HotwordsTest(RedisCase):
    def test_the_job_is_right_over_redis_alone(self):
        self.tasks = support.path_of("HOTWORDS_MODULE")
        client, sample = support.path_of("HOTWORDS_CLIENT"), support.path_of("HOTWORDS_SAMPLE")
        self.env = {key: value for key, value in self.env.items() if not key.startswith("HOTWORDS_")}
        process = support.Process([client, "-b", self.broker, "--result-backend", self.backend, "--json", "--data", sample],
                                  self.dir, self.env)
        self._processes.append(process)
        process.expect(r"^job \S+: 4 parts sent to the queue celery_test$")
        self.assertEqual(int(self.redis("LLEN", "celery_test")), 4)
        worker = self.worker("-c", "4", "-Q", "celery_test", name="celery_test")
        self.assertEqual(process.wait(), 0, process.text)
        with open(os.path.join(sample, "expected.json"), encoding="utf-8") as file:
            expected = json.load(file)
        model = json.loads("\n".join(process.stdout))
        for got, want in zip(model["partitions"] + [model["merged"]], expected["partitions"] + [expected["merged"]]):
            self.assertEqual({key: value for key, value in got.items() if key != "bad_records"}, want)
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(len(SERVER.keys("celery-task-meta-*", db=1)), 5)
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL|WARNING")


if __name__ == "__main__":
    support.main()
