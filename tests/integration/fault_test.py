"""kill -9 and cut connections at random points: sent = results + still queued.

RabbitMQ behind a proxy that cuts, results in Redis. The points are drawn from a seed, which a failing test names;
CELERIAC_TEST_SEED draws others.
"""
import collections
import json
import os
import random
import signal
import sys
import unittest

import canvas
import support
from canvas import group, sig

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import faultproxy  # noqa: E402  pylint: disable=wrong-import-position
import rabbitmq  # noqa: E402  pylint: disable=wrong-import-position
import redisserver  # noqa: E402  pylint: disable=wrong-import-position

SEED = int(os.environ.get("CELERIAC_TEST_SEED", "1"))
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


class FaultTest(canvas.Case):
    vhosts = iter(range(40))

    def setUp(self):
        super().setUp()
        self.random = random.Random(f"{SEED} {self.id()}")
        self.proxy = faultproxy.Proxy(RABBIT.port)
        number = next(FaultTest.vhosts)
        self.broker = RABBIT.url(f"t{number}")
        self.backend = REDIS.url(number)
        self.number = number

    def tearDown(self):
        super().tearDown()
        self.proxy.close()

    def globals(self):
        return ["-b", self.broker, "--result-backend", self.backend] + (["-A", self.tasks] if self.module else [])

    def send(self, count, task="test.late.step", seconds=0.01, wait=True):
        """`count` tasks in one go, each of which leaves its number in `steps`; returns the client."""
        parts = [sig(task, self.path("steps"), n, seconds) for n in range(count)]
        client = self.client(group(parts), "-n", url=self.broker, results=self.backend)
        if wait:
            self.assertEqual(client.wait(), 0, client.text)
        return client

    def worker_far(self, name):
        """A worker that reaches the broker through the proxy."""
        near, self.broker = self.broker, self.broker.replace(str(RABBIT.port), str(self.proxy.port))
        try:
            return self.worker("-c", "2", name=name)
        finally:
            self.broker = near

    def runs(self):
        try:
            return collections.Counter(int(line) for line in self.read("steps").splitlines())
        except FileNotFoundError:
            return collections.Counter()

    def results(self):
        return len(REDIS.keys("celery-task-meta-*", db=self.number))

    def ready(self):
        found = json.loads(self.good("list", "queues", "--json"))
        return found[0]["ready"] if found else 0

    def wait_for_runs(self, count):
        support.wait_until(lambda: sum(self.runs().values()) >= count, f"{count} runs (seed {SEED})")

    def points(self, count, of):
        return sorted(self.random.sample(range(1, of - 5), count))

    def check_end(self, count):
        support.wait_until(lambda: self.results() >= count, f"{count} results (seed {SEED})")
        self.assertEqual(self.results(), count)
        self.assertEqual(set(self.runs()), set(range(count)))
        support.wait_until(lambda: self.ready() == 0, "an empty queue")

    def test_late_acked_work_survives_kills_of_children_workers_store_and_broker(self):
        count = 150
        self.send(count)
        self.assertEqual(self.ready(), count)
        faults = ["child", "worker", "store", "child", "worker", "broker"]
        workers = 1
        worker = self.worker_far("w1@test")
        for fault, point in zip(faults, self.points(len(faults), count)):
            self.wait_for_runs(point)
            if fault == "child":
                pool = support.wait_until(lambda: canvas.children_of(canvas.children_of(worker.pid)[0]), "a pool")
                os.kill(self.random.choice(pool), signal.SIGKILL)
            elif fault == "store":
                REDIS.kill()
                REDIS.start()
            elif fault == "broker":
                RABBIT.kill()
                RABBIT.start()
            else:
                worker.kill()
                # Nobody works now: what has no result is still queued.
                support.wait_until(lambda: self.ready() + self.results() >= count, "sent = results + still queued")
                workers += 1
                worker = self.worker_far(f"w{workers}@test")
        self.check_end(count)
        self.assertEqual(worker.stop(), 0)

    def test_early_acked_work_is_not_lost_when_connections_are_cut_in_the_middle_of_frames(self):
        count = 120
        worker = self.worker_far("w1@test")
        self.send(count, "test.step")
        cuts = 0
        for point in self.points(6, count):
            self.wait_for_runs(point)
            self.proxy.cut_after(self.random.randrange(1, 400))
            cuts += 1
        self.proxy.cut()
        self.check_end(count)
        again = sum(self.runs().values()) - count
        self.assertLessEqual(again, 4 * (self.proxy.cuts + 1))  # those whose acknowledgement was on its way
        self.assertGreaterEqual(self.proxy.cuts, 2)
        self.assertEqual(worker.stop(), 0)

    def test_a_killed_client_has_sent_all_that_it_has_sent(self):
        """Whatever it had put out is run, and nothing else; it may be none or all."""
        client = self.send(3000, wait=False, seconds=0)
        support.wait_until(lambda: self.ready() > self.random.randrange(1, 300) or client.popen.poll() is not None, "some messages")
        client.kill()
        sent = self.ready()
        self.worker("-c", "2")
        support.wait_until(lambda: self.ready() == 0, "an empty queue")
        support.wait_until(lambda: self.results() >= sent, f"{sent} results")
        self.assertEqual(set(self.runs().values()), {1})
        self.assertEqual(len(self.runs()), self.results())


if __name__ == "__main__":
    support.main()
