"""The example's job with its chat records in a table of a private MariaDB server."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import unittest
import urllib.parse

import hotwords_test
import support

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tools"))
import mariadbserver  # noqa: E402  pylint: disable=wrong-import-position

SERVER = None
SECRETS = [mariadbserver.PASSWORD, urllib.parse.quote(mariadbserver.PASSWORD, safe="")]


def setUpModule():
    global SERVER  # pylint: disable=global-statement
    try:
        SERVER = mariadbserver.Server()
    except mariadbserver.Missing as missing:
        raise unittest.SkipTest(str(missing)) from None


def tearDownModule():
    if SERVER is not None:
        SERVER.close()


class TableCase(hotwords_test.JobCase):
    """The sample records in the table `chat`, put there once by hotwords-load."""

    def setUp(self):
        super().setUp()
        self.loader = support.path_of("HOTWORDS_LOAD")
        if not SERVER.sql("SHOW TABLES LIKE 'chat'"):
            files = [os.path.join(self.sample, name) for name in ("20200406.jsonl", "20200407.jsonl")]
            self.assertEqual(self.load("--to", SERVER.url(), *files), "".join(f"{name}: 1500 records\n" for name in files))

    def load(self, *words, status=0, env=None):
        """Runs the loader; returns its standard output, or of a failure its standard error."""
        done = subprocess.run([self.loader, *words], cwd=self.dir, env={**self.env, **(env or {})}, text=True, encoding="utf-8",
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=support.TIMEOUT, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stderr if status else done.stdout

    def part(self, data, *args, options=()):
        """Sends one part of the job and returns its id."""
        return self.call("make_result_str", *(args or ("20200406", 1, 450)), data=data, options=("--queue", "celery_test", *options))

    def model(self, data, *options):
        return json.loads(self.hotwords("--json", "--data", data, *options))

    def table(self, name, columns, rows):
        """Makes a table of the game's database; SQL as it is."""
        quoted = "`" + name.replace("`", "``") + "`"
        SERVER.sql(f"DROP TABLE IF EXISTS {quoted}; CREATE TABLE {quoted} ({columns}) DEFAULT CHARSET=utf8mb4;"
                   f"SET sql_mode=''; INSERT INTO {quoted} VALUES {rows}")

    def assert_no_secret(self, *texts):
        for text in texts:
            for secret in SECRETS:
                self.assertNotIn(secret, text)


class RankingTest(TableCase):
    def test_the_ranking_is_that_of_the_files(self):
        worker = self.job_worker()
        self.assert_expected(self.sample, self.model(SERVER.url()))
        worker.stop()
        self.assertNotRegex(worker.text, r"ERROR|CRITICAL|WARNING")
        self.assert_no_secret(worker.text)
        worker = self.job_worker("-P", "threads", env={"HOTWORDS_DATA": SERVER.url(read_timeout=5)})
        self.assert_expected(self.sample, self.model(f"mysql://chat:{SECRETS[1]}@nowhere:1/game/chat?socket={SERVER.socket}"))
        self.assert_expected(self.sample, json.loads(self.hotwords("--json")))
        self.assert_no_secret(worker.text, repr(self.query("SELECT document FROM result")))

    def test_the_connection_may_be_tls(self):
        self.job_worker()
        SERVER.sql("ALTER USER chat@'%' REQUIRE SSL")
        self.addCleanup(SERVER.sql, "ALTER USER chat@'%' REQUIRE NONE")
        self.assert_expected(self.sample, self.model(SERVER.url(ca=SERVER.ca)))
        self.assertRegex(self.failure(self.part(SERVER.url())), "^PermissionError: .*Access denied")
        self.assertRegex(self.failure(self.part(SERVER.url(ca=SERVER.ca).replace("127.0.0.1", "localhost"))), "^OSError: .*(TLS|SSL)")
        self.assertRegex(self.failure(self.part(SERVER.url(ca="/etc/ssl/certs/ca-certificates.crt"))), "^OSError: .*(TLS|SSL)")

    def test_what_a_day_is_depends_on_the_columns_type(self):
        self.job_worker()
        days = {"DATETIME(3)": ["'2020-04-06 00:00:00'", "'2020-04-06 23:59:59.999'", "'2020-04-07'", "'2020-04-05 23:59:59'"],
                "DATE": ["'2020-04-06'", "'20200406'", "'2020-04-07'", "NULL"],
                "INT": ["20200406", "20200406", "20200407", "0"],
                "VARCHAR(10) CHARACTER SET latin1": ["'20200406'", "'2020-04-06'", "'2020-04-07'", "'x'"]}
        for kind, values in days.items():
            with self.subTest(kind=kind):
                self.table("da`y s", f"`a``day` {kind}, `lv` SMALLINT UNSIGNED, `m s%g` TEXT CHARACTER SET gbk",
                           ", ".join(f"({value}, 7, '你好世界')" for value in values))
                url = SERVER.url("da`y s", date="a`day", level="lv", text="m s%g").replace("+", "%20")
                model = self.model(url, "--dates", "20200406", "--levels", "1-7")
                self.assertEqual(model["merged"]["records"], 2)
                self.assertEqual(model["merged"]["top100"], [["你好", 2], ["世界", 2]][::-1])

    def test_bad_rows_are_counted_in_every_part(self):
        good = "('2020-04-06', 7, '你好'), ('2020-04-06', 900, '世界')"
        bad = ("('2020-04-06', NULL, 'x'), ('2020-04-06', 7, NULL), ('2020-04-06', 0, 'x'), ('2020-04-06', -5, 'x'),"
               "('2020-04-06', 9223372036854775807, 'x'), ('2020-04-06', 8, 0x61FF), ('2020-04-06', 8, REPEAT('x', 1048577))")
        self.table("bad", "date DATE, level BIGINT, text LONGBLOB", good + "," + bad + ", ('2020-04-06', 8, REPEAT('好 ', 262144))")
        worker = self.job_worker()
        model = self.model(SERVER.url("bad"), "--dates", "20200406")
        want = {"missing_field": 2, "level_out_of_range": 3, "invalid_utf8": 1, "line_too_long": 1}
        for part in (*model["partitions"], model["merged"]):
            self.assertEqual({kind: bad["count"] for kind, bad in part["bad_records"].items()}, want)
        self.assertEqual([part["records"] for part in model["partitions"]], [2, 1])
        worker.expect(r"WARNING/.*mysql://chat@127\.0\.0\.1:\d+/game/bad: left out 2 bad records \(missing_field\), first in row \d+$")

    def test_a_range_without_rows_is_empty_but_a_day_without_is_an_error(self):
        self.job_worker()
        self.assertEqual(self.model(SERVER.url(), "--levels", "901-902")["merged"]["records"], 0)
        self.assertRegex(self.failure(self.part(SERVER.url(), "20200408", 1, 450)),
                         r"^LookupError: mysql://chat@127\.0\.0\.1:\d+/game/chat: no chat records of the day 20200408: no row has it "
                         r"in the column 'date'$")


class FailureTest(TableCase):
    def test_what_is_wrong_is_named_and_not_retried(self):
        worker = self.job_worker()
        self.table("types", "date DATE, level VARCHAR(9), text INT, at TIME", "('2020-04-06', '1', 1, '1:00')")
        cases = [
            (SERVER.url(password="sesame"), "PermissionError: .*Access denied for user 'chat'@"),
            (SERVER.url(database="secret"), r"PermissionError: .*Access denied for user 'chat'@.* to database 'secret'"),
            (SERVER.url("nochat"), "LookupError: .*Table 'game.nochat' doesn't exist"),
            (SERVER.url(level="lv`"), "LookupError: .*Unknown column 'lv`'"),
            (SERVER.url("types"), "ValueError: .*the column 'level' holds no levels"),
            (SERVER.url("types", date="at"), "ValueError: .*the column 'at' holds no days"),
            (SERVER.url("types", level="text"), "LookupError|ValueError: .*the column 'text' holds no text"),
            (SERVER.url("chat` -- x"), "LookupError: .*Table 'game.chat` -- x' doesn't exist"),
            (SERVER.url() + "?password=sesame", "ValueError: the table's URL has an unknown parameter"),
        ]
        failures = [self.failure(self.part(url)) for url, _ in cases]
        for (url, message), failure in zip(cases, failures):
            with self.subTest(url=url):
                self.assertRegex(failure, "^" + message)
        self.assert_no_secret(worker.text, *failures)
        self.assertNotIn("sesame", worker.text + "".join(failures))
        self.assertNotIn("Retry in", worker.text)

    def test_a_wrong_url_is_refused_by_the_client(self):
        text = self.hotwords("--data", "mysql://chat:sesame@host/game", status=1)
        self.assertRegex(text, "^hotwords: 'data': the table's URL must be mysql://user:password@host:port/database/table")
        self.assertNotIn("sesame", text)

    def test_the_password_is_not_in_what_is_shown_of_the_arguments(self):
        self.assertEqual(self.hotwords("--data", SERVER.url(), "--timeout", "0.1", status=69).count("sesame"), 0)
        shown = [json.loads(headers)["argsrepr"] for (headers,) in self.query("SELECT headers FROM messages WHERE queue='celery_test'")]
        self.assertEqual(shown[0], "('20200406', 1, 450, '{}')".format(SERVER.url().replace(SECRETS[1], "**")))
        self.assertEqual(len(shown), 4)
        self.assert_no_secret(*shown)

    def test_a_server_that_stays_away_fails_with_its_reason(self):
        worker = self.job_worker(env={"HOTWORDS_RETRY_MS": "10"})
        task_id = self.part("mysql://chat:sesame@127.0.0.1:1/game/chat")
        self.assertRegex(self.failure(task_id), r"^ConnectionError: mysql://chat@127\.0\.0\.1:1/game/chat: Can't connect .*\(error 2002\)$")
        self.assertEqual(worker.text.count("Retry in"), 6)
        self.assertNotIn("sesame", worker.text)

    def test_a_killed_server_that_comes_back_loses_nothing(self):
        worker = self.job_worker(env={"HOTWORDS_RETRY_MS": "100"})
        # Slow enough to be killed between the first rows and the last.
        SERVER.sql("CREATE OR REPLACE VIEW slow AS SELECT date, level, text FROM chat WHERE SLEEP(0.001) = 0")
        sent = self.bytes_sent()
        client = support.Process([self.client, "-b", self.url, "--json", "--data", SERVER.url("slow")], self.dir, self.env)
        self._processes.append(client)
        support.wait_until(lambda: self.bytes_sent() > sent + 40000, "rows on their way")
        SERVER.kill()
        worker.expect(r"Retry in 0\.1s: ConnectionError\(.*(error 2006|error 2013)")
        SERVER.start()
        self.assertEqual(client.wait(), 0, client.text)
        self.assert_expected(self.sample, json.loads("\n".join(client.stdout)))
        self.assert_no_secret(worker.text, client.text)

    @staticmethod
    def bytes_sent():
        return int(SERVER.sql("SHOW GLOBAL STATUS LIKE 'Bytes_sent'").split()[1])

    @contextlib.contextmanager
    def locked(self):
        """Nobody can read the table."""
        with subprocess.Popen([SERVER.client, "--no-defaults", f"--socket={SERVER.socket}", "--user=root", "game"], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as client:
            client.stdin.write("LOCK TABLES chat WRITE;\n")
            client.stdin.flush()
            support.wait_until(lambda: SERVER.sql("SHOW OPEN TABLES FROM game WHERE `Table`='chat' AND In_use > 0"), "the lock")
            yield
            client.stdin.close()

    def test_a_soft_time_limit_ends_a_query(self):
        for pool in "prefork", "threads":
            with self.subTest(pool=pool), self.locked():
                worker = self.job_worker("-P", pool, "--soft-time-limit", "0.5")
                self.assertRegex(self.failure(self.part(SERVER.url())), r"SoftTimeLimitExceeded\(")
                self.assertEqual(worker.stop(), 0)

    def test_a_silent_server_is_one_that_is_lost(self):
        worker = self.job_worker(env={"HOTWORDS_RETRY_MS": "10"})
        silence = r"Retry in 0\.01s: ConnectionError\(.*no answer from the server in time"
        with self.locked():
            task_id = self.part(SERVER.url(read_timeout=1))
            worker.expect(silence)
        self.assertIn("'records': 747", self.result(task_id))
        SERVER.send(signal.SIGSTOP)
        try:
            task_id = self.part(SERVER.url(connect_timeout=1))
            worker.expect(silence)
        finally:
            SERVER.send(signal.SIGCONT)
        self.assertIn("'records': 747", self.result(task_id))


class LoaderTest(TableCase):
    def test_a_day_is_loaded_once_or_replaced(self):
        self.write("20200101.jsonl", '{"level": 1, "text": "你\\ud83d\\ude00好"}\n\nnonsense\n{"level": 2, "text": "b"}')
        url = {"HOTWORDS_DATA": SERVER.url("loaded", text="msg")}
        self.assertEqual(self.load("20200101.jsonl", env=url), "20200101.jsonl: 2 records, 1 bad one left out\n")
        self.assertEqual(SERVER.sql("SELECT date, level, msg FROM loaded"), "2020-01-01\t1\t你😀好\n2020-01-01\t2\tb")
        self.assertIn("/game/loaded has records of the day 20200101 already; --replace", self.load("20200101.jsonl", env=url, status=1))
        self.write("20200101.jsonl", '{"level": 3, "text": "c"}\n')
        self.load("--replace", "20200101.jsonl", env=url)
        self.assertEqual(SERVER.sql("SELECT level FROM loaded"), "3")

    def test_wrong_files_and_servers_are_named(self):
        self.assertIn("--to URL is missing", self.load("x", status=2))
        self.assertIn("no files", self.load("--to", "mysql://h/d/t", status=2))
        self.assertIn("'x.jsonl' is not named after its day", self.load("--to", SERVER.url("wrong"), "x.jsonl", status=1))
        self.assertIn("20200101.jsonl", self.load("--to", SERVER.url("wrong"), "20200101.jsonl", status=1))
        text = self.load("--to", "mysql://chat:sesame@127.0.0.1:1/game/chat", "x", status=69)
        self.assertRegex(text, r"^hotwords-load: mysql://chat@127\.0\.0\.1:1/game/chat: Can't connect")
        self.assertNotIn("sesame", text)


if __name__ == "__main__":
    support.main()
