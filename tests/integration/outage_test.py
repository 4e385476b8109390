"""Servers that are away, full, or refuse: each is told clearly, and overcome when it is over.

RabbitMQ behind a proxy that misbehaves (tests/tools/faultproxy.py), results in Redis.
"""
import json
import os
import sys
import time
import unittest

import support

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import faultproxy  # noqa: E402  pylint: disable=wrong-import-position
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


class OutageCase(support.Case):
    vhosts = iter(range(40))
    databases = iter(range(16))

    def setUp(self):
        super().setUp()
        self.proxy = faultproxy.Proxy(RABBIT.port)
        self.vhost = f"t{next(OutageCase.vhosts)}"
        self.near = RABBIT.url(self.vhost)
        self.far = self.near.replace(str(RABBIT.port), str(self.proxy.port))
        self.database = next(OutageCase.databases)
        self.backend = REDIS.url(self.database)
        self.broker = self.far

    def tearDown(self):
        super().tearDown()
        self.proxy.close()

    def globals(self):
        return ["-b", self.broker, "--result-backend", self.backend] + (["-A", self.tasks] if self.module else [])

    def call_near(self, *words):
        """Sends past the proxy."""
        broker, self.broker = self.broker, self.near
        try:
            return self.call(*words)
        finally:
            self.broker = broker

    def ready(self):
        found = json.loads(self.good("list", "queues", "--json"))
        return found[0]["ready"] if found else -1


class RefusalTest(OutageCase):
    def refused(self, broker, *texts):
        """Worker and client end, and say why."""
        self.broker = broker
        worker = self.worker(wait=False)
        self.assertEqual(worker.wait(), 1, worker.text)
        done = self.run_command("call", "test.add", "--args", "[1, 1]")
        self.assertEqual(done.returncode, 1, done.stderr)
        for text in texts:
            self.assertIn(text, worker.text)
            self.assertIn(text, done.stderr)
        self.assertNotIn("Traceback", worker.text)

    def test_a_wrong_password_is_told(self):
        self.refused(RABBIT.url(self.vhost, "guest:topsecret"), "ACCESS_REFUSED")

    def test_a_missing_virtual_host_is_told(self):
        self.refused(RABBIT.url("nowhere"), "vhost nowhere not found")

    def test_a_missing_permission_is_told(self):
        self.refused(RABBIT.url("%2F", "nobody:nobody"), "refused for user 'nobody'")
        self.refused(RABBIT.url("%2F", "limited:limited"), "queue 'celery'", "refused for user 'limited'")

    def test_a_wrong_password_of_the_store_is_told(self):
        self.backend = REDIS.url(self.database, "topsecret")
        worker = self.worker(wait=False)
        worker.expect(r"the result store .* is out of reach, trying again: Redis refuses the login: wrong user or password")
        self.assertEqual(worker.stop(), 0)
        self.assertNotIn("topsecret", worker.text)


class OutageTest(OutageCase):
    def test_a_broker_that_is_down_at_the_start_is_waited_for(self):
        self.proxy.refuse(True)
        worker = self.worker("-c", "1", wait=False)
        worker.expect(r"cannot connect: .* Trying again in \d+\.\d seconds")
        task_id = self.call_near("test.add", 1, 2)
        self.proxy.refuse(False)
        self.assertEqual(self.result(task_id), "3")
        self.assertEqual(worker.stop(), 0)

    def test_a_slow_network_in_small_pieces_changes_nothing(self):
        self.proxy.delay, self.proxy.piece = 0.001, 50
        worker = self.worker("-c", "1")
        ids = [self.call_near("test.add", n, n) for n in range(3)]
        self.assertEqual([self.result(task_id) for task_id in ids], ["0", "2", "4"])
        self.assertEqual(worker.stop(), 0)
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL|WARNING")

    def test_a_memory_alarm_holds_senders_back_and_ends(self):
        worker = self.worker("-c", "1")
        self.assertEqual(self.result(self.call("test.add", 1, 1)), "2")
        RABBIT.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            sender = self.spawn("call", "test.add", "--args", "[2, 2]")
            sender.expect(r"the broker takes no messages for now: low on memory")
        finally:
            RABBIT.ctl("set_vm_memory_high_watermark", "0.8")
        self.assertEqual(sender.wait(), 0, sender.text)  # it has waited for its confirmation
        self.assertEqual(self.result(sender.stdout[-1]), "4")
        self.assertEqual(worker.stop(), 0)

    def test_a_full_store_delays_acknowledgements_and_recovers(self):
        worker = self.worker("-c", "1")
        self.assertEqual(self.result(self.call("test.add", 1, 1)), "2")
        REDIS.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
        REDIS.cli("CONFIG", "SET", "maxmemory", "1")
        try:
            task_id = self.call("test.late.append", self.path("lines"), "once")
            worker.expect(r"cannot settle what has ended, trying again: .*no memory left")
            self.assertEqual(self.wait_for_lines("lines", 1), ["once"])
        finally:
            REDIS.cli("CONFIG", "SET", "maxmemory", "0")
        self.result(task_id)
        worker.expect(r"results are stored and messages settled again")
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(self.ready(), 0)
        self.assertEqual(self.read("lines"), "once\n")

    def test_what_was_not_settled_when_its_worker_is_killed_is_still_queued(self):
        worker = self.worker("-c", "1")
        REDIS.cli("CONFIG", "SET", "maxmemory", "1")
        try:
            task_id = self.call("test.late.append", self.path("lines"), "again")
            worker.expect(r"cannot settle what has ended, trying again: ")
            worker.kill()
            support.wait_until(lambda: self.ready() == 1, "the message in the queue")
        finally:
            REDIS.cli("CONFIG", "SET", "maxmemory", "0")
        self.worker("-c", "1", name="w2@test")
        self.result(task_id)
        self.assertEqual(self.read("lines"), "again\nagain\n")


class WatchdogTest(OutageCase):
    def setUp(self):
        super().setUp()
        self.env["CELERIAC_WORKER_WATCHDOG_TIMEOUT"] = "0.8"

    def test_a_consumer_that_the_server_forgot_is_begun_anew(self):
        self.proxy.swallow(60, 20)  # basic.consume: it is sent without waiting for an answer
        worker = self.worker("-c", "1")
        task_id = self.call_near("test.add", 20, 22)
        worker.expect(r"WARNING.* 1 messages wait in queue 'celery', a process is free, and none has come for .*: consuming anew")
        self.proxy.swallow_nothing()
        self.assertEqual(self.result(task_id), "42")
        self.assertEqual(worker.stop(), 0)

    def test_it_connects_anew_and_at_last_ends_with_an_error(self):
        self.proxy.swallow(60, 20)
        worker = self.worker("-c", "1")
        self.call_near("test.add", 1, 1)
        worker.expect(r"consuming anew")
        worker.expect(r"connecting anew")
        worker.expect(r"the broker is reachable again")
        worker.expect(r"CRITICAL.* also over a new connection")
        self.assertEqual(worker.wait(), 1)
        self.broker = self.near
        self.assertEqual(self.ready(), 1)

    def test_a_black_hole_is_left_for_another_server(self):
        self.env["CELERY_BROKER_CONNECTION_TIMEOUT"] = "1"
        self.broker = self.far + "?heartbeat=2;" + self.near
        worker = self.worker("-c", "1")
        self.assertEqual(self.result(self.call_near("test.add", 1, 1)), "2")
        self.proxy.black_hole(True)
        task_id = self.call_near("test.add", 2, 2)
        worker.expect(r"the broker is out of reach, trying again: ")
        self.broker = self.near
        self.assertEqual(self.result(task_id), "4")
        self.assertEqual(worker.stop(), 0)

    def test_an_idle_worker_and_a_busy_one_are_left_alone(self):
        worker = self.worker("-c", "1", level="debug")
        began = time.monotonic()
        self.call_near("test.late.sleep", 2.5)
        for n in range(3):
            self.call_near("test.add", n, n)  # wait behind it
        self.result(self.call_near("test.add", 1, 1))
        self.assertGreater(time.monotonic() - began, 2)
        support.wait_until(lambda: time.monotonic() - began > 4, "some seconds of nothing")
        self.assertEqual(worker.stop(), 0)
        self.assertNotRegex(worker.text, r"anew|WARNING|ERROR")


if __name__ == "__main__":
    support.main()
