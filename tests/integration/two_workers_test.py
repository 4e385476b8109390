"""Two workers on one file: they share, they wait, they take over from one another."""
import collections
import datetime
import os
import re
import time

import canvas
import support
from canvas import chord, group, sig


def utc(seconds):
    """ISO 8601 of so many seconds from now."""
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat()


class TwoCase(canvas.Case):
    def two(self, *options, slots="2"):
        return [self.worker("-c", slots, *options, name=name) for name in ("w1@test", "w2@test")]

    def stop_all(self, *workers):
        for worker in workers:
            self.assertEqual(worker.stop(), 0)

    def append_many(self, count, task="test.append", name="lines"):
        return group([sig(task, self.path(name), f"line {i}") for i in range(count)])

    def lines(self, name="lines"):
        return collections.Counter(self.read(name).splitlines())


class ShareTest(TwoCase):
    def test_each_task_is_run_once_and_both_workers_run_some(self):
        workers = self.two()
        count = 2000
        client = self.client(self.append_many(count))
        self.assertEqual(client.outcome(), {"value": [None] * count})
        self.assertEqual(self.lines(), {f"line {i}": 1 for i in range(count)})
        self.wait_until_empty()
        shares = [worker.text.count(" succeeded in ") for worker in workers]
        self.assertEqual(sum(shares), count)
        self.assertGreater(min(shares), 0, shares)
        self.stop_all(*workers)

    def test_several_clients_at_once_are_served(self):
        workers = self.two()
        clients = [self.client(chord([sig("test.add", i, c) for i in range(50)], sig("test.xsum"))) for c in range(6)]
        for c, client in enumerate(clients):
            self.assertEqual(client.outcome(), {"value": sum(range(50)) + 50 * c})
        self.wait_until_empty()
        self.stop_all(*workers)

    def test_long_tasks_are_not_hoarded(self):
        """Four tasks of four slots run at once, whoever has got them."""
        workers = self.two()
        ids = [self.call("test.gate", self.path("gate")) for _ in range(4)]
        self.assertEqual(sorted(self.wait_for_lines("gate.started", 4)), sorted(ids))
        self.write("gate", "")
        for task_id in ids:
            self.assertEqual(self.result(task_id), "open")
        self.stop_all(*workers)

    def test_a_short_task_does_not_wait_behind_a_long_one(self):
        worker = self.worker("-c", "2")
        self.client(group([sig("test.add", i, 1) for i in range(300)])).outcome()  # the worker has learnt that tasks are short
        gate = self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        self.assertEqual(self.client(chord([sig("test.add", i, 1) for i in range(100)], sig("test.xsum"))).outcome(), {"value": 5050})
        self.write("gate", "")
        self.assertEqual(self.result(gate), "open")
        self.stop_all(worker)

    def test_a_warm_stop_in_the_midst_loses_nothing_and_doubles_nothing(self):
        first, second = self.two()
        count = 1500
        client = self.client(self.append_many(count))
        self.wait_for_lines("lines", 100)
        self.assertEqual(first.stop(), 0)
        third = self.worker("-c", "2", name="w3@test")
        self.assertEqual(client.outcome(), {"value": [None] * count})
        self.assertEqual(self.lines(), {f"line {i}": 1 for i in range(count)})
        self.wait_until_empty()
        self.stop_all(second, third)

    def test_queues_keep_apart(self):
        first = self.worker("-c", "1", "-Q", "a", name="w1@test")
        second = self.worker("-c", "1", "-Q", "b,c", name="w2@test")
        for queue, node in (("a", "w1@test"), ("b", "w2@test"), ("c", "w2@test")):
            self.assertIn(f"'hostname': '{node}'", self.result(self.call("test.whoami", options=("--queue", queue))))
        self.call("test.add", 1, 2, options=("--queue", "d"))
        self.assertEqual(self.queue_length("d"), 1)
        self.stop_all(first, second)


class KilledTest(TwoCase):
    def test_what_a_killed_worker_held_comes_back_at_once(self):
        """Its lease has long to run: that its process is gone is what counts."""
        first = self.worker("-c", "2", name="w1@test")
        ids = [self.call("test.late.gate", self.path("gate"), i) for i in range(2)]
        self.wait_for_lines("gate.started", 2)
        second = self.worker("-c", "2", name="w2@test")
        began = time.monotonic()
        first.kill()
        self.wait_for_lines("gate.started", 4)
        took = time.monotonic() - began
        self.write("gate", "")
        self.assertEqual([self.result(task_id) for task_id in ids], ["0", "1"])
        self.assertLess(took, 15)  # a lease takes longer
        self.assertIn("redelivered", self.result(self.call("test.whoami")))
        self.stop_all(second)

    def test_early_tasks_run_at_most_once_when_a_worker_is_killed(self):
        first, second = self.two()
        count = 600
        client = self.client(self.append_many(count))
        self.wait_for_lines("lines", 50)
        first.kill()
        third = self.worker("-c", "2", name="w3@test")
        client.outcome()
        self.wait_until_empty()
        lines = self.lines()
        self.assertEqual(set(lines.values()), {1})
        states = collections.Counter(document["status"] for document in self.documents().values())
        self.assertEqual(sum(states.values()), count)  # each is known to have ended, in one way or the other
        self.assertGreaterEqual(len(lines), states["SUCCESS"])
        self.assertLessEqual(states["FAILURE"], 200)
        self.stop_all(second, third)

    def test_late_tasks_run_at_least_once_when_a_worker_is_killed(self):
        first, second = self.two()
        count = 600
        client = self.client(self.append_many(count, "test.late.append"))
        self.wait_for_lines("lines", 50)
        first.kill()
        self.assertEqual(client.outcome(), {"value": [None] * count})
        self.wait_until_empty()
        self.assertEqual(set(self.lines()), {f"line {i}" for i in range(count)})
        self.stop_all(second)

    def test_a_stopped_process_is_not_taken_for_dead(self):
        """SIGSTOP for a while: its lease may run, but what it settles late changes nothing."""
        first = self.worker("-c", "1", name="w1@test")
        task_id = self.call("test.gate", self.path("gate"), "once")
        self.wait_for_lines("gate.started", 1)
        first.signal(19)
        second = self.worker("-c", "1", name="w2@test")
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")
        self.write("gate", "")
        first.signal(18)
        self.assertEqual(self.result(task_id), "once")
        self.assertEqual(len(self.read("gate.started").splitlines()), 1)
        self.stop_all(first, second)


class TimeTest(TwoCase):
    def test_what_is_not_due_waits_in_the_file(self):
        worker = self.worker("-c", "1")
        soon = self.call("test.echo", "soon", options=("--countdown", "1"))
        later = self.call("test.echo", "later", options=("--eta", utc(3600)))
        self.assertEqual(self.query("SELECT count(*) FROM waiting"), [(2,)])
        self.assertEqual(self.query("SELECT count(*) FROM claim"), [(0,)])
        self.assertNotIn(" received", worker.text)
        self.assertEqual(self.result(soon), "soon")
        self.assertNotIn(later, worker.text)
        self.assertEqual(self.query("SELECT count(*) FROM waiting"), [(1,)])
        self.stop_all(worker)

    def test_a_countdown_is_kept_to_the_moment(self):
        worker = self.worker("-c", "1")
        began = time.monotonic()
        task_id = self.call("test.echo", "x", options=("--countdown", "0.8"))
        self.assertEqual(self.result(task_id), "x")
        took = time.monotonic() - began
        self.assertGreaterEqual(took, 0.79)
        self.assertLess(took, 10)
        self.stop_all(worker)

    def test_it_survives_that_all_workers_are_killed(self):
        worker = self.worker("-c", "1")
        task_id = self.call("test.echo", "x", options=("--countdown", "1.5"))
        worker.kill()
        second = self.worker("-c", "1")
        self.assertEqual(self.result(task_id), "x")
        self.assertEqual(len(self.documents()), 1)
        self.stop_all(second)

    def test_what_has_expired_is_revoked(self):
        late = self.call("test.append", self.path("ran"), "x", options=("--expires", "0.001"))
        now = self.call("test.append", self.path("ran"), "y", options=("--expires", "3600"))
        support.wait_until(lambda: time.time() > os.path.getmtime(self.db) + 0.01, "that it expires")
        worker = self.worker("-c", "1")
        self.assertEqual(self.result(now), "None")
        worker.rewind()
        worker.expect(rf"Discarding revoked task: test\.append\[{late}\]")
        self.assertEqual(self.documents()[late]["status"], "REVOKED")
        self.assertEqual(self.read("ran"), "y\n")
        self.assertEqual(self.run_command("result", late).returncode, 1)
        self.stop_all(worker)

    def test_a_part_that_expires_fails_its_chord(self):
        parts = [sig("test.add", 1, 2, options={"expires": utc(-5)}), sig("test.add", 1, 2)]
        client = self.client(chord(parts, sig("test.xsum")))
        client.sent()
        worker = self.worker("-c", "1")
        outcome = client.outcome()
        self.assertEqual(outcome.get("type"), "ChordError", outcome)
        self.stop_all(worker)

    def test_higher_priorities_come_first(self):
        worker = self.worker("-c", "1", "--prefetch-multiplier", "1")
        gate = self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        # The one message held ahead, if there is one, must not spoil the order: it is of the highest.
        for text, priority in [("first", 9), ("low", 0), ("middle", 5), ("high", 9), ("low too", 0)]:
            self.call("test.append", self.path("order"), text, options=("--priority", str(priority)))
        self.write("gate", "")
        self.assertEqual(self.wait_for_lines("order", 5), ["first", "high", "middle", "low", "low too"])
        self.assertEqual(self.result(gate), "open")
        self.stop_all(worker)


class QueueTest(TwoCase):
    def test_lists_tell_ready_delayed_and_running(self):
        for _ in range(3):
            self.call("test.add", 1, 2)
        self.call("test.add", 1, 2, options=("--countdown", "3600"))
        self.assertRegex(self.good("list", "queues"), r"(?m)^celery\s+3\s+1\s+0\s+0$")
        workers = self.two(slots="1")
        support.wait_until(lambda: self.query("SELECT count(*) FROM ready")[0][0] == 0, "an empty queue")
        self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        support.wait_until(lambda: re.search(r"(?m)^celery\s+0\s+1\s+1\s+2$", self.good("list", "queues")), "the list with one running")
        self.write("gate", "")
        self.stop_all(*workers)

    def test_purge_leaves_what_runs(self):
        worker = self.worker("-c", "1")
        running = self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        for _ in range(4):
            self.call("test.append", self.path("ran"), "x")
        self.call("test.append", self.path("ran"), "x", options=("--countdown", "3600"))
        text = self.good("purge", "-f")
        self.assertRegex(text, r"\b[345]\b")  # one may be held ahead
        self.write("gate", "")
        self.assertEqual(self.result(running), "open")
        self.wait_until_empty()
        self.stop_all(worker)


if __name__ == "__main__":
    support.main()
