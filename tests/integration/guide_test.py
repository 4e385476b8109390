"""What docs/guide.md says, tried: its programs, and what it promises of tasks, limits, acknowledgement and the file."""
import json
import os
import re
import shutil
import signal
import subprocess
import unittest

import support

GUIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/guide.md")


def guide():
    with open(GUIDE, encoding="utf-8") as file:
        return file.read()


class ProgramTest(support.Case):
    module = False

    def setUp(self):
        super().setUp()
        if not os.environ.get("CELERIAC_BUILD") or not shutil.which("pkg-config"):
            self.skipTest("the build directory or pkg-config is not there")
        self.env["PKG_CONFIG_PATH"] = os.path.join(os.environ["CELERIAC_BUILD"], "meson-uninstalled")

    def compile(self, text, output, *options):
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "celeriac"], env=self.env, check=True, capture_output=True,
                               text=True).stdout.split()
        done = subprocess.run(["cc", "-std=c17", "-Wall", "-Wextra", "-Werror", *os.environ.get("CEL_SANITIZE", "").split(), *options,
                               self.write(output + ".c", text), *flags, "-o", self.path(output)],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_module_of_the_guide_greets(self):
        self.compile(re.search(r"^```c\n(#include <celeriac.h>\n.*?)^```", guide(), re.M | re.S).group(1), "people.so", "-shared", "-fPIC")
        self.spawn("-A", "people", "worker", "-c", "1", "-l", "info", kind=support.Worker).ready()
        self.assertEqual(self.result(self.call("people.greet", "Ada")), "Hello, Ada!")
        self.assertEqual(self.result(self.call("people.greet", greeting="Hi", name="Bob")), "Hi, Bob!")
        self.assertEqual(self.failure(self.call("people.greet", "")), "ValueError: nobody to greet")
        self.assertEqual(self.failure(self.call("people.greet")),
                         "TypeError: greet() missing 1 required positional argument: 'name'")

    def test_the_flow_of_the_guide_is_sent(self):
        code = re.search(r"^```c\n(static cel_signature \*build\(.*?)^```", guide(), re.M | re.S).group(1)
        self.compile("#include <celeriac.h>\n" + code, "chat.so", "-shared", "-fPIC")
        self.spawn("-A", "chat", "dispatch", "-Q", "queue_rpc", "-l", "info", kind=support.Worker).ready()
        answer = json.loads(self.good("rpc", "rank_day", '{"day": "20200406"}'))
        self.assertEqual(len(answer["parts"]), 2)
        self.assertEqual(self.queue_length("reports"), 2)
        self.assertIn("'day' must be a string", self.run_command("rpc", "rank_day").stderr)

    def test_the_configuration_of_the_guide_is_understood(self):
        self.write("celeryconfig.py", re.search(r"^```python\n(from datetime .*?)^```", guide(), re.M | re.S).group(1))
        text = self.good("report", bare=True)
        self.assertIn("transport:sqlite:////var/lib/game/celeriac.db", text)
        self.assertIn("result_expires: 21600", text)
        self.assertIn("task_acks_late: True", text)
        self.assertNotIn("task_acks_late: True", self.good("report", bare=True, env={"CELERY_TASK_ACKS_LATE": "0"}))


class TaskTest(support.Case):
    def test_a_task_is_retried_up_to_its_limit(self):
        worker = self.worker("-c", "1")
        self.assertEqual(self.result(self.call("test.retry", 3)), "3")
        task_id = self.call("test.retry_forever")
        self.assertEqual(self.failure(task_id), "Exception: again")
        worker.rewind()
        for _ in range(3):
            worker.expect(rf"Task test\.retry_forever\[{task_id}\] retry: ")

    def test_the_soft_limit_asks_and_the_hard_limit_kills(self):
        worker = self.worker("-c", "1", "--soft-time-limit", "0.2", "--time-limit", "0.6")
        self.assertRegex(self.failure(self.call("test.sleep", 60)), r"^(\w+\.)*SoftTimeLimitExceeded: ")
        self.assertRegex(self.failure(self.call("test.stubborn", 60)), r"^(\w+\.)*TimeLimitExceeded: ")
        worker.expect(r"Hard time limit \(0\.6s\) exceeded for test\.stubborn\[")
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")

    def test_a_state_of_its_own_is_stored_while_it_runs(self):
        self.worker("-c", "1")
        task_id = self.call("test.progress", 80)
        support.wait_until(lambda: self.query("SELECT 1 FROM result WHERE task_id=? AND status='PROGRESS'", task_id), "PROGRESS")
        self.assertEqual(self.result(task_id), "80")

    def test_a_subtask_is_sent_with_the_result_or_at_once(self):
        self.worker("-c", "2")
        for now in (False, True):
            child = self.result(self.call("test.send", "test.add", [20, 1], now))
            self.assertEqual(self.result(child), "21")

    def test_a_child_is_replaced_after_so_many_tasks(self):
        self.worker("-c", "1", "--max-tasks-per-child", "2", "-O", "fair")
        pids = [json.loads(self.result(self.call("test.whoami")).replace("'", '"').replace("None", "null").replace("False", "false"))["pid"]
                for _ in range(4)]
        self.assertEqual([pids[0] == pids[1], pids[1] == pids[2], pids[2] == pids[3]], [True, False, True])

    def test_a_child_is_replaced_when_it_holds_too_much_memory(self):
        worker = self.worker("-c", "1", "--max-memory-per-child", "200000")
        before = set(worker.children())
        self.assertEqual(self.result(self.call("test.memory", 256)), "256")
        support.wait_until(lambda: set(worker.children()) - before, "a new child")

    def test_a_high_priority_is_sooner(self):
        for priority in (0, 9, 5):
            self.call("test.append", self.path("order"), str(priority), options=["--priority", str(priority)])
        self.worker("-c", "1")
        self.assertEqual(self.wait_for_lines("order", 3), ["9", "5", "0"])

    def test_a_countdown_waits_in_the_file_and_an_expired_task_is_not_run(self):
        waiting = self.call("test.add", 1, 2, options=["--countdown", "1000"])
        soon = self.call("test.add", 3, 4, options=["--countdown", "0.3"])
        late = self.call("test.add", 5, 6, options=["--expires", "0.001"])
        worker = self.worker("-c", "1")
        self.assertEqual(self.result(soon), "7")
        self.assertRegex(self.failure(late), r"^(\w+\.)*TaskRevokedError: expired")
        self.assertEqual(worker.stop(), 0)
        self.assertNotIn(waiting, worker.text)
        self.assertEqual(self.query("SELECT state FROM messages"), [("waiting",)])


class PromiseTest(support.Case):
    def killed_worker(self, task):
        """Kills a worker with SIGKILL while it runs a task; returns the task's id."""
        worker = self.worker("-c", "1")
        task_id = self.call(task, self.path("gate"), "done")
        self.wait_for_lines("gate.started", 1)
        worker.kill()
        self.write("gate", "")
        return task_id

    def test_an_early_task_is_not_run_again_and_its_loss_is_told(self):
        task_id = self.killed_worker("test.gate")
        self.worker("-c", "1", name="w2@test")
        self.assertRegex(self.failure(task_id), "^WorkerLostError: ")
        self.assertEqual(self.read("gate.started").splitlines(), [task_id])

    def test_a_late_task_is_run_again(self):
        task_id = self.killed_worker("test.late.gate")
        self.worker("-c", "1", name="w2@test")
        self.assertEqual(self.result(task_id), "done")
        self.assertEqual(self.read("gate.started").splitlines(), [task_id, task_id])

    def test_a_living_worker_takes_over_at_once(self):
        first = self.worker("-c", "1")
        task_id = self.call("test.late.gate", self.path("gate"), "done")
        self.wait_for_lines("gate.started", 1)
        self.worker("-c", "1", name="w2@test")
        first.kill()
        self.wait_for_lines("gate.started", 2)
        self.write("gate", "")
        self.assertEqual(self.result(task_id), "done")

    def test_a_late_task_whose_process_dies_is_put_back(self):
        self.worker("-c", "1")
        self.assertEqual(self.result(self.call("test.late.crash_once", self.path("crashed"))), "survived")

    def test_a_poisonous_task_ends(self):
        self.worker("-c", "1")
        self.assertRegex(self.failure(self.call("test.late.crash", self.path("crashes"))), "^WorkerLostError: ")
        self.assertEqual(len(self.read("crashes").splitlines()), 3)

    def test_a_second_term_is_cold(self):
        worker = self.worker("-c", "1")
        self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        worker.signal(signal.SIGTERM)
        worker.expect("Warm shutdown")
        worker.signal(signal.SIGTERM)
        worker.expect("Cold shutdown")
        self.assertEqual(worker.wait(), 0)

    def test_a_full_file_is_told_and_nothing_is_lost(self):
        self.url += "&max_page_count=200"
        sent = []
        while True:
            done = self.run_command("call", "test.echo", "--args", json.dumps(["x" * 100000]))
            if done.returncode != 0:
                break
            sent.append(done.stdout.strip())
            self.assertLess(len(sent), 20)
        self.assertEqual(done.returncode, 1)
        self.assertIn("full", done.stderr)
        self.assertEqual(self.queue_length(), len(sent))
        self.url = self.url.replace("&max_page_count=200", "")
        self.worker("-c", "1")
        for task_id in sent:
            self.assertEqual(self.result(task_id), "x" * 100000)

    def test_a_message_put_in_by_hand_is_run(self):
        self.call("test.append", self.path("lines"), "again")
        self.query("INSERT INTO messages(queue, task, properties, headers, body) "
                   "SELECT queue, task, properties, headers, body FROM messages")
        self.worker("-c", "1")
        self.assertEqual(self.wait_for_lines("lines", 2), ["again", "again"])

    def test_the_folder_beside_the_file_is_made_anew(self):
        self.call("test.add", 1, 2)
        shutil.rmtree(self.db + "-run", ignore_errors=True)
        self.worker("-c", "1")
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")

    def test_the_file_is_for_its_owner_alone(self):
        self.call("test.add", 1, 2)
        self.assertEqual(os.stat(self.db).st_mode & 0o777, 0o600)


if __name__ == "__main__":
    support.main()
