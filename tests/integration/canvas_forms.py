"""Canvases as trees (see tests/modules/canvasclient.c), what each must give, and a seeded generator of random ones.

    FORMS                    [(name, tree[, notes])]: every form that has a name, one line of the table in docs/compatibility.md
                             each; how many notes its callbacks write
    random_tree(random)      a canvas of a few nodes
    expected(tree)           what it gives: ("value", v) or ("error", type of the exception)

The tasks: test.who returns its label, what it was given and its ids; test.who_fails raises ValueError(label). What a value is
compared by is bare(value), in which only labels and arguments are left, and numbered(value), in which ids are numbers in the order
in which they come: so two runs are the same if the same ids are equal to one another.
"""
import json
import re

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
NOTES = "@NOTES@"  # stands for the file that test.tell writes


# ---- trees ----

def task(label, *args, name="test.who", **more):
    return {"op": "task", "name": name, "args": [*args, label], **more}


def fails(label="boom", **more):
    return task(label, name="test.who_fails", **more)


def tell(label, **more):
    """A callback that says what it was given."""
    return task(label, NOTES, name="test.tell", **more)


def hear(label, **more):
    """An errback that says what it was given: of the old style, with one argument."""
    return {"op": "task", "name": "test.hear", "args": [], "kwargs": {"path": NOTES, "label": label}, **more}


def by(name, tree):
    """A task that is given the JSON form of another canvas."""
    return {"op": "task", "name": name, "args": [celery_json(tree)]}


def celery_json(tree):
    """A tree of tasks, chains, groups and chords as Celery's JSON."""
    form = {"args": [], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": bool(tree.get("immutable"))}
    if tree["op"] == "task":
        return {**form, "task": tree["name"], "args": tree["args"]}
    form.update(task="celery." + tree["op"], subtask_type=tree["op"])
    if tree["op"] == "chord":
        return {**form, "kwargs": {"kwargs": {}, "header": [celery_json(part) for part in tree["header"]], "body": celery_json(tree["body"])}}
    return {**form, "kwargs": {"tasks": [celery_json(part) for part in tree["parts"]]}}


def replaced(tree):
    return by("test.replace", tree)


def chain(*parts, **more):
    return {"op": "chain", "parts": list(parts), **more}


def group(*parts, **more):
    return {"op": "group", "parts": list(parts), **more}


def chord(header, body, **more):
    return {"op": "chord", "header": list(header), "body": body, **more}


A, B, C, D, E = (task(letter) for letter in "abcde")

FORMS = [
    ("task", A),
    ("task, immutable, in a chain", chain(A, task("b", immutable=True), C)),
    ("task with options", task("a", set={"priority": 3, "countdown": 0.01, "headers": {"x": 1}})),
    ("chain", chain(A, B, C)),
    ("chain of one", chain(A)),
    ("chain in a chain", chain(A, chain(B, C), D)),
    ("chain, immutable group in it", chain(A, group(B, C, immutable=True), D)),
    ("group", group(A, B, C)),
    ("group of one", group(A)),
    ("group of none", group()),
    ("group in a group", group(A, group(B, C), D)),
    ("groups of groups", group(group(A, B), group(C, group(D, E)))),
    ("chains in a group", group(chain(A, B), chain(C, D))),
    ("group at the end of a chain", chain(A, group(B, C))),
    ("group of one at the end of a chain", chain(A, group(B))),
    ("group at the end of a chain in a group", group(chain(A, group(B, C)), D)),
    ("group alone with a chain that ends in a group", group(chain(A, group(B, C)))),
    ("group in a chain: a chord", chain(group(A, B), C)),
    ("task | group | task", chain(A, group(B, C), D)),
    ("task | group of one | task", chain(A, group(B), C)),
    ("group | task | task", chain(group(A, B), C, D)),
    ("group | task | group | task", chain(group(A, B), C, group(D, E), task("f"))),
    ("group | group", chain(group(A, B), group(C, D))),
    ("group | group | task", chain(group(A, B), group(C, D), E)),
    ("chains in a group in a chain", chain(group(chain(A, B), C), D)),
    ("chord", chord([A, B], C)),
    ("chord of one", chord([A], B)),
    ("chord of none", chord([], A)),
    ("chord, body a chain", chord([A, B], chain(C, D))),
    ("chord, body a group", chord([A, B], group(C, D))),
    ("chord, body a chain that ends in a group", chord([A, B], chain(C, group(D, E)))),
    ("chord, body a chord", chord([A, B], chord([C, D], E))),
    ("chord, body a group | task", chord([A, B], chain(group(C, D), E))),
    ("chains in a header", chord([chain(A, B), chain(C, D)], E)),
    ("group in a header", chord([group(A, B), C], D)),
    ("group at the end of a chain in a header", chord([chain(A, group(B, C)), D], E)),
    ("group in a chain in a header", chord([chain(A, group(B, C), D), E], task("f"))),
    ("chord in a header", chord([chord([A, B], C), D], E)),
    ("chord of chords", chord([chord([A, B], C), chord([D, E], task("f"))], task("g"))),
    ("chord in a header in a header", chord([chord([chord([A], B), C], D), E], task("f"))),
    ("chord | task", chain(chord([A, B], C), D)),
    ("task | chord", chain(A, chord([B, C], D))),
    ("task | chord | task", chain(A, chord([B, C], D), E)),
    ("chord | group", chain(chord([A, B], C), group(D, E))),
    ("chord | chord", chain(chord([A, B], C), chord([D, E], task("f")))),
    ("chord in a group", group(chord([A, B], C), D)),
    ("chord in a chain in a group", group(chain(chord([A, B], C), D), E)),
    ("map", {"op": "map", "name": "test.echo", "it": [1, [2], "x"]}),
    ("starmap", {"op": "starmap", "name": "test.add", "it": [[1, 2], [3, 4]]}),
    ("map of none", {"op": "map", "name": "test.echo", "it": []}),
    ("map in a chain", chain({"op": "map", "name": "test.echo", "it": [1, 2]}, A)),
    ("chunks", {"op": "chunks", "name": "test.add", "it": [[i, i] for i in range(5)], "n": 2}),
    ("chunks | task", chain({"op": "chunks", "name": "test.add", "it": [[i, i] for i in range(5)], "n": 2}, A)),
    ("replace by a task", replaced(A)),
    ("replace by a chain", replaced(chain(A, B))),
    ("replace by a group", replaced(group(A, B))),
    ("replace by a chord", replaced(chord([A, B], C))),
    ("replace by a chain that ends in a group", replaced(chain(A, group(B, C)))),
    ("replace in a chain", chain(A, replaced(B), C)),
    ("replace by a chain in a chain", chain(A, replaced(chain(B, C)), D)),
    ("replace by a group in a chain", chain(A, replaced(group(B, C)), D)),
    ("replace by a chord in a chain", chain(A, replaced(chord([B, C], D)), E)),
    ("replace in a group", group(A, replaced(B))),
    ("replace in a header", chord([A, replaced(B)], C)),
    ("replace by a chain in a header", chord([A, replaced(chain(B, C))], D)),
    ("replace by a group in a header", chord([A, replaced(group(B, C))], D)),
    ("replace by a chord in a header", chord([A, replaced(chord([B, C], D))], E)),
    ("replace of a body", chord([A, B], replaced(C))),
    ("replace by what replaces", replaced(replaced(A))),
    ("replace, with link", {**replaced(A), "link": [tell("done")]}, 1),
    ("replace by a chain, with link", {**replaced(chain(A, B)), "link": [tell("done")]}, 1),
    ("replace by what fails, with link_error", {**replaced(fails()), "link_error": [hear("failed")]}, 1),
    ("add_to_chord", chord([A, by("test.add_to_chord", B)], C)),
    ("add_to_chord of a chain", chord([by("test.add_to_chord", chain(A, B))], C)),
    ("link", task("a", link=[tell("done")]), 1),
    ("link, several", task("a", link=[tell("one"), tell("two", immutable=True)]), 2),
    ("link, a chain", task("a", link=[chain(B, tell("after"))]), 1),
    ("link of a chain", chain(A, B, link=[tell("done")]), 1),
    ("link of a chord", chord([A, B], C, link=[tell("done")]), 1),
    ("link of a link", task("a", link=[task("b", link=[tell("after")])]), 1),
    ("link_error", fails(link_error=[hear("failed")]), 1),
    ("link_error, several", fails(link_error=[hear("one"), hear("two", immutable=True)]), 2),
    ("link_error of a chain", chain(A, fails(), B, link_error=[hear("failed")]), 1),
    ("link_error of a step", chain(A, fails(link_error=[hear("failed")]), B), 1),
    ("link_error of a group", group(A, fails(), link_error=[hear("failed")]), 1),
    ("link_error of a chord whose header fails", chord([A, fails()], B, link_error=[hear("failed")]), 1),
    ("link_error of a chord whose body fails", chord([A, B], fails(), link_error=[hear("failed")]), 1),
    ("link_error of a chord whose body is a chain", chord([A, fails()], chain(B, C), link_error=[hear("failed")]), 1),
    ("a failure", fails()),
    ("a failure in a chain", chain(A, fails(), B)),
    ("a failure in a group", group(A, fails())),
    ("a failure in a header", chord([A, fails()], B)),
    ("a failure in a body", chord([A, B], fails())),
    ("a failure in a chain in a header", chord([chain(A, fails(), B), C], D)),
    ("a failure in a header in a header", chord([chord([A, fails()], B), C], D)),
    ("a failure in a header in a chain", chain(A, group(B, fails()), C, D)),
    ("a failure before a chord", chain(fails(), group(A, B), C)),
    ("a failure before a group", chain(fails(), group(A, B))),
]


# ---- what they give ----

class Failed(Exception):
    """The name of the exception's type."""


def _flat(parts):
    for part in parts:
        if part["op"] == "group":
            yield from _flat(part["parts"])
        else:
            yield part


def _steps(parts):
    """The steps of a chain: nested chains spliced, groups of one replaced by their member."""
    for part in parts:
        if part["op"] == "group" and len(part["parts"]) == 1:
            part = part["parts"][0]
            yield from _steps([part])
        elif part["op"] == "chain":
            yield from _steps(part["parts"])
        else:
            yield part


def _immutable(tree):
    """The parts of an immutable canvas are."""
    if not tree.get("immutable"):
        return tree
    for key in "parts", "header":
        if key in tree:
            return {**tree, key: [{**part, "immutable": True} for part in tree[key]]}
    return tree


def _side_by_side(parts, given):
    """The values of a group's members; they fail with what the first in order that fails does."""
    return [_run(part, given) for part in _flat(parts)]


def _ends_in_group(tree):
    """A group of nothing but such a chain gives what the chain does: Celery's special case."""
    steps = list(_steps([tree])) if tree["op"] == "chain" else []
    return bool(steps) and steps[-1]["op"] in ("group", "chunks")


def _run(tree, given):
    tree = _immutable(tree)
    kind = tree["op"]
    if kind == "task":
        args = ([] if tree.get("immutable") else given) + tree["args"]
        if tree["name"] == "test.who_fails":
            raise Failed("ValueError")
        if tree["name"] == "test.add":
            return args[0] + args[1]
        if tree["name"] == "test.replace":
            return _replacing(tree["args"][-1], args[:-1])
        if tree["name"] == "test.add_to_chord":
            return args[:-1]
        return {"label": args[-1], "args": args[:-1]}
    if kind == "map":
        return tree["it"]
    if kind in ("starmap", "chunks"):
        sums = [x + y for x, y in tree["it"]]
        return sums if kind == "starmap" else [sums[i:i + tree["n"]] for i in range(0, len(sums), tree["n"])]
    if kind == "group":
        values = _side_by_side(tree["parts"], given)
        return values[0] if len(values) == 1 and _ends_in_group(next(_flat(tree["parts"]))) else values
    if kind == "chord":
        return _run(tree["body"], [_header(tree["header"], given)])
    value, steps = None, list(_steps(tree["parts"]))
    for i, step in enumerate(steps):
        before = given if i == 0 else [value]
        last = i + 1 == len(steps)
        value = _header(_immutable(step)["parts"], before) if step["op"] == "group" and not last else _run(step, before)
    return value


def _tree(form):
    """The tree of Celery's JSON, as far as celery_json() makes it."""
    kind = form["subtask_type"]
    if kind is None:
        return {"op": "task", "name": form["task"], "args": form["args"]}
    if kind == "chord":
        return chord([_tree(part) for part in form["kwargs"]["header"]], _tree(form["kwargs"]["body"]))
    return {"op": kind, "parts": [_tree(part) for part in form["kwargs"]["tasks"]]}


def _replacing(form, given):
    return _run(_tree(form), given)


def _header(parts, given):
    added = [_tree(part["args"][-1]) for part in parts if part.get("name") == "test.add_to_chord"]
    try:
        return _side_by_side(parts, given) + _side_by_side(added, [])
    except Failed:
        raise Failed("ChordError") from None


def expected(tree):
    try:
        return "value", _run(tree, [])
    except Failed as failure:
        return "error", str(failure)


# ---- comparing ----

def bare(value):
    """The value with nothing but labels and arguments."""
    if isinstance(value, dict) and "label" in value:
        return {"label": value["label"], "args": bare(value["args"])}
    if isinstance(value, list):
        return [bare(element) for element in value]
    return value


def _ids_in(value, keys):
    """The ids under these keys in a value and all that it was made of."""
    if isinstance(value, dict):
        found = {value[key] for key in keys if value.get(key)}
        return found.union(*(_ids_in(part, keys) for part in value.values()))
    if isinstance(value, list):
        return set().union(*(_ids_in(part, keys) for part in value))
    return set()


def _one_of(value):
    """A chord's body has the part that came last as its parent, and the root of that part, which what follows has, too: which
    one is chance."""
    given, roots = value["args"], _ids_in(value["args"], ("root",))
    if len(roots) > 1 and value["root"] in roots:
        value = {**value, "root": "a part's root"}
    if any(isinstance(part, list) for part in given) and value["parent"] in _ids_in(given, ("id",)):
        value = {**value, "parent": "a part"}
    return value


def numbered(value, names=None):
    """The value with ids replaced by numbers, without the group's index (5.2 gives members of plain groups none)."""
    names = {} if names is None else names
    if isinstance(value, dict):
        value = _one_of(value) if "parent" in value else value
        order = ["args", "label", "id", "root", "parent", "group"]
        keys = [key for key in order if key in value] + sorted(key for key in value if key not in order and key != "index")
        return {key: numbered(value[key], names) for key in keys}
    if isinstance(value, list):
        return [numbered(element, names) for element in value]
    if isinstance(value, str):
        return _ID.sub(lambda match: f"#{names.setdefault(match.group(0), len(names))}", value)
    return value


def sorted_parts(value):
    """The value with all lists sorted: what is the same in another order is equal."""
    if isinstance(value, dict):
        return {key: sorted_parts(part) for key, part in value.items()}
    if isinstance(value, list):
        return sorted((sorted_parts(part) for part in value), key=lambda part: json.dumps(part, sort_keys=True))
    return value


# ---- random canvases ----

def random_tree(random, nodes=9):
    """A canvas of at most `nodes` tasks, some of which fail in one of four canvases."""
    labels = iter(range(1000))
    failing = random.random() < 0.25

    def leaf():
        label = f"t{next(labels)}"
        if failing and random.random() < 0.15:
            return fails(label)
        return task(label, immutable=True) if random.random() < 0.08 else task(label)

    def tree(budget, depth):
        if budget <= 1 or depth == 0 or random.random() < 0.15:
            return leaf()
        kind = random.choice(("chain", "chain", "group", "chord"))
        count = random.randint(1, min(4, budget))
        shares = [max(1, budget // count)] * count
        if kind == "chord":
            header = [tree(max(1, (budget - 1) // count), depth - 1) for _ in range(count)]
            return chord(header, tree(max(1, budget - sum(shares)) if random.random() < 0.5 else 1, depth - 1))
        return {"op": kind, "parts": [tree(share, depth - 1) for share in shares]}

    return tree(nodes, 4)
