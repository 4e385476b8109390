"""Python's side of canvas_interop_test.py: the tasks of a worker of Python's Celery, and a client that does what
tests/modules/canvasclient.c does, with Celery's own constructors.

    python3 -m celery -A canvas_peer worker ...        python3 canvas_peer.py < lines
"""
import json
import os
import sys
import time

import celery
from celery.result import GroupResult
from celery.utils.abstract import CallableSignature

app = celery.Celery("canvas_peer", broker=os.environ["TEST_BROKER"], backend=os.environ["TEST_STORE"])
app.conf.task_default_queue = os.environ["CELERY_TASK_DEFAULT_QUEUE"]
app.conf.broker_connection_retry = False
app.conf.result_chord_join_timeout = 30


@app.task(name="test.who", bind=True)
def who(self, *args):
    info = self.request
    return {"label": args[-1], "args": list(args[:-1]), "id": info.id, "root": info.root_id, "parent": info.parent_id,
            "group": info.group, "index": info.group_index}


@app.task(name="test.who_fails")
def who_fails(*args):
    raise ValueError(args[-1])


@app.task(name="test.tell")
def tell(*args):
    with open(args[-2], "a", encoding="utf-8") as file:
        file.write(json.dumps([args[-1], list(args[:-2])]) + "\n")


@app.task(name="test.hear")
def hear(task_id=None, *, path, label):
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps([label, [] if task_id is None else [task_id]]) + "\n")


@app.task(name="test.add")
def add(x, y):
    return x + y


@app.task(name="test.echo")
def echo(value=None):
    return value


@app.task(name="test.xsum")
def total(numbers):
    return sum(numbers)


@app.task(name="test.replace", bind=True)
def replace(self, *args):
    return self.replace(app.signature(args[-1]).clone(args[:-1]) if args[:-1] else app.signature(args[-1]))


@app.task(name="test.add_to_chord", bind=True)
def add_to_chord(self, *args):
    self.add_to_chord(app.signature(args[-1]))
    return list(args[:-1])


# ---- the client ----

def build(tree):
    made = build_bare(tree)
    made.options.update(tree.get("set", {}))
    for link in tree.get("link", []):
        made.link(build(link))
    for link in tree.get("link_error", []):
        made.link_error(build(link))
    if tree.get("immutable"):
        made.set_immutable(True)
    return made


def build_bare(tree):
    kind = tree["op"]
    if kind == "task":
        return app.signature(tree["name"], args=tree["args"], kwargs=tree.get("kwargs", {}))
    if kind == "chain":
        return celery.chain([build(part) for part in tree["parts"]])
    if kind == "group":
        return celery.group([build(part) for part in tree["parts"]])
    if kind == "chord":
        return celery.chord([build(part) for part in tree["header"]], build(tree["body"]))
    if kind == "chunks":
        return celery.chunks(app.signature(tree["name"]), tree["it"], tree["n"]).group()
    return {"map": celery.xmap, "starmap": celery.xstarmap}[kind](app.signature(tree["name"]), tree["it"])


def value_of(result, timeout):
    if isinstance(result, GroupResult):
        return [value_of(member, timeout) for member in result.results]
    return app.AsyncResult(result.id).get(timeout=timeout, interval=0.01)


def say(line):
    print(json.dumps(line), flush=True)


def main():
    sent = []
    for text in sys.stdin:
        line = json.loads(text)
        try:
            made = build(line["build"]) if "build" in line else app.signature(line["json"])
            form = json.loads(json.dumps(made, default=lambda value: list(value) if not isinstance(value, CallableSignature)
                                         else dict(value)))
            result = made.apply_async()
            sent.append((result, line["timeout"]))
            say({"sent": result.id, "signature": form})
        except Exception as failure:  # pylint: disable=broad-except
            sent.append((None, 0))
            say({"refused": repr(failure)})
    start = time.monotonic()
    for result, timeout in sent:
        if result is None:
            continue
        try:
            say({"value": value_of(result, max(start + timeout - time.monotonic(), 0.05))})
        except Exception as failure:  # pylint: disable=broad-except
            say({"error": type(failure).__name__, "message": str(failure)})


if __name__ == "__main__":
    app.set_current()
    main()
