#!/usr/bin/python3
"""Records what Celery publishes for a set of canvases: tests/vectors/canvas.json.

    /usr/bin/python3 tests/vectors/record_canvas.py

writes canvas.json beside itself; --check writes nothing and tells whether a run gives the same again (77, a skip,
with another Celery or none).

Nothing is sent: the last function before the broker and the result backend are replaced by lists. Each case has
`signature`, as it looks before Celery's `|` has joined anything where that is possible; `apply`: how it was sent;
`messages`, `sizes` (of chords, in the order in which they were set) and `result`, the handle as a tuple. Ids are
those of the run; readers rename them in the order in which they appear.
"""
import itertools
import json
import os
import sys
import uuid

# Before Celery and kombu bind uuid4 as a default argument: identifiers that count.
_ids = itertools.count(1)
uuid.uuid4 = lambda: uuid.UUID(int=next(_ids))

try:
    import celery
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(77)

from celery import Celery, chain, chord, group
from celery.backends.base import KeyValueStoreBackend
from celery.canvas import _chain, signature
from celery.result import GroupResult

ROOT = "11111111-1111-4111-8111-111111111111"
PARENT = "22222222-2222-4222-8222-222222222222"


class Recorder(KeyValueStoreBackend):
    supports_native_join = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.sizes, self.documents = [], []

    def get(self, key):
        return None

    def mget(self, keys):
        return [None for _ in keys]

    def set(self, key, value):
        pass

    def delete(self, key):
        pass

    def set_chord_size(self, group_id, chord_size):
        self.sizes.append([group_id, chord_size])

    def apply_chord(self, header_result_args, body, **kwargs):
        header = GroupResult(*header_result_args)
        if any(isinstance(result, GroupResult) for result in header.results):
            self.documents.append(json.loads(json.dumps(header.as_tuple())))


app = Celery("vectors", broker="memory://", set_as_current=True)
app.conf.result_backend = None
backend = Recorder(app)
type(app).backend = property(lambda self: backend)

published = []


def send_task_message(producer, name, message, **options):
    headers, properties, body, _ = message
    args, kwargs, embed = json.loads(json.dumps(body))
    published.append({
        "task": headers["task"], "id": headers["id"], "args": args, "kwargs": kwargs,
        "callbacks": embed["callbacks"], "errbacks": embed["errbacks"], "chain": embed["chain"],
        "chord": embed["chord"], "group": headers["group"], "group_index": headers["group_index"],
        "root_id": headers["root_id"], "parent_id": headers["parent_id"],
    })


type(app).thread_oid = "RT"
app.amqp.__dict__["send_task_message"] = send_task_message


def s(name, *args, **options):
    return signature(name, args=args, options=options, app=app)


def si(name, *args):
    return signature(name, args=args, immutable=True, app=app)


def raw(*parts):
    """A chain that nothing has been done to."""
    return _chain(*parts, app=app)


cases = []


def record(name, sig, before=None, **apply):
    """Sends `sig`; `before` is what C shall start from, if that is something else."""
    published.clear()
    backend.sizes.clear()
    backend.documents.clear()
    case = {"name": name, "signature": json.loads(json.dumps(before if before is not None else sig)),
            "apply": json.loads(json.dumps(apply))}
    result = sig.apply_async(**apply)
    case["messages"] = list(published)
    case["sizes"] = list(backend.sizes)
    case["documents"] = list(backend.documents)
    case["result"] = json.loads(json.dumps(result.as_tuple()))
    cases.append(json.loads(json.dumps(case)))


def record_chain(name, *parts, **apply):
    record(name, chain(*[part.clone() for part in parts]), raw(*[part.clone() for part in parts]), **apply)


def record_steps(name, sig):
    """What a worker sends for the steps of the chain after the first, one case per step."""
    published.clear()
    sig.apply_async()
    steps = published[0]["chain"]
    number = 0
    while steps:
        number += 1
        published.clear()
        backend.sizes.clear()
        backend.documents.clear()
        case = {"name": f"{name}, step {number}", "follow": json.loads(json.dumps(steps)), "retval": number}
        # celery/app/trace.py
        step = signature(steps.pop(), app=app)
        step.apply_async((number,), chain=steps, parent_id=PARENT, root_id=ROOT, priority=None)
        case["messages"] = list(published)
        case["sizes"] = list(backend.sizes)
        cases.append(json.loads(json.dumps(case)))


record("task", s("a", 1, 2))
record("task with partial arguments", s("a", 1), args=[9])
record("immutable task with partial arguments", si("a", 1), args=[9])
record("task with links", s("a", link=s("l"), link_error=[s("e"), s("f")]))
record("task with a given id", s("a"), task_id="33333333-3333-4333-8333-333333333333")
record_chain("chain", s("a", 1, 2), s("b", 3), s("c", 4))
record_chain("chain with partial arguments", s("a", 1), s("b"), args=[9])
record_chain("chain with links", s("a"), s("b"), s("c"), link=s("l"), link_error=s("e"))
record_chain("chain with a given id", s("a"), s("b"), task_id="33333333-3333-4333-8333-333333333333")
record_chain("chain in a chain", s("a"), chain(s("b"), s("c")), s("d"))
record_chain("chain with a group of one", s("a"), group([s("b")]), s("c"))
record_chain("chain that ends in a group", s("a"), group([s("b"), s("c")]))
record_chain("group, then a task", group([s("a"), s("b")]), s("c"))
record_chain("group, then two tasks", group([s("a"), s("b")]), s("c"), s("d"))
record_chain("task, group, task", s("a"), group([s("b"), s("c")]), s("d"))
record_chain("chord, then a group", chord([s("a"), s("b")], s("c")), group([s("d"), s("e")]))
record("group", group([s("a", 1), s("b", 2)]))
record("group with a group", group([s("a"), group([s("b"), s("c")]), s("d")]))
record("group with a chain", group([chain(s("a"), s("b")), s("c")]))
record("group with partial arguments", group([s("a", 1), si("b", 2)]), args=[9])
record("empty group", group([]))
record("chord", chord([s("a", 1), s("b", 2)], s("c")))
record("chord with partial arguments", chord([s("a", 1), si("b", 2)], s("c")), args=[9])
record("chord of one", chord([s("a")], s("b")))
record("chord with an empty header", chord([], s("c")))
record("chord with a chain in its header", chord([chain(s("a"), s("b")), s("c")], s("d")))
record("chord in the header of a chord", chord([chord([s("a"), s("b")], s("c")), s("d")], s("e")))
record("chord with a chain as body", chord([s("a"), s("b")], chain(s("c"), s("d"))))
record("chord with a group as body", chord([s("a"), s("b")], group([s("c"), s("d")])))
record("chord with a chord as body", chord([s("a"), s("b")], chord([s("c"), s("d")], s("e"))))
record("chord with a group in its header", chord([s("a"), group([s("b")])], s("c")))
record("chord with a chain that ends in a group",
       chord([chain(s("a"), group([s("b"), s("c")])), s("d")], s("e")))
record("chord with a chain that ends in a chord",
       chord([chain(s("a"), group([s("b"), s("c")]), s("d")), s("e")], s("f")))
record("chord with links", chord([s("a"), s("b")], s("c", link=s("l"), link_error=[s("e")])))
record_steps("chain", chain(s("a"), s("b", 7), si("c", 8)))
record_steps("group at the end", chain(s("a"), group([s("b"), si("c", 1)])))
record_steps("chord in the middle", chain(s("a"), chord([s("b"), si("c", 1)], s("d")), group([s("e"), s("f")])))

text = json.dumps({"celery": celery.__version__, "root": ROOT, "parent": PARENT, "cases": cases}, indent=1) + "\n"
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "canvas.json")
if "--check" not in sys.argv[1:]:
    with open(path, "w") as out:
        out.write(text)
    sys.exit(0)
with open(path) as recorded:
    have = recorded.read()
if json.loads(have)["celery"] != celery.__version__:
    print("skipped: recorded with Celery", json.loads(have)["celery"])
    sys.exit(77)
sys.exit(0 if have == text else "canvas.json differs from what Celery writes")
