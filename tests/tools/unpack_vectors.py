#!/usr/bin/env python3
"""Records what Python says when a function is called with the wrong arguments.

Prints src/app/unpack_vectors.h: python3 tests/tools/unpack_vectors.py > src/app/unpack_vectors.h
"""
import json

SPECS = {
    "": "",
    "x": "x:O",
    "x, y": "x:O y:O",
    "x, y, z": "x:O y:O z:O",
    "x, y=7": "x:O | y:O",
    "x=1, y=2": "| x:O y:O",
    "x, *, k": "x:O * k:O",
    "x, *, k, l": "x:O * k:O l:O",
    "x, *, k=1": "x:O | * k:O",
    "x, *, k, l=2": "x:O * k:O | l:O",
    "*, k, l, m": "* k:O l:O m:O",
    "x, y=1, *, k=2, l=3": "x:O | y:O * k:O l:O",
}
ARGS = [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]
KWARGS = [{}, {"x": 5}, {"y": 5}, {"q": 5}, {"k": 5}, {"k": 5, "l": 6}, {"x": 5, "q": 6},
          {"y": 5, "k": 6}, {"l": 1}, {"x": 1, "y": 2}, {"self": 1}]


def outcome(params, args, kwargs):
    scope = {}
    exec(f"def add({params}): pass", scope)
    try:
        scope["add"](*args, **kwargs)
    except TypeError as exc:
        return str(exc)
    return ""


def main():
    print("/* unpack_vectors.h - recorded from Python by tests/tools/unpack_vectors.py. */")
    print("/* clang-format off */")
    print("static const struct {\n    const char *spec, *args, *kwargs, *error;\n} vectors[] = {")
    for params, spec in SPECS.items():
        for args in ARGS:
            for kwargs in KWARGS:
                row = (spec, json.dumps(args), json.dumps(kwargs), outcome(params, args, kwargs))
                print("    {" + ", ".join(json.dumps(cell) for cell in row) + "},")
    print("};")
    print("/* clang-format on */")


if __name__ == "__main__":
    main()
