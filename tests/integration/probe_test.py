"""What a worker answers over HTTP: whether it lives, whether it takes work, and what it has done."""
import os
import signal
import sys
import urllib.error
import urllib.request

import support

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import redisserver  # noqa: E402  pylint: disable=wrong-import-position


class ProbeCase(support.Case):
    def probed(self, *options, wait=True):
        worker = self.worker("-c", "1", "--http", "0", *options, wait=False)
        self.port = int(worker.expect(r"/livez, /readyz and /metrics are on port (\d+)").group(1))
        return worker.ready() if wait else worker

    def get(self, path):
        """Status and text."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=support.TIMEOUT) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        """name{labels} -> value."""
        status, text = self.get("/metrics")
        self.assertEqual(status, 200)
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def wait_for(self, path, answer):
        support.wait_until(lambda: self.get(path) == answer, f"{path} to say {answer}")


class ProbeTest(ProbeCase):
    def test_a_worker_lives_and_takes_work_until_it_stops(self):
        worker = self.probed()
        self.assertEqual(self.get("/livez"), (200, "ok\n"))
        self.wait_for("/readyz", (200, "takes work\n"))
        self.assertEqual(self.get("/")[0], 404)
        self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        self.assertEqual(self.get("/readyz"), (200, "takes work\n"))
        worker.signal(signal.SIGTERM)
        self.wait_for("/readyz", (503, "stopping\n"))
        self.assertEqual(self.get("/livez"), (200, "ok\n"))
        self.write("gate", "")
        self.assertEqual(worker.wait(), 0)

    def test_metrics_count_what_was_done(self):
        self.probed("worker.prefetch_multiplier=1")
        self.wait_for("/readyz", (200, "takes work\n"))
        for n in range(3):
            self.result(self.call("test.add", 1, n))
        self.failure(self.call("test.fail"))
        self.result(self.call("test.retry", 2))
        labels = '{name="%s",hostname="test",queue_name="celery"'
        found = self.metrics()
        add = labels % "test.add"
        self.assertEqual(found[f"celery_task_received_total{add}}}"], 3)
        self.assertEqual(found[f"celery_task_succeeded_total{add}}}"], 3)
        self.assertEqual(found[f'celery_task_runtime_seconds_bucket{add},le="+Inf"}}'], 3)
        self.assertEqual(found[f"celery_task_runtime_seconds_count{add}}}"], 3)
        self.assertEqual(found[f'celery_task_failed_total{labels % "test.fail"}}}'], 1)
        self.assertEqual(found[f'celery_task_retried_total{labels % "test.retry"}}}'], 2)
        self.assertEqual(found['celery_worker_up{hostname="test"}'], 1)
        self.assertEqual(found['celery_active_process_count{hostname="test"}'], 1)
        self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        for n in range(5):
            self.call("test.add", 2, n)
        support.wait_until(lambda: self.metrics()['celery_worker_tasks_active{hostname="test"}'] == 1, "one running task")
        support.wait_until(lambda: self.metrics().get('celery_queue_length{queue_name="celery"}', 0) > 0, "messages that wait")
        self.write("gate", "")
        support.wait_until(lambda: self.metrics().get(f"celery_task_succeeded_total{add}}}") == 8, "all tasks to be done")
        support.wait_until(lambda: self.metrics().get('celery_queue_length{queue_name="celery"}') == 0, "an empty queue")

    def test_a_probe_costs_less_than_two_milliseconds(self):
        worker = self.probed()
        self.wait_for("/readyz", (200, "takes work\n"))

        def cpu_seconds():
            with open(f"/proc/{worker.pid}/stat", encoding="ascii") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        before = cpu_seconds()
        for _ in range(300):
            self.get("/readyz")
        self.assertLess((cpu_seconds() - before) / 300, 0.002)

    def test_an_address_that_is_none_or_taken_is_refused(self):
        done = self.run_command("worker", "-c", "1", "--http", "nonsense")
        self.assertEqual(done.returncode, 1)
        self.assertIn("'nonsense' is no address", done.stderr)
        self.probed()
        done = self.run_command("worker", "-c", "1", "--http", str(self.port))
        self.assertEqual(done.returncode, 1)
        self.assertIn("Address already in use", done.stderr)


class OutageTest(ProbeCase):
    def test_an_outage_of_the_broker_is_not_ready_but_alive(self):
        try:
            server = redisserver.Server()
        except redisserver.Missing as missing:
            self.skipTest(str(missing))
        self.addCleanup(server.close)
        self.url = server.url()
        server.kill()
        worker = self.probed(wait=False)
        self.assertEqual(self.get("/readyz"), (503, "the broker has not been reached yet\n"))
        self.assertEqual(self.get("/livez"), (200, "ok\n"))
        server.start()
        self.wait_for("/readyz", (200, "takes work\n"))
        server.kill()
        self.wait_for("/readyz", (503, "the broker is out of reach\n"))
        self.assertEqual(self.metrics()['celery_worker_up{hostname="test"}'], 0)
        server.start()
        self.wait_for("/readyz", (200, "takes work\n"))
        self.assertEqual(worker.stop(), 0)


if __name__ == "__main__":
    support.main()
