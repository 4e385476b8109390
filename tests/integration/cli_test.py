"""The command as a person and an operator meet it: help, errors, exit statuses, logs, signals."""
import json
import os
import re
import signal
import sqlite3
import unittest

import canvas
import support

STAMP = r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: "
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
COMMANDS = ["worker", "call", "result", "purge", "list", "report", "help"]


class HelpTest(support.Case):
    def bare(self, *words, status=0, **options):
        done = self.run_command(*words, bare=True, **options)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if status == 0 else done.stderr

    def test_help_lists_the_commands_and_the_global_options(self):
        for words in (["--help"], ["-h"], ["help"], []):
            text = self.bare(*words)
            self.assertTrue(text.startswith("Usage: celeriac [OPTIONS] COMMAND [ARGS]...\n"))
            for name in COMMANDS:
                self.assertRegex(text, rf"(?m)^  {name} +\S")
            self.assertIn("-A, --app MODULE", text)

    def test_every_command_has_help_and_needs_nothing_for_it(self):
        for name in COMMANDS:
            text = self.bare(name, "--help")
            self.assertRegex(text, rf"^Usage: celeriac {name} \[OPTIONS\]")
            self.assertEqual(text, self.bare("help", name))
        self.assertEqual(os.listdir(self.dir), [])

    def test_the_version_is_printed(self):
        self.assertRegex(self.bare("--version"), r"^\d+\.\d+\.\d+ \(celeriac\)\n$")

    def test_an_unknown_command_is_refused_and_a_likely_one_suggested(self):
        text = self.bare("wroker", status=2)
        self.assertIn("Error: No such command 'wroker'.\n\nDid you mean this?\n    worker\n", text)
        self.assertNotIn("Did you mean", self.bare("flurb", status=2))

    def test_wrong_usage_ends_with_2_and_says_where_help_is(self):
        cases = [
            (["call"], "Error: Missing argument 'NAME'."),
            (["call", "a", "b"], "Error: Got unexpected extra argument (b)"),
            (["call", "a", "--queu", "q"], "No such option: --queu. Did you mean --queue?"),
            (["call", "a", "--args", "[1"], "Invalid value for '--args': "),
            (["call", "a", "--args", "{}"], "Invalid value for '--args': not a JSON array"),
            (["call", "a", "--kwargs", "[]"], "Invalid value for '--kwargs': not a JSON object"),
            (["call", "a", "--eta", "soon"], "Invalid value for '--eta': "),
            (["result"], "Missing argument 'ID'."),
            (["result", "x", "--timeout", "soon"], "'soon' is not a valid number."),
            (["list", "things"], "'things' is not one of 'queues', 'tasks', 'bindings'."),
            (["list", "tasks"], "give their module with -A"),
            (["worker", "-c", "many"], "'many' is not a valid integer."),
            (["worker", "-c", "-1"], "Invalid value for '--concurrency': -1 is out of range."),
            (["worker", "--time-limit", "1e300"], "Invalid value for '--time-limit': 1e300 is out of range."),
            (["worker", "--umask", "9"], "Invalid value for '--umask': '9' is no octal file mode."),
            (["worker", "-Q", ",".join(map(str, range(300)))], "At most 256 queues are consumed."),
            (["worker", "-P", "gevent"], "'gevent' is not one of prefork, threads, solo."),
            (["worker", "-l", "loud"], "'loud' is not one of DEBUG"),
            (["worker", "-n", "a b@c"], "Invalid value for '-n' / '--hostname': "),
            (["worker", "-Q", "a", "-X", "a"], "There is no queue left to consume."),
            (["--workdir", "/nowhere", "report"], "Cannot change to '/nowhere'"),
            (["help", "nonsense"], "No such command 'nonsense'."),
            (["help", "--completion", "tcsh"], "Shells are: bash, zsh, fish."),
        ]
        for words, message in cases:
            with self.subTest(words=words):
                text = self.bare(*words, status=2)
                self.assertIn(message, text)
                self.assertRegex(text, r"(?m)^Try 'celeriac( \w+)? --help' for help\.$")

    def test_the_manual_page_and_the_completions_name_every_option(self):
        options = set(re.findall(r"(?m)^  (?:-., )?--([a-z-]+)", "".join(self.bare(name, "--help") for name in COMMANDS)))
        self.assertGreater(len(options), 40)
        man = self.bare("help", "--man").replace("\\-", "-")
        self.assertTrue(man.startswith(".TH CELERIAC 1"))
        texts = {"man": man, **{shell: self.bare("help", "--completion", shell) for shell in ("bash", "zsh", "fish")}}
        for kind, text in texts.items():
            for option in options:
                self.assertIn(("-l " if kind == "fish" else "--") + option, text, kind)


class ConfigurationTest(support.Case):
    module = False

    def test_a_bad_configuration_is_refused_with_its_place(self):
        self.write("celeryconfig.py", "broker_url = 'sqlite:///x.db'\ntask_routes = launch_missiles()\n")
        done = self.run_command("report", bare=True)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^Error: (?:.*/)?celeryconfig\.py:2:15: ")
        self.assertFalse(os.path.exists(self.path("x.db")))

    def test_a_setting_of_the_wrong_type_is_refused_with_its_place(self):
        path = self.write("other.py", "\nworker_concurrency = 'many'\n")
        done = self.run_command("--config", path, "report")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"other\.py:2:\d+: .*worker_concurrency")

    def test_a_file_that_is_named_must_exist(self):
        done = self.run_command("--config", "missing.py", "report")
        self.assertEqual(done.returncode, 1)
        self.assertIn("missing.py", done.stderr)

    def test_a_module_that_is_not_there_is_refused_with_the_folders(self):
        done = self.run_command("-A", "nothing", "report", env={"CELERIAC_PATH": "/opt/a:/opt/b"})
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"no module 'nothing'.*/opt/a, /opt/b")

    def test_a_shared_object_that_is_no_module_is_refused(self):
        done = self.run_command("-A", self.write("empty.so", "no ELF"), "report")
        self.assertEqual(done.returncode, 1)
        self.assertIn("empty.so", done.stderr)

    def test_the_command_line_beats_the_environment_and_that_the_file(self):
        self.write("celeryconfig.py", "BROKER_URL = 'sqlite:////file.db'\ntask_default_queue = 'from_file'\n")
        env = {"CELERY_BROKER_URL": "sqlite:////environment.db"}
        self.assertIn("sqlite:////file.db", self.good("report", bare=True))
        text = self.good("report", bare=True, env=env)
        self.assertIn("transport:sqlite:////environment.db", text)
        self.assertIn("task_default_queue: 'from_file'", text)
        self.assertIn("transport:sqlite:////line.db", self.good("-b", "sqlite:////line.db", "report", bare=True, env=env))

    def test_the_report_masks_passwords(self):
        self.write("celeryconfig.py", "broker_url = 'amqp://me:hunter2@host//'\nresult_backend = 'redis://:hunter2@host/1'\n"
                                      "broker_password = 'hunter2'\nredis_password = 'hunter2'\n")
        text = self.good("report", bare=True)
        self.assertIn("transport:amqp://me:**@host:5672//", text)
        self.assertIn("results:redis://:**@host:6379/1", text)
        self.assertIn("broker_password: '********'", text)
        self.assertNotIn("hunter2", text)

    def test_a_url_that_is_refused_is_not_shown_with_its_password(self):
        for url in ("sqlite://u:s3cret@h/x", "sqlite:///x.db?password=s3cret", "amqp://u:s3cret@127.0.0.1:1//",
                    "amqp://u:5/s3cret@h//", "u:s3cret@h"):
            with self.subTest(url=url):
                done = self.run_command("-b", url, "list", "queues", bare=True)
                self.assertIn(done.returncode, (1, 69), done.stderr)  # 69: nobody answers there
                self.assertNotIn("s3cret", done.stdout + done.stderr)

    def test_with_nothing_configured_the_database_is_in_the_working_directory(self):
        self.assertIn(f"transport:sqlite:///{self.dir}/celeriac.db results:sqlite:///{self.dir}/celeriac.db",
                      self.good("report", bare=True))

    def test_where_it_cannot_be_it_is_in_the_state_directory(self):
        os.mkdir(self.path("celeriac.db"))
        self.assertIn(f"transport:sqlite:///{self.dir}/state/celeriac/celeriac.db",
                      self.good("report", bare=True, env={"XDG_STATE_HOME": self.path("state")}))


class QueueTest(support.Case):
    def test_a_call_waits_in_its_queue_and_can_be_purged(self):
        for queue in ("celery", "celery", "other"):
            self.assertRegex(self.good("call", "test.add", "--args", "[1, 2]", "--queue", queue), f"^{UUID}\n$")
        self.good("call", "test.add", "--args", "[1, 2]", "--countdown", "1000")
        queues = {queue["name"]: queue for queue in json.loads(self.good("list", "queues", "--json"))}
        self.assertEqual(queues["celery"]["ready"], 2)
        self.assertEqual(queues["celery"]["delayed"], 1)
        self.assertEqual(queues["other"]["ready"], 1)
        self.assertRegex(self.good("list", "queues"), r"(?m)^celery +2 +1 +0 +0$")
        self.assertEqual(self.good("purge", "-f", "-Q", "other"), "Purged 1 message from 1 known task queue.\n")
        self.assertEqual(self.good("purge", "-f", "-Q", "other"), "No messages purged from 1 queue\n")
        self.assertEqual(self.queue_length(), 3)

    def test_a_purge_asks_and_does_nothing_without_a_yes(self):
        self.call("test.add", 1, 2)
        done = self.run_command("purge", input="n\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("WARNING:This will remove all tasks from queue: celery.", done.stdout)
        self.assertEqual(done.stderr, "Aborted!\n")
        self.assertEqual(self.queue_length(), 1)
        self.assertIn("Purged 1 message from 1 known task queue.", self.good("purge", input="y\n"))
        self.assertEqual(self.queue_length(), 0)

    def test_the_tasks_of_a_module_are_listed(self):
        tasks = self.good("list", "tasks").splitlines()
        self.assertEqual(tasks, sorted(tasks))
        self.assertIn("test.add", tasks)
        self.assertNotIn("celery.chord", tasks)

    def test_bindings_are_those_of_the_configuration(self):
        self.assertEqual(self.good("list", "bindings", bare=True),
                         "Queue                        Exchange                     Routing Key\n"
                         "----------------             ----------------             ----------------\n"
                         "celery                       celery                       celery\n")
        self.write("celeryconfig.py", "from kombu import Exchange, Queue\n"
                                      "task_queues = [Queue('a', Exchange('x', type='topic'), routing_key='a.#'), Queue('b')]\n")
        self.assertEqual(json.loads(self.good("list", "bindings", "--json", bare=True))[0],
                         {"queue": "a", "exchange": "x", "routing_key": "a.#"})

    def test_a_result_that_does_not_come_ends_with_69(self):
        done = self.run_command("result", "--timeout", "0.05", self.call("test.add", 1, 2))
        self.assertEqual(done.returncode, 69)
        self.assertTrue(done.stderr.startswith("Error: "))

    def test_a_file_that_is_no_database_is_refused_and_left_alone(self):
        self.write("test.db", "my diary\n" * 1000)
        done = self.run_command("list", "queues")
        self.assertEqual(done.returncode, 1)
        self.assertIn("test.db", done.stderr)
        self.assertEqual(self.read("test.db"), "my diary\n" * 1000)

    def test_a_database_of_another_program_is_refused_and_left_alone(self):
        connection = sqlite3.connect(self.db)
        connection.execute("CREATE TABLE diary(day TEXT)")
        connection.close()
        done = self.run_command("call", "test.add")
        self.assertEqual(done.returncode, 1)
        self.assertIn("test.db", done.stderr)
        self.assertEqual(self.query("SELECT name FROM sqlite_master"), [("diary",)])


class WorkerTest(support.Case):
    def test_a_worker_shows_its_banner_and_says_when_it_is_ready(self):
        worker = self.worker("-c", "3", "-Q", "b,a", "--without-gossip", "--without-mingle", "-E")
        self.assertEqual(worker.stop(), 0)
        text = "\n".join(worker.stdout)
        self.assertRegex(text, r"^ \n -------------- w1@test v\d+\.\d+\.\d+ \(celeriac\)\n--- \*{5} ----- \n-- \*{7} ---- Linux-")
        self.assertIn(f"\n- ** ---------- .> transport:   {self.url}\n- ** ---------- .> results:     {self.url}\n"
                      "- *** --- * --- .> concurrency: 3 (prefork)\n", text)
        self.assertIn("\n -------------- [queues]\n                .> a                exchange=a(direct) key=a\n"
                      "                .> b                exchange=b(direct) key=b\n                \n\n[tasks]\n", text)
        self.assertIn("\n  . test.add\n", text)
        self.assertRegex(worker.stderr[0], STAMP + r"INFO/MainProcess\] Connected to sqlite:///")
        self.assertRegex(worker.stderr[1], STAMP + r"INFO/MainProcess\] w1@test ready\.$")

    def test_quiet_means_no_banner_and_warning_no_lines(self):
        worker = self.spawn("-q", "worker", "-c", "1", kind=support.Worker)
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(worker.lines, ["", "worker: Warm shutdown (MainProcess)"])

    def test_a_task_that_succeeds_is_logged_as_in_celery(self):
        worker = self.worker("-c", "1")
        task_id = self.call("test.echo", {"a": [1, 2.5, True, None, "ä'"]})
        worker.expect(STAMP + rf"INFO/MainProcess\] Task test\.echo\[{task_id}\] received$")
        worker.expect(STAMP + rf"INFO/ForkPoolWorker-1\] Task test\.echo\[{task_id}\] succeeded in \d+(\.\d+)?(e-\d+)?s: "
                      + re.escape(r"""{'a': [1, 2.5, True, None, 'ä\'']}""") + "$")
        self.assertEqual(self.result(task_id), r"""{'a': [1, 2.5, True, None, 'ä\'']}""")

    def test_a_task_that_fails_is_logged_as_in_celery(self):
        worker = self.worker("-c", "1")
        task_id = self.call("test.fail", "it's broken", type="KeyError")
        worker.expect(STAMP + rf"ERROR/ForkPoolWorker-1\] Task test\.fail\[{task_id}\] raised unexpected: "
                      + re.escape('KeyError("it\'s broken")') + "$")
        worker.expect(r"^Traceback \(most recent call last\):$")
        done = self.run_command("result", task_id)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.splitlines()[0], "Traceback (most recent call last):")
        self.assertTrue(done.stderr.splitlines()[-1].startswith("KeyError: "))
        self.assertEqual(self.good("result", "--traceback", task_id).rstrip("\n"), done.stderr.rstrip("\n"))

    def test_an_expected_exception_and_a_retry_and_an_ignored_task_are_logged_at_info(self):
        worker = self.worker("-c", "1")
        first, second, third = self.call("test.expected", "x"), self.call("test.retry", 1), self.call("test.ignore")
        worker.expect(STAMP + rf"INFO/ForkPoolWorker-1\] Task test\.expected\[{first}\] raised expected: KeyError\('x'\)$")
        worker.rewind()
        worker.expect(STAMP + rf"INFO/ForkPoolWorker-1\] Task test\.retry\[{second}\] retry: Retry in 0s: Exception\('not yet'\)$")
        worker.rewind()
        worker.expect(STAMP + rf"INFO/ForkPoolWorker-1\] Task test\.ignore\[{third}\] ignored$")
        self.assertEqual(self.result(second), "1")

    def test_a_rejected_message_and_an_unknown_task_are_logged(self):
        worker = self.worker("-c", "1")
        task_id = self.call("test.reject")
        worker.expect(STAMP + rf"WARNING/ForkPoolWorker-1\] Task test\.reject\[{task_id}\] reject requeue=False: ")
        task_id = self.call("no.such.task")
        worker.expect(STAMP + r"ERROR/MainProcess\] Received unregistered task of type 'no\.such\.task'")
        self.assertEqual(self.failure(task_id), "NotRegistered: 'no.such.task'")

    def test_what_a_task_logs_names_the_task(self):
        worker = self.worker("-c", "1")
        task_id = self.call("test.log", 30, "hello")
        worker.expect(STAMP + rf"WARNING/ForkPoolWorker-1\] test\.log\[{task_id}\]: hello$")

    def test_a_process_that_dies_is_replaced_and_its_task_is_lost(self):
        worker = self.worker("-c", "1")
        task_id = self.call("test.crash")
        worker.expect(STAMP + r"ERROR/MainProcess\] Process 'ForkPoolWorker-1' pid:\d+ exited with 'signal 11 \(SIGSEGV\)'$")
        self.assertRegex(self.failure(task_id), r"^WorkerLostError: Worker exited prematurely: signal 11 \(SIGSEGV\)")
        self.assertRegex(self.failure(self.call("test.exit", 3)), r"^WorkerLostError: Worker exited prematurely: exitcode 3")
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")

    def test_every_pool_runs_tasks(self):
        for pool in ("prefork", "threads", "solo"):
            with self.subTest(pool=pool):
                worker = self.worker("-P", pool, "-c", "2")
                self.assertEqual(self.result(self.call("test.add", 40, 2)), "42")
                self.assertEqual(worker.stop(), 0)
                self.assertIn(f"({pool})", worker.text)

    def test_a_file_takes_the_log_and_can_be_rotated(self):
        worker = self.worker("-c", "1", "-f", self.path("%n.log"), wait=False)
        support.wait_until(lambda: os.path.exists(self.path("w1.log")) and "ready." in self.read("w1.log"), "a worker that is ready")
        os.rename(self.path("w1.log"), self.path("w1.log.1"))
        worker.signal(signal.SIGUSR1)
        support.wait_until(lambda: os.path.exists(self.path("w1.log")), "a new log file")
        self.call("test.add", 1, 2)
        support.wait_until(lambda: "succeeded in" in self.read("w1.log"), "lines in the new file")
        self.assertEqual(worker.stop(), 0)
        self.assertEqual(worker.stderr, ["", "worker: Warm shutdown (MainProcess)"])


class EndTest(support.Case):
    def busy_worker(self, *options, task="test.gate"):
        """A worker of one process that runs a task, which ends when the file `gate` is there."""
        worker = self.worker("-c", "1", *options)
        task_id = self.call(task, self.path("gate"), "done")
        self.wait_for_lines("gate.started", 1)
        return worker, task_id

    def test_term_finishes_what_runs_and_leaves_the_rest(self):
        worker, running = self.busy_worker()
        waiting = [self.call("test.add", i, i) for i in range(3)]
        worker.signal(signal.SIGTERM)
        worker.expect(r"^worker: Warm shutdown \(MainProcess\)$")
        self.write("gate", "")
        self.assertEqual(worker.wait(), 0)
        self.assertEqual(self.result(running), "done")
        self.assertEqual(self.queue_length(), 3)
        self.worker("-c", "1", name="w2@test")
        self.assertEqual([self.result(task_id) for task_id in waiting], ["0", "2", "4"])

    def test_a_remapped_term_is_cold(self):
        worker = self.worker("-c", "1", env={"REMAP_SIGTERM": "SIGQUIT"})
        worker.signal(signal.SIGTERM)
        worker.expect(r"^worker: Cold shutdown \(MainProcess\)$")
        self.assertEqual(worker.wait(), 0)

    def test_quit_stops_at_once_and_hands_a_late_task_back(self):
        worker, running = self.busy_worker(task="test.late.gate")
        self.assertEqual(worker.stop(signal.SIGQUIT), 0)
        self.assertIn("worker: Cold shutdown (MainProcess)", worker.stderr)
        self.assertEqual(self.queue_length(), 1)
        self.write("gate", "")
        self.worker("-c", "1", name="w2@test")
        self.assertEqual(self.result(running), "done")

    def test_quit_makes_an_early_task_a_failure_that_somebody_hears_of(self):
        worker, running = self.busy_worker()
        self.assertEqual(worker.stop(signal.SIGQUIT), 0)
        self.assertEqual(self.queue_length(), 0)
        self.assertRegex(self.failure(running), "^WorkerLostError: ")

    def test_a_second_interrupt_is_cold(self):
        worker, _ = self.busy_worker()
        worker.signal(signal.SIGINT)
        worker.expect(r"^worker: Hitting Ctrl\+C again will terminate all running tasks!$")
        worker.expect(r"^worker: Warm shutdown \(MainProcess\)$")
        worker.signal(signal.SIGINT)
        worker.expect(r"^worker: Cold shutdown \(MainProcess\)$")
        self.assertEqual(worker.wait(), 0)

    def test_no_process_is_left_behind_when_the_worker_is_killed(self):
        worker, _ = self.busy_worker()
        children = worker.children()
        self.assertGreaterEqual(len(children), 1)
        worker.kill()
        support.wait_until(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in children), "all children gone")

    def test_one_pidfile_is_for_one_worker(self):
        path = self.path("w.pid")
        worker = self.worker("-c", "1", "--pidfile", path)
        self.assertEqual(self.read("w.pid"), f"{worker.pid}\n")
        done = self.run_command("worker", "-c", "1", "--pidfile", path)
        self.assertEqual(done.returncode, 73)
        self.assertIn(f"ERROR: Pidfile ({path}) already exists.\nSeems we're already running? (pid: {worker.pid})\n", done.stderr)
        self.assertEqual(worker.stop(), 0)
        self.assertFalse(os.path.exists(path))

    def test_a_stale_pidfile_is_replaced(self):
        worker = self.worker("-c", "1", "--pidfile", self.path("w.pid"))
        worker.kill()
        self.assertTrue(os.path.exists(self.path("w.pid")))
        second = self.worker("-c", "1", "--pidfile", self.path("w.pid"))
        self.assertIn("Stale pidfile exists - Removing it.", second.stderr)
        self.assertEqual(self.read("w.pid"), f"{second.pid}\n")

    def test_hup_starts_the_same_worker_anew(self):
        os.mkdir(self.path("below"))
        worker = self.spawn("--workdir", "below", "worker", "-c", "1", "-l", "info", kind=support.Worker).ready()
        worker.signal(signal.SIGHUP)
        worker.ready()
        self.assertIsNone(worker.popen.poll())
        self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")
        self.assertEqual(worker.stop(), 0)

    def test_hup_starts_the_program_that_is_installed_now(self):
        program = self.path("celeriac")
        os.symlink(self.celeriac, program)
        self.celeriac = program
        worker = self.worker("-c", "1")
        os.remove(program)
        self.write("celeriac", "#!/bin/sh\necho new program: $1\n")
        os.chmod(program, 0o755)
        worker.signal(signal.SIGHUP)
        worker.expect("^new program: -b")
        self.assertEqual(worker.wait(), 0)

    def test_who_ends_a_worker_that_restarts_means_it(self):
        worker = self.worker("-c", "1")
        self.call("test.gate", self.path("gate"))
        self.wait_for_lines("gate.started", 1)
        worker.signal(signal.SIGHUP)
        support.wait_until(lambda: self.query("SELECT count(*) FROM consumer c JOIN queue q ON q.id=c.queue WHERE q.name='celery'") == [(0,)],
                           "a worker that consumes no more")  # but its mailbox
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)

    def test_a_detached_worker_runs_on_and_is_ended_by_its_pidfile(self):
        self.good("worker", "-c", "1", "-l", "info", "-D", "--pidfile", self.path("w.pid"), "-f", self.path("w.log"))
        support.wait_until(lambda: os.path.exists(self.path("w.log")) and "ready." in self.read("w.log"), "a daemon that is ready")
        pid = int(self.read("w.pid"))
        try:
            self.assertEqual(self.result(self.call("test.add", 1, 2)), "3")
        finally:
            os.kill(pid, signal.SIGTERM)
        support.wait_until(lambda: not os.path.exists(self.path("w.pid")), "the end of the daemon")

    def test_a_daemon_that_does_not_start_is_told(self):
        done = self.run_command("worker", "-c", "1", "-D", "-f", self.path("no/such/folder.log"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("no/such/folder.log': No such file or directory", done.stderr)
        first = self.worker("-c", "1", "--pidfile", self.path("w.pid"))
        done = self.run_command("worker", "-c", "1", "-D", "--pidfile", self.path("w.pid"))
        self.assertEqual(done.returncode, 73)
        self.assertIn(f"(pid: {first.pid})", done.stderr)

    def test_a_pool_that_cannot_keep_a_hard_limit_refuses_it(self):
        done = self.run_command("worker", "-P", "threads", "--time-limit", "5")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no hard time limit can be kept", done.stderr)

    def test_purge_at_the_start_empties_the_queue(self):
        for _ in range(3):
            self.call("test.add", 1, 2)
        worker = self.worker("-c", "1", "--purge")
        self.assertIn("purge: Erased 3 messages from the queue.", worker.stdout)
        self.assertEqual(worker.stop(), 0)
        self.assertNotIn("received", worker.text)



class ApplyTest(canvas.Case):
    def test_apply_sends_canvases_of_all_kinds(self):
        self.worker("-c", "2")
        forms = [(canvas.sig("test.add", 2, 3), "5"),
                 (canvas.chain(canvas.sig("test.add", 1, 2), canvas.sig("test.add", 10)), "13"),
                 (canvas.group([canvas.sig("test.add", i, 1) for i in range(3)]), "[1, 2, 3]"),
                 (canvas.chord([canvas.sig("test.add", i, 1) for i in range(3)], canvas.sig("test.xsum")), "6")]
        for form, value in forms:
            with self.subTest(form=form["task"]):
                self.assertEqual(self.good("apply", json.dumps(form), "--wait", "--timeout", "60").strip(), value)
        task_id = self.good("apply", "-", input=json.dumps(forms[1][0])).strip()
        self.assertEqual(self.result(task_id), "13")
        task_id = self.good("apply", self.write("canvas.json", json.dumps(forms[3][0]))).strip()
        self.assertEqual(self.result(task_id), "6")
        done = self.run_command("apply", "--wait", json.dumps(canvas.sig("test.fail", "no luck")))
        self.assertEqual((done.returncode, done.stderr.strip().splitlines()[-1]), (1, "ValueError: no luck"))

    def test_apply_says_what_is_no_signature(self):
        for word, complaint in (('{"task": ', "Invalid signature"), ('{"args": []}', "needs a task name"),
                                ("nowhere.json", "neither JSON nor a file")):
            with self.subTest(word=word):
                done = self.run_command("apply", word)
                self.assertEqual(done.returncode, 2)
                self.assertIn(complaint, done.stderr)
        done = self.run_command("apply", json.dumps(canvas.chain()))
        self.assertEqual(done.returncode, 1)
        self.assertIn("a chain has no tasks", done.stderr)


if __name__ == "__main__":
    support.main()
