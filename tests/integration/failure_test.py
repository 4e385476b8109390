"""Tasks that fail in all the ways there are, what follows from it, and what the worker is like afterwards."""
import json
import os
import re
import signal
import time

import canvas
import support
from canvas import chain, chord, group, sig

POOLS = ("prefork", "threads", "solo")


def errback(path, text="heard"):
    return sig("test.append", path, text, immutable=True)


class FailureCase(canvas.Case):
    def check_goes_on(self, worker=None):
        """The worker runs the next task; nothing is left in the file."""
        self.assertEqual(self.result(self.call("test.add", 40, 2)), "42")
        self.wait_until_empty()
        if worker:
            self.assertEqual(worker.stop(), 0)

    def document(self, task_id):
        return self.documents()[task_id]

    def worker_with(self, *options, **settings):
        """A worker with a configuration; other commands of the test do not see it."""
        self.write("settings.py", "".join(f"{name} = {value!r}\n" for name, value in settings.items()))
        worker = self.spawn("--config", self.path("settings.py"), "worker", "-l", "info", "-n", "w1@test", *options, kind=support.Worker)
        return worker.ready()


class FollowTest(FailureCase):
    """What follows from a failure, under every pool."""

    def check_under(self, pool, check):
        with self.subTest(pool=pool):
            worker = self.worker("-P", pool, "-c", "2")
            check()
            self.check_goes_on(worker)
            for name in ("ran", "errors"):
                if os.path.exists(self.path(name)):
                    os.remove(self.path(name))

    def check_chord(self):
        header = [sig("test.add", i, 1) for i in range(5)] + [sig("test.fail", "no luck", type="KeyError",)]
        header[-1]["options"]["task_id"] = bad = f"bad-{time.monotonic_ns()}"
        client = self.client(chord(header, sig("test.append", self.path("ran"), options={"link_error": [errback(self.path("errors"))]})))
        outcome = client.outcome()
        self.assertEqual(outcome.get("type"), "ChordError", outcome)
        self.assertIn(f"Dependency {bad} raised KeyError('no luck')", outcome["message"])
        self.assertEqual(self.wait_for_lines("errors", 1), ["heard"])
        self.assertFalse(os.path.exists(self.path("ran")))
        body = self.document(client.sent_id)
        self.assertEqual(body["status"], "FAILURE")
        self.assertEqual(body["result"]["exc_type"], "ChordError")

    def test_a_chord_whose_part_fails_does_not_run_its_body(self):
        for pool in POOLS:
            self.check_under(pool, self.check_chord)

    def check_chain(self):
        client = self.client(chain(sig("test.add", 1, 2), sig("test.fail", "stop", immutable=True),
                                   sig("test.append", self.path("ran"), "x", immutable=True)), timeout=20)
        outcome = client.outcome()
        self.assertEqual((outcome.get("type"), outcome.get("message")), ("ValueError", "stop"), outcome)
        self.assertFalse(os.path.exists(self.path("ran")))
        self.assertEqual(sorted(found["status"] for found in map(self.documents().get, self.documents()) if found["status"] != "SUCCESS"
                                and "stop" in json.dumps(found)), ["FAILURE", "FAILURE"])
        self.query("DELETE FROM result")

    def test_what_comes_after_a_failed_step_of_a_chain_fails_too(self):
        for pool in POOLS:
            self.check_under(pool, self.check_chain)

    def test_errbacks_of_every_kind_are_called(self):
        worker = self.worker("-c", "2")
        path = self.path("errors")
        late = sig("test.arguments", options={"task_id": "errback-1"})  # not immutable: is given the id
        self.client(sig("test.fail", options={"task_id": "failed-1", "link_error": [late, errback(path, "second")]})).outcome()
        self.wait_for_lines("errors", 1)
        self.assertIn("failed-1", self.result("errback-1"))
        self.client({**group([sig("test.fail", options={"link_error": [errback(path, "member")]}), sig("test.add", 1, 1)])}).outcome()
        self.assertEqual(self.wait_for_lines("errors", 2), ["second", "member"])
        nested = chord([chain(sig("test.add", 1, 1), sig("test.fail", immutable=True), sig("test.add", 5)), sig("test.add", 1, 1)],
                       sig("test.xsum", options={"link_error": [errback(path, "nested")]}))
        self.assertEqual(self.client(nested).outcome().get("type"), "ChordError")
        self.assertEqual(self.wait_for_lines("errors", 3)[2], "nested")
        inner = chord([sig("test.fail")], sig("test.xsum"))
        outer = chord([inner, sig("test.add", 1, 1)], sig("test.xsum"))
        self.assertEqual(self.client(outer).outcome().get("type"), "ChordError")
        self.check_goes_on(worker)

    def test_a_task_that_nobody_knows_fails_where_it_is_awaited(self):
        worker = self.worker("-c", "1")
        outcome = self.client(chord([sig("test.add", 1, 2), sig("no.such.task")], sig("test.xsum"))).outcome()
        self.assertEqual(outcome.get("type"), "ChordError", outcome)
        self.assertIn("raised NotRegistered('no.such.task')", outcome["message"])
        self.assertEqual(self.client(sig("no.such.task")).outcome().get("type"), "NotRegistered")
        self.check_goes_on(worker)

    def test_a_body_that_fails_is_its_own_failure(self):
        worker = self.worker("-c", "1")
        outcome = self.client(chord([sig("test.echo", "text")], sig("test.xsum"))).outcome()
        self.assertEqual(outcome.get("type"), "TypeError", outcome)
        self.check_goes_on(worker)


class AttemptTest(FailureCase):
    """Retries, ignored and rejected tasks."""

    def test_a_task_retries_until_it_succeeds_or_has_no_more_tries(self):
        for pool in POOLS:
            with self.subTest(pool=pool):
                worker = self.worker("-P", pool, "-c", "2")
                self.assertEqual(self.result(self.call("test.retry", 4)), "4")
                self.assertEqual(self.result(self.call("test.retry", 1, 0.05)), "1")
                task_id = self.call("test.retry_forever")
                self.assertEqual(self.failure(task_id), "Exception: again")
                self.assertEqual(worker.text.count(f"Task test.retry_forever[{task_id}] received"), 4)
                self.assertEqual(len(re.findall(rf"Task test\.retry_forever\[{task_id}\] retry: Retry in 0s: Exception\('again'\)",
                                                worker.text)), 3)
                self.check_goes_on(worker)

    def test_a_retry_inside_a_chord_counts_once(self):
        worker = self.worker("-c", "2")
        self.assertEqual(self.client(chord([sig("test.retry", i) for i in range(4)], sig("test.xsum"))).outcome(), {"value": 6})
        outcome = self.client(chord([sig("test.retry_forever"), sig("test.add", 1, 1)], sig("test.xsum"))).outcome()
        self.assertEqual(outcome.get("type"), "ChordError", outcome)
        self.check_goes_on(worker)

    def test_ignored_and_rejected_tasks_store_nothing(self):
        worker = self.worker("-c", "1")
        ignored, rejected, again = self.call("test.ignore"), self.call("test.reject"), self.call("test.reject", True)
        worker.expect(rf"Task test\.ignore\[{ignored}\] ignored")
        worker.expect(rf"Task test\.reject\[{rejected}\] reject requeue=False: ")
        worker.expect(rf"Task test\.reject\[{again}\] reject requeue=True: ")
        worker.expect(rf"Task test\.reject\[{again}\] reject requeue=False: ")  # it was redelivered
        self.check_goes_on(worker)
        self.assertEqual(len(self.documents()), 1)

    def test_a_task_without_a_result_leaves_none_but_its_failure_is_known_to_its_chord(self):
        worker = self.worker("-c", "1")
        self.client(sig("test.add", 1, 2, options={"ignore_result": True}), "-n").wait()
        self.client(sig("test.fail", options={"ignore_result": True}), "-n").wait()
        worker.expect(r"Task test\.fail\[.*\] raised unexpected")
        self.check_goes_on(worker)
        self.assertEqual(len(self.documents()), 1)


class LimitTest(FailureCase):
    def check_runtime(self, began, least, most):
        self.assertGreater(time.monotonic() - began, least)
        self.assertLess(time.monotonic() - began, most)

    def test_a_soft_limit_ends_a_task_that_listens(self):
        for pool in ("prefork", "threads"):
            with self.subTest(pool=pool):
                worker = self.worker("-P", pool, "-c", "1", "--soft-time-limit", "0.2")
                began = time.monotonic()
                task_id = self.call("test.sleep", 60)
                self.assertRegex(self.failure(task_id), r"^billiard\.exceptions\.SoftTimeLimitExceeded: SoftTimeLimitExceeded\(\)$")
                self.check_runtime(began, 0.2, 30)
                worker.expect(rf"WARNING/MainProcess\] Soft time limit \(0\.2s\) exceeded for test\.sleep\[{task_id}\]")
                self.check_goes_on(worker)

    def test_a_hard_limit_ends_a_task_that_does_not(self):
        worker = self.worker("-c", "2", "--time-limit", "0.3")
        began = time.monotonic()
        ids = [self.call("test.stubborn", 60) for _ in range(4)]
        for task_id in ids:
            self.assertRegex(self.failure(task_id), r"^TimeLimitExceeded: TimeLimitExceeded\(0\.3,\)$")
        self.check_runtime(began, 0.3, 40)
        worker.expect(r"ERROR/MainProcess\] Hard time limit \(0\.3s\) exceeded for test\.stubborn\[")
        self.check_goes_on()
        self.assertEqual(len(canvas.children_of(canvas.children_of(worker.pid)[0])), 2)  # the pool is whole again
        self.assertEqual(worker.stop(), 0)

    def test_a_hard_limit_follows_a_soft_one_that_is_not_heard(self):
        worker = self.worker("-c", "1", "--soft-time-limit", "0.1", "--time-limit", "0.4")
        task_id = self.call("test.stubborn", 60)
        self.assertRegex(self.failure(task_id), "^TimeLimitExceeded: ")
        worker.expect(r"Soft time limit \(0\.1s\) exceeded")
        worker.expect(r"Hard time limit \(0\.4s\) exceeded")
        self.check_goes_on(worker)

    def test_limits_come_with_the_message_too(self):
        worker = self.worker("-c", "1")
        soft = self.client(sig("test.sleep", 60, options={"soft_time_limit": 0.2})).outcome()
        self.assertEqual(soft.get("type"), "SoftTimeLimitExceeded", soft)
        hard = self.client(chord([sig("test.stubborn", 60, options={"time_limit": 0.2}), sig("test.add", 1, 1)], sig("test.xsum"))).outcome()
        self.assertEqual(hard.get("type"), "ChordError", hard)
        self.assertIn("raised TimeLimitExceeded(0.2", hard["message"])
        self.check_goes_on(worker)

    def test_a_late_task_over_its_hard_limit_is_not_run_again(self):
        worker = self.worker("-c", "1", "--time-limit", "0.3")
        task_id = self.client(sig("test.late.step", self.path("steps"), 1, 60)).outcome()
        self.assertEqual(task_id.get("type"), "TimeLimitExceeded", task_id)
        self.check_goes_on(worker)
        self.assertEqual(self.read("steps"), "1\n")


class ChildTest(FailureCase):
    def pids(self, count):
        return [json.loads(self.result(self.call("test.whoami")).replace("'", '"').replace("None", "null").replace("False", "false"))["pid"]
                for _ in range(count)]

    def test_a_child_is_replaced_after_so_many_tasks(self):
        worker = self.worker("-c", "1", "--max-tasks-per-child", "3")
        pids = self.pids(9)
        self.assertEqual([pids.count(pid) for pid in sorted(set(pids), key=pids.index)], [3, 3, 3])
        self.assertNotIn("ERROR", worker.text)
        self.assertEqual(self.client(chord([sig("test.add", i, 0) for i in range(100)], sig("test.xsum"))).outcome(), {"value": 4950})
        self.check_goes_on(worker)

    def test_a_child_that_has_grown_is_replaced(self):
        worker = self.worker("-c", "1", "--max-memory-per-child", "300000")
        first = self.pids(2)
        self.assertEqual(first[0], first[1])
        self.assertEqual(self.result(self.call("test.memory", 400)), "400")
        self.assertNotEqual(self.pids(1)[0], first[0])
        self.assertNotIn("ERROR", worker.text)
        self.check_goes_on(worker)

    def test_a_task_that_crashes_its_process_is_tried_three_times(self):
        worker = self.worker("-c", "2")
        client = self.client(sig("test.late.crash", self.path("crashes")))
        outcome = client.outcome()
        self.assertEqual(outcome.get("type"), "WorkerLostError", outcome)
        self.assertRegex(outcome["message"], r"signal 11 \(SIGSEGV\)")
        self.assertEqual(len(self.read("crashes").splitlines()), 3)
        self.assertEqual(worker.text.count("its message is put back"), 2)
        self.check_goes_on(worker)

    def test_the_limit_of_tries_is_a_setting(self):
        worker = self.worker_with("-c", "1", task_delivery_limit=1)
        self.assertEqual(self.client(sig("test.late.crash", self.path("crashes"))).outcome().get("type"), "WorkerLostError")
        self.assertEqual(len(self.read("crashes").splitlines()), 1)
        self.check_goes_on(worker)

    def test_a_crash_costs_only_the_task_that_crashed(self):
        worker = self.worker("-c", "2")
        crash = self.client(sig("test.crash"), "-n")
        client = self.client(chord([sig("test.step", self.path("steps"), i) for i in range(200)]
                                   + [sig("test.late.crash_once", self.path("once"))], sig("test.arguments")))
        self.assertIn("value", client.outcome())
        self.assertEqual(sorted(map(int, self.read("steps").splitlines())), list(range(200)))
        self.assertRegex(self.failure(crash.sent_id), "^WorkerLostError: ")
        self.check_goes_on(worker)

    def test_a_part_that_crashes_fails_its_chord(self):
        worker = self.worker("-c", "2")
        outcome = self.client(chord([sig("test.crash"), sig("test.add", 1, 2)], sig("test.xsum"))).outcome()
        self.assertEqual(outcome.get("type"), "ChordError", outcome)
        self.assertIn("raised WorkerLostError('Worker exited prematurely: signal 11 (SIGSEGV)", outcome["message"])
        self.check_goes_on(worker)


class StateTest(FailureCase):
    def state(self, task_id):
        return self.documents().get(task_id, {}).get("status")

    def test_started_is_stored_when_it_is_asked_for(self):
        for pool in ("prefork", "threads"):
            with self.subTest(pool=pool):
                worker = self.worker_with("-P", pool, "-c", "1", task_track_started=True)
                gate = self.path("gate-" + pool)
                task_id = self.call("test.gate", gate)
                support.wait_until(lambda: self.state(task_id) == "STARTED", "STARTED")
                result = self.document(task_id)["result"]
                self.assertEqual(result["hostname"], "w1@test")
                self.assertIn(result["pid"], [worker.pid] + worker.children())
                self.write("gate-" + pool, "")
                self.assertEqual(self.result(task_id), "open")
                self.check_goes_on(worker)

    def test_states_of_its_own_are_seen_while_a_task_runs(self):
        for pool in POOLS:
            with self.subTest(pool=pool):
                worker = self.worker("-P", pool, "-c", "1")
                task_id = self.call("test.progress", 40)
                support.wait_until(lambda: self.state(task_id) in ("PROGRESS", "SUCCESS"), "PROGRESS")
                self.assertEqual(self.result(task_id), "40")
                self.check_goes_on(worker)

    def test_extended_results_say_what_was_run_where(self):
        worker = self.worker_with("-c", "1", result_extended=True)
        task_id = self.call("test.add", 1, y=2)
        self.assertEqual(self.result(task_id), "3")
        document = self.document(task_id)
        self.assertEqual({key: document[key] for key in ("name", "args", "kwargs", "worker", "queue", "retries")},
                         {"name": "test.add", "args": [1], "kwargs": {"y": 2}, "worker": "w1@test", "queue": "celery", "retries": 0})
        self.check_goes_on(worker)

    def test_results_may_be_disabled(self):
        self.write("settings.py", "result_backend = 'disabled://'\n")
        worker = self.spawn("--config", self.path("settings.py"), "worker", "-l", "info", "-n", "w1@test", "-c", "1",
                            kind=support.Worker)
        worker.ready()
        self.call("test.add", 1, 2)
        worker.expect(r"Task test\.add\[.*\] succeeded in .*: 3")
        self.wait_until_empty()
        self.assertEqual(worker.stop(), 0)


class ShutdownTest(FailureCase):
    def busy(self, pool="prefork", task="test.gate", slots="2", more=5):
        """A worker all of whose slots wait at the gate, and more messages behind them. Returns (worker, running, others)."""
        worker = self.worker("-P", pool, "-c", slots)
        running = [self.call(task, self.path("gate"), i) for i in range(int(slots))]
        self.wait_for_lines("gate.started", int(slots))
        return worker, running, [self.call("test.add", i, 0) for i in range(more)]

    def test_a_warm_stop_finishes_what_runs_and_hands_the_rest_back(self):
        for pool in ("prefork", "threads"):
            with self.subTest(pool=pool):
                worker, running, others = self.busy(pool)
                worker.signal(signal.SIGTERM)
                worker.expect("Warm shutdown")
                self.write("gate", "")
                self.assertEqual(worker.wait(), 0)
                self.assertEqual([self.result(task_id) for task_id in running], ["0", "1"])
                self.assertEqual(self.query("SELECT count(*), max(deliveries), max(lost) FROM message"), [(5, 0, 0)])
                self.assertEqual(self.query("SELECT count(*) FROM claim"), [(0,)])
                second = self.worker("-c", "1")
                self.assertEqual([self.result(task_id) for task_id in others], list("01234"))
                self.check_goes_on(second)
                for name in ("gate", "gate.started"):
                    os.remove(self.path(name))

    def test_a_cold_stop_hands_late_ones_back_and_fails_early_ones(self):
        for number in (signal.SIGQUIT, signal.SIGTERM):
            for task in ("test.late.gate", "test.gate"):
                with self.subTest(signal=number, task=task):
                    worker, running, others = self.busy(task=task)
                    worker.signal(number)
                    if number == signal.SIGTERM:
                        worker.expect("Warm shutdown")
                        worker.signal(number)
                    worker.expect("Cold shutdown")
                    self.assertEqual(worker.wait(), 0)
                    late = "late" in task
                    self.assertEqual(self.query("SELECT count(*) FROM message"), [(7 if late else 5,)])
                    self.write("gate", "")
                    second = self.worker("-c", "2")
                    for i, task_id in enumerate(running):
                        if late:
                            self.assertEqual(self.result(task_id), str(i))
                        else:
                            self.assertRegex(self.failure(task_id), "^WorkerLostError: ")
                    self.assertEqual([self.result(task_id) for task_id in others], list("01234"))
                    self.check_goes_on(second)
                    for name in ("gate", "gate.started"):
                        os.remove(self.path(name))

    def test_a_solo_worker_stops_when_its_task_is_done(self):
        worker = self.worker("-P", "solo")
        running = self.call("test.gate", self.path("gate"), 1)
        self.wait_for_lines("gate.started", 1)
        waiting = self.call("test.add", 1, 2)
        worker.signal(signal.SIGTERM)
        self.write("gate", "")
        self.assertEqual(worker.wait(), 0)
        self.assertEqual(self.result(running), "1")
        second = self.worker("-c", "1")
        self.assertEqual(self.result(waiting), "3")
        self.check_goes_on(second)


if __name__ == "__main__":
    support.main()
