#!/usr/bin/python3
"""ETA messages of senders that know nothing of delayed delivery: the worker must not keep them in its memory.

    CELERIAC=BUILD/src/celeriac BENCH_MODULE=BUILD/bench/noop.so bench_eta.py

Puts BENCH_ETA_OLD (200,000) messages that are due in an hour, as Celery 5.2 sends them, into a queue of a private RabbitMQ, starts a
worker, and watches its memory until all wait in the server. An ordinary task sent meanwhile shows how long others wait."""
import datetime
import json
import os
import signal
import subprocess
import sys
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "tests", "tools"))
import rabbitmq  # noqa: E402  pylint: disable=wrong-import-position

MESSAGES = int(os.environ.get("BENCH_ETA_OLD", "200000"))
TASK = "bench.noop"
HELD = 1100  # at most that many does the worker keep: worker_eta_task_limit, and its prefetch


def publish(channel, count):
    """As Celery 5.2 does with countdown=3600: protocol 2, the ETA in a header, straight into the queue."""
    import amqp  # pylint: disable=import-outside-toplevel
    eta = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).isoformat()
    body = json.dumps([[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    for _ in range(count):
        task_id = str(uuid.uuid4())
        headers = {"lang": "py", "task": TASK, "id": task_id, "shadow": None, "eta": eta, "expires": None, "group": None,
                   "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": task_id, "parent_id": None,
                   "argsrepr": "()", "kwargsrepr": "{}", "origin": "gen1@old", "ignore_result": True}
        message = amqp.Message(body, content_type="application/json", content_encoding="utf-8", delivery_mode=2, priority=0,
                               correlation_id=task_id, application_headers=headers)
        channel.basic_publish(message, "", "bench")


def resident_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def waiting(channel):
    """(in the queue, for their ETA in the server)."""
    def count(name):
        import amqp  # pylint: disable=import-outside-toplevel
        try:
            return channel.queue_declare(name, passive=True).message_count
        except amqp.NotFound:
            channel.open()
            return 0
    return count("bench"), sum(count(f"celery_delayed_{level}") for level in (11, 10, 9))


def measure(server, url):
    import amqp  # pylint: disable=import-outside-toplevel
    connection = amqp.Connection(f"127.0.0.1:{server.port}", virtual_host="t0")
    connection.connect()
    channel = connection.channel()
    channel.queue_declare("bench", durable=True, auto_delete=False)
    began = time.monotonic()
    publish(channel, MESSAGES)
    print(f"{MESSAGES:,} messages due in an hour put into the queue in {time.monotonic() - began:.0f} s")
    command = [os.environ["CELERIAC"], "-b", url, "--result-backend", "memory://", "-A", os.environ["BENCH_MODULE"]]
    worker = subprocess.Popen(command + ["worker", "-Q", "bench", "-c", "1", "-l", "warning", "-q"], stdin=subprocess.DEVNULL)
    began, samples = time.monotonic(), []
    try:
        while True:
            left, moved = waiting(channel)
            samples.append((moved, resident_kb(worker.pid)))
            if moved >= MESSAGES - HELD and left == 0:
                break
            if worker.poll() is not None or time.monotonic() - began > 3600:
                sys.exit("the worker does not move them")
            time.sleep(0.5)
        seconds = time.monotonic() - began
        early = max(kb for moved, kb in samples if moved <= MESSAGES // 10 or moved == samples[0][0])
        print(f"the worker has {moved:,} of them wait in the server after {seconds:.0f} s ({moved / seconds:,.0f} a second)")
        print(f"its resident memory: {early:,} kB at most in the first tenth, {max(kb for _, kb in samples):,} kB at most, "
              f"{samples[-1][1]:,} kB at the end")
    finally:
        worker.terminate()
        worker.wait(60)
        connection.close()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is ended, too
    try:
        with rabbitmq.Server(machine="") as server:
            measure(server, server.url("t0"))
    except rabbitmq.Missing as missing:
        print(f"skipped: {missing}")


if __name__ == "__main__":
    main()
