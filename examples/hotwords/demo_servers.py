"""What demo-servers.sh shows: the job of the user's picture, on a private RabbitMQ and a private Redis.

Each step is a command as a person would type it, printed before its output. The steps are checked: if one does not show what it is
to show, this ends with status 1.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, os.pardir, "tests", "tools"))
import rabbitmq  # noqa: E402  pylint: disable=wrong-import-position
import redisserver  # noqa: E402  pylint: disable=wrong-import-position

VHOST = "dispatch_server_host"
PATIENCE = 120  # seconds that one step may take
REQUEST = {"dates": ["20200406", "20200407"], "levels": [[1, 450], [451, 900]], "top": 20}


class Failed(Exception):
    """A step did not show what it is to show."""


def say(text):
    print(f"\n# {text}", flush=True)


class Demo:
    def __init__(self, build, folder, rabbit, redis):
        self.folder, self.rabbit, self.redis = folder, rabbit, redis
        self.page = os.path.join(build, "hotwords.html")
        keep = {key: value for key, value in os.environ.items()
                if not re.match(r"^(CELERY_|BROKER_|RESULT_BACKEND$|CONFIG_MODULE$|HOTWORDS_DICT$)", key)}
        self.env = {**keep, "PATH": f"{build}/src:{build}/examples/hotwords:" + keep.get("PATH", ""),
                    "CELERIAC_PATH": f"{build}/examples/hotwords"}
        self.running = []

    # ---- commands

    def start(self, command, log):
        print(f"$ {command} &", flush=True)
        with open(os.path.join(self.folder, log), "wb") as output:
            process = subprocess.Popen(command.split(), cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT)
        self.running.append(process)
        return process

    def log(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for(self, what, condition, process=None):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline or (process is not None and process.poll() not in (None, 0)):
                raise Failed(f"{what}: did not come")
            time.sleep(0.05)  # the step of a look

    def run(self, *words):
        print("$ " + " ".join(f"'{word}'" if re.search(r"[ {*\"]", word) else word for word in words), flush=True)
        done = subprocess.run(words, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              timeout=PATIENCE, check=False)
        print(done.stdout, end="", flush=True)
        if done.returncode != 0:
            raise Failed(f"{words[0]} ended with status {done.returncode}")
        return done.stdout

    def stop(self, process):
        print(f"$ kill -TERM {process.pid}", flush=True)
        process.send_signal(signal.SIGTERM)
        status = process.wait(PATIENCE)
        self.running.remove(process)
        if status != 0:
            raise Failed(f"it ended with status {status}")

    def end(self):
        for process in self.running:
            process.kill()
            process.wait()

    def queues(self):
        """name: (messages, durable), as RabbitMQ says."""
        print(f"$ rabbitmqctl list_queues -p {VHOST} name messages durable", flush=True)
        text = self.rabbit.ctl("list_queues", "-p", VHOST, "name", "messages", "durable", "--no-table-headers")
        print(text, end="", flush=True)
        rows = [line.split("\t") for line in text.splitlines()]
        return {row[0]: (int(row[1]), row[2] == "true") for row in rows}

    def keys(self):
        print("$ redis-cli -n 1 KEYS 'celery-task-meta-*'", flush=True)
        keys = self.redis.keys("celery-task-meta-*")
        print("\n".join(keys) or "(none)", flush=True)
        return keys

    # ---- the steps

    def check(self, what, good):
        if not good:
            raise Failed(what)

    def play(self):
        say("The configuration, as a Celery project has it.")
        text = (f"BROKER_URL = 'amqp://root:root@127.0.0.1:{self.rabbit.port}/{VHOST}'\n"
                f'CELERY_RESULT_BACKEND = "{self.redis.url()}"\n'
                "CELERY_INCLUDE = ['hotwords']\n")
        with open(os.path.join(self.folder, "celeryconfig.py"), "w", encoding="utf-8") as file:
            file.write(text)
        print("$ cat celeryconfig.py\n" + text, end="")

        say("The dispatcher takes requests from queue_rpc.")
        dispatcher = self.start("celeriac -A hotwords --config celeryconfig dispatch -Q queue_rpc -l info", "dispatch.log")
        self.wait_for("the dispatcher", lambda: " ready." in self.log("dispatch.log"), dispatcher)

        say("The parameters go to queue_rpc; the dispatcher sends four tasks of one group and answers with their ids.")
        answer = json.loads(self.run("celeriac", "--config", "celeryconfig", "rpc", "hot_words", json.dumps(REQUEST)))
        self.check("four parts", len(answer["parts"]) == 4)

        say("Nobody is there to do them: they wait in celery_test.")
        queues = self.queues()
        self.check("four waiting messages in durable queues", queues.get("celery_test") == (4, True) and queues["queue_rpc"] == (0, True))
        self.check("no result yet", self.keys() == [])

        say("A worker with four processes, started as one starts Celery's.")
        worker = self.start("celeriac -A hotwords --config celeryconfig worker -n celery_test -c 4 -l info -Q celery_test", "worker.log")
        self.wait_for("the result", lambda: self.redis.cli("EXISTS", f"celery-task-meta-{answer['id']}") == "1", worker)
        self.wait_for("the worker", lambda: " ready." in self.log("worker.log"), worker)

        say("Redis db 1 holds the five results, each under its id.")
        keys = self.keys()
        self.check("five results under their ids",
                   keys == sorted(f"celery-task-meta-{task_id}" for task_id in [answer["id"], *answer["parts"]]))
        self.check("they expire", all(int(self.redis.cli("TTL", key)) > 0 for key in keys))

        say("The same through the client of the example, which asks the dispatcher, waits and shows the ranking.")
        self.run("hotwords", "--config", "celeryconfig", "--rpc", "--report", self.page)

        say("Both are asked to end when they have done what they are doing.")
        self.stop(worker)
        self.stop(dispatcher)
        say("What they wrote (lines cut):")
        for name in "dispatch.log", "worker.log":
            print("\n".join(line[:140] for line in self.log(name).splitlines()))
            self.check(f"no complaint in {name}", not re.search(r"WARNING|ERROR|CRITICAL", self.log(name)))
        say(f"The page with the ranking as a picture: {self.page}")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        say("RabbitMQ and Redis start, for this demonstration alone.")
        with rabbitmq.Server() as rabbit, redisserver.Server() as redis:
            folder = tempfile.mkdtemp(prefix="celeriac-demo-")
            demo = Demo(sys.argv[1], folder, rabbit, redis)
            try:
                demo.play()
            finally:
                demo.end()
                shutil.rmtree(folder, ignore_errors=True)
    except (rabbitmq.Missing, redisserver.Missing) as missing:
        print(f"SKIP: {missing}")
        return 77
    except (Failed, subprocess.TimeoutExpired) as failed:
        print(f"demo-servers: {failed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
