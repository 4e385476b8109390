"""What follows from a task when that is refused, or when there is no room for it, and what the log says of it."""
import signal
import time

import canvas
import hostile_test
import support
from canvas import chain, chord, sig


class RefusalTest(canvas.Case):
    """No queue has a name of 300 bytes: such a message is invalid and stays so."""

    nowhere = {"queue": "q" * 300}

    def check_ends(self, signature, pattern):
        worker = self.worker("-c", "1")
        outcome = self.client(signature).outcome()
        self.assertRegex(outcome.get("message") or outcome["error"], pattern)
        self.assertEqual(self.result(self.call("test.add", 40, 2)), "42")
        self.wait_until_empty()
        self.assertEqual(worker.stop(), 0)

    def test_a_chain_whose_next_step_has_no_queue_fails(self):
        self.check_ends(chain(sig("test.add", 1, 2), sig("test.add", 3, options=self.nowhere)), "300|longer")

    def test_a_chord_whose_body_has_no_queue_fails(self):
        self.check_ends(chord([sig("test.add", 1, 2), sig("test.add", 3, 4)], sig("test.xsum", options=self.nowhere)), "300|longer")

    def test_an_errback_without_a_queue_does_not_keep_the_failure_back(self):
        self.check_ends(sig("test.fail", "bad", options={"link_error": [sig("test.echo", options=self.nowhere)]}), "bad")


class BrokerRefusalTest(hostile_test.HostileCase):
    """A retry goes back to where its message says that it came from."""

    def test_a_retry_to_a_queue_that_cannot_be_fails_the_task(self):
        worker = self.worker("-c", "1")
        headers = hostile_test.headers("test.retry")
        self.insert(task="test.retry", headers=headers, body=hostile_test.body(2),
                    properties={**hostile_test.PROPERTIES, "delivery_info": {"exchange": "", "routing_key": "q" * 300}})
        self.call("test.add", 1, 2)  # rings the bell
        self.assertRegex(self.failure(headers["id"]), "ValueError: queue .* longer than 255 bytes")
        worker.expect("what follows from task .* is refused: queue")
        self.wait_until_empty()
        self.assertEqual(worker.stop(), 0)


class FullTest(canvas.Case):
    def setUp(self):
        super().setUp()
        self.url += "&max_page_count=200"

    def fill(self, worker):
        """Runs tasks with large results until one cannot be settled."""
        for _ in range(40):
            done = self.run_command("call", "test.big", "--args", "[100000]")
            if done.returncode or "cannot settle" in worker.text:
                break
        worker.expect("cannot settle what has ended, trying again: .*full")

    def test_a_full_file_does_not_keep_a_cold_stop(self):
        worker = self.worker("-c", "1")
        self.fill(worker)
        started = time.monotonic()
        self.assertEqual(worker.stop(signal.SIGQUIT), 0)
        self.assertLess(time.monotonic() - started, 30)

    def test_a_full_file_does_not_keep_a_cold_stop_that_ends_tasks(self):
        worker = self.worker("-c", "2")
        self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        self.fill(worker)
        self.assertEqual(worker.stop(signal.SIGQUIT), 0)

    def test_a_second_term_ends_what_a_full_file_keeps(self):
        worker = self.worker("-c", "1")
        self.fill(worker)
        worker.signal(signal.SIGTERM)
        worker.expect("Warm shutdown")
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)


class TwoFilesTest(canvas.Case):
    """Messages and results in two files, that is: nothing takes effect together, each step waits for the one before."""

    def setUp(self):
        super().setUp()
        self.use_results("?synchronous=off")

    def use_results(self, query):
        self.results = "sqlite:///" + self.path("results.db") + query
        self.env["CELERY_RESULT_BACKEND"] = self.results

    def client(self, signature, *options):
        return super().client(signature, *options, self.url, url=self.results)

    def test_a_chord_in_a_chord_and_a_chain_end(self):
        worker = self.worker("-c", "2")
        inner = chord([sig("test.add", i, 1) for i in range(20)], sig("test.xsum"))
        outer = chord([inner, sig("test.add", 1, 1)], chain(sig("test.xsum"), sig("test.add", 5)))
        self.assertEqual(self.client(outer).outcome(), {"value": 210 + 2 + 5})
        self.wait_until_empty()
        self.assertEqual(worker.stop(), 0)

    def test_a_chord_whose_part_fails_names_it(self):
        worker = self.worker("-c", "2")
        outcome = self.client(chord([sig("test.add", 1, 1), sig("test.fail", "bad")], sig("test.xsum"))).outcome()
        self.assertRegex(outcome["message"], r"Dependency .* raised ValueError\('bad'\)")
        self.assertEqual(worker.stop(), 0)

    def test_a_full_result_store_does_not_keep_a_cold_stop(self):
        self.use_results("?synchronous=off&max_page_count=150")
        worker = self.worker("-c", "2")
        self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        parts = [sig("test.big", 40000) for _ in range(30)]
        self.client(chord(parts, sig("test.echo")), "-n").sent()
        worker.expect("cannot settle what has ended, trying again: .*full")
        self.assertEqual(worker.stop(signal.SIGQUIT), 0)


class LogTest(canvas.Case):
    def test_a_traceback_ends_without_an_empty_line(self):
        worker = self.worker("-c", "1")
        self.failure(self.call("test.fail", "bad"))
        self.result(self.call("test.add", 1, 2))
        worker.expect("succeeded")
        at = worker.stderr.index("ValueError: bad")
        self.assertRegex(worker.stderr[at + 1], r"^\[.*received")


if __name__ == "__main__":
    support.main()
