"""Beat: what it sends is what Celery's beat sends; several beats send each tick once, also when some are killed; the command's
options. On the embedded file, and on a private Redis and RabbitMQ."""
import datetime
import json
import os
import re
import signal
import subprocess
import sys
import unittest

import support

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import rabbitmq  # noqa: E402  pylint: disable=wrong-import-position
import redisserver  # noqa: E402  pylint: disable=wrong-import-position

SENDING = r"Scheduler: Sending due task (\S+) \((\S+)\)"

CONFIG = """
from celery.schedules import crontab
from datetime import timedelta
beat_schedule = {
    'fast': {'task': 'test.add', 'schedule': timedelta(milliseconds=300), 'args': [1, 2],
             'options': {'expires': 60, 'priority': 3, 'headers': {'mine': 'x'}}},
    'slow': {'task': 'test.add', 'schedule': crontab(minute='30', hour='2'), 'args': (3, 4), 'kwargs': {'z': None}},
}
"""


class BeatCase(support.Case):
    broker = None

    def globals(self):
        if self.broker is None:
            return super().globals()
        return ["-b", self.broker, *(["--result-backend", self.broker] if self.broker.startswith("redis") else [])]

    def write_config(self, text=CONFIG):
        self.write("celeryconfig.py", text)

    def beat(self, *arguments):
        beat = self.spawn("beat", "-l", "debug", *arguments)
        beat.expect("beat: Starting")
        return beat

    def refused(self, status, why, *words):
        done = self.run_command(*words)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertIn(why, done.stderr)

    def stop_beat(self, beat):
        beat.signal(signal.SIGTERM)
        self.assertEqual(beat.wait(), 0, beat.text)


def ticks_of(beats):
    """The ids that were sent, in all beats together."""
    return [match.group(1) for beat in beats for line in list(beat.lines)
            for match in [re.search(r"test\.add sent\. id->(\S+)", line)] if match]


class Embedded(BeatCase):
    def test_a_task_is_sent_and_run(self):
        self.write_config()
        beat = self.beat()
        worker = self.worker("-c", "1")
        name = beat.expect(SENDING)
        self.assertEqual(name.groups(), ("fast", "test.add"))
        task_id = beat.expect(r"sent\. id->(\S+)").group(1)
        worker.expect(r"Task test\.add\[%s\] succeeded" % task_id)
        self.assertEqual(self.result(task_id), "3")
        self.stop_beat(beat)

    def test_several_beats_send_each_tick_once_though_some_are_killed(self):
        self.write_config()
        beats = [self.beat() for _ in range(3)]
        support.wait_until(lambda: len(ticks_of(beats)) >= 6, "six ticks")
        beats[0].kill()
        before = len(ticks_of(beats))
        support.wait_until(lambda: len(ticks_of(beats)) >= before + 4, "four ticks after the crash")
        for beat in beats[1:]:
            self.stop_beat(beat)
        ids = ticks_of(beats)
        self.assertEqual(len(ids), len(set(ids)), "a tick was sent twice")
        stored = [json.loads(row[0])["id"] for row in self.query("SELECT headers FROM messages")]
        times = [row[0] for row in self.query("SELECT sent FROM beat WHERE sent > 0")]
        self.assertEqual(len(stored), len(set(stored)))
        self.assertLessEqual(set(ids), set(stored))
        self.assertEqual(times, [len(stored)])  # messages and records are of one transaction

    def test_worker_with_beat(self):
        self.write_config()
        worker = self.worker("-c", "1", "-B")
        worker.expect("/Beat\\] Scheduler: Sending due task fast")
        worker.expect(r"Task test\.add\[\S+\] succeeded")
        self.assertEqual(worker.stop(), 0)

    def test_schedule_is_read_anew(self):
        self.write_config()
        beat = self.beat()
        beat.expect(SENDING)
        self.write_config("beat_schedule = {'other': {'task': 'test.add', 'schedule': 0.2, 'args': [1, 1]}}")
        beat.signal(signal.SIGHUP)
        beat.expect("Schedule changed: 1 entries")
        self.assertEqual(beat.expect(SENDING).group(1), "other")
        self.write_config("beat_schedule = {'other': {'task': 'test.add', 'schedule': 'x'}}")
        beat.signal(signal.SIGHUP)
        beat.expect("the schedule stays as it was: beat_schedule: 'other'")
        self.assertEqual(beat.expect(SENDING).group(1), "other")
        self.stop_beat(beat)

    def test_last_runs_persist(self):
        self.write_config("beat_schedule = {'e': {'task': 'test.add', 'schedule': 0.5}}")
        beat = self.beat()
        beat.expect(SENDING)
        beat.kill()
        last = self.query("SELECT last_us, sent FROM beat")
        self.assertEqual(len(last), 1)
        beat = self.beat()
        first = beat.expect(r"sent\. id->(\S+)").group(1)
        self.stop_beat(beat)
        after = self.query("SELECT last_us, sent FROM beat")
        self.assertEqual((after[0][0] - last[0][0]) % 500000, 0)  # on the same grid
        self.assertGreater(after[0][1], last[0][1])
        self.assertTrue(first)

    def test_preview(self):
        self.write_config("timezone = 'Europe/Berlin'\n" + CONFIG.replace("timedelta(milliseconds=300)", "3600"))
        out = self.good("beat", "--preview", "2026-03-28T00:00", "2026-03-31T00:00")
        slow = [line.split()[0] for line in out.splitlines() if " slow (test.add)" in line]
        self.assertEqual(slow, ["2026-03-28T02:30:00+01:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"])
        for words in (["2026-03-28"], ["x", "now"], ["now", "+1y"], ["now", "+1d", "+2d"]):
            self.refused(2, "--preview", "beat", "--preview", *words)

    def test_options(self):
        self.write_config()
        pidfile = os.path.join(self.dir, "beat.pid")
        beat = self.beat("--pidfile", pidfile, "--max-interval", "1", "-s", "runs", "-S", "celery.beat:PersistentScheduler")
        beat.expect(SENDING)
        self.refused(73, "already running", "beat", "--pidfile", pidfile)
        self.stop_beat(beat)
        self.assertFalse(os.path.exists(pidfile))
        self.assertTrue(os.path.exists(os.path.join(self.dir, "runs.sqlite")))
        self.refused(2, "is Python's", "beat", "-S", "django_celery_beat.schedulers:DatabaseScheduler")
        self.write_config("timezone = 'Mars/Olympus'\n" + CONFIG)
        self.refused(1, "Mars/Olympus", "beat")


class OnRedis(BeatCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.server = redisserver.Server()
        except redisserver.Missing as missing:
            raise unittest.SkipTest(str(missing)) from None

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def test_records_in_redis(self):
        program = support.path_of("CEL_TICKS_TEST")
        done = subprocess.run([program, self.server.url(1)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=support.TIMEOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_each_tick_once_and_a_killed_beat_is_replaced(self):
        self.write_config()
        self.broker = self.server.url(2)
        beats = [self.beat() for _ in range(3)]
        support.wait_until(lambda: len(ticks_of(beats)) >= 5, "five ticks")
        beats[0].kill()
        before = len(ticks_of(beats))
        support.wait_until(lambda: len(ticks_of(beats)) >= before + 3, "three ticks after the crash")
        for beat in beats[1:]:
            self.stop_beat(beat)
        ids = ticks_of(beats)
        self.assertEqual(len(ids), len(set(ids)))

    def test_an_outage_of_the_server_is_waited_for(self):
        server = redisserver.Server()
        self.addCleanup(server.close)
        self.write_config()
        self.broker = server.url(0)
        beat = self.beat()
        beat.expect(SENDING)
        server.kill()
        beat.expect("out of reach|Connection error|connection")
        server.start()
        beat.expect(SENDING)
        self.stop_beat(beat)


class OnRabbitMQ(BeatCase):
    """The messages, beside those of Celery's beat; the records are in a local file."""

    @classmethod
    def setUpClass(cls):
        try:
            cls.server = rabbitmq.Server()
        except rabbitmq.Missing as missing:
            raise unittest.SkipTest(str(missing)) from None

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def test_messages_are_those_of_celerys_beat(self):
        self.broker = self.server.url()
        self.write_config()
        beat = self.beat()
        beat.expect(r"sent\. id->")
        self.stop_beat(beat)
        self.assertTrue(os.path.exists(os.path.join(self.dir, "celerybeat-schedule.sqlite")))
        mine = self.take_message()
        python = support.Process([sys.executable, "-m", "celery", "-b", self.broker, "beat", "-l", "info", "-s", "py"], self.dir,
                                 {**self.env, "PYTHONPATH": self.dir})
        self.addCleanup(python.kill)
        python.expect(r"Sending due task fast")
        python.expect(r"Sending due task fast")
        python.kill()
        other = self.take_message()
        for message in (mine, other):
            headers = message["headers"]
            for name in ("id", "root_id"):
                self.assertTrue(headers.pop(name))
            self.assertRegex(headers.pop("origin"), r"^gen\d+@")
            expires = datetime.datetime.fromisoformat(headers.pop("expires"))
            self.assertEqual(expires.tzinfo, datetime.timezone.utc)
            for name in ("correlation_id", "reply_to"):
                self.assertTrue(message["properties"].pop(name))
            message["properties"].pop("message_id", None)
            message["properties"].pop("delivery_info", None)
            message["properties"].pop("delivery_tag", None)
        self.assertEqual(mine["body"], other["body"])
        self.assertEqual(mine["properties"], other["properties"])
        for name in ("replaced_task_nesting", "stamped_headers", "stamps"):  # of newer versions
            mine["headers"].pop(name)
        self.assertEqual(mine["headers"], other["headers"])

    def take_message(self):
        """The first message of the queue, which is emptied."""
        from kombu import Connection
        with Connection(self.broker) as connection:
            channel = connection.default_channel
            message = support.wait_until(lambda: channel.basic_get("celery", no_ack=True), "a message")
            channel.queue_purge("celery")
            return {"headers": dict(message.headers), "body": json.loads(message.body),
                    "properties": {key: value for key, value in message.properties.items() if key != "application_headers"}}


if __name__ == "__main__":
    support.main()
