#!/usr/bin/python3
"""Makes docs/api.md from the public headers: what a comment says of the declaration below it.

    apidoc.py HEADER... > docs/api.md        writes the page
    apidoc.py --check docs/api.md HEADER...  says whether it is up to date, and whether every CEL_API function has a docstring

A header begins with a comment `/* name.h - what it is. ... */`. A comment that stands directly above a declaration is its
docstring; a comment behind a declaration, on its line, too. Declarations that follow without a blank line share the docstring of the
first. A section comment that ends a group with a blank line is text between declarations.
"""
import difflib
import re
import sys

SKIPPED = re.compile(r"^(#include|#ifndef CELERIAC_|#define CELERIAC_\w+_H$|#endif|#undef|#pragma|CEL_BEGIN_DECLS|CEL_END_DECLS|#if|#else|#elif)")


def comment_text(lines):
    """The words of a comment, its marks and the common indent taken away."""
    text = "\n".join(lines).strip()
    text = re.sub(r"^/\*+ ?|\s*\*/$", "", text)
    return "\n".join(re.sub(r"^\s*\*(?: |$)", "", line).rstrip() for line in text.split("\n")).strip("\n")


def is_whole(code):
    """Whether the lines are a complete declaration or macro."""
    text = re.sub(r"/\*.*?\*/", "", "\n".join(code), flags=re.S).rstrip()
    if text.startswith("#define"):
        return not text.endswith("\\")
    return text.count("{") == text.count("}") and text.count("(") == text.count(")") and text.endswith(";")


class Entry:
    """A piece of a header: a docstring, and the declarations that it is about (none: a text on its own)."""

    def __init__(self, doc):
        self.doc = doc
        self.code = []  # declarations, each a list of lines


def read_entries(lines):
    """Takes a header apart; the first entry is the header's own comment."""
    entries, entry, at = [], None, 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            entry = None
            at += 1
        elif line.lstrip().startswith("/*"):
            start = at
            while "*/" not in lines[at]:
                at += 1
            at += 1
            entry = Entry(comment_text(lines[start:at]))
            entries.append(entry)
        elif SKIPPED.match(line):
            at += 1
            while lines[at - 1].rstrip().endswith("\\"):
                at += 1
        else:
            start = at
            while not is_whole(lines[start:at + 1]):
                at += 1
                if at == len(lines):
                    raise SystemExit(f"apidoc: this declaration does not end: {line}")
            at += 1
            if entry is None:
                entry = Entry("")
                entries.append(entry)
            entry.code.append(lines[start:at])
    return entries


def name_of(code):
    """The name that a declaration declares."""
    text = re.sub(r"/\*.*?\*/", "", "\n".join(code), flags=re.S)
    for pattern in (r"#define (\w+)", r"typedef [^;{(]*\(\*(\w+)\)", r"\b(cel_\w+)\s*\(", r"\}\s*(\w+);", r"(\w+);"):
        match = re.search(pattern, text)
        if match:
            return match.group(1)
    raise SystemExit(f"apidoc: what does this declare? {text}")


def markdown_text(text):
    """A docstring as Markdown: indented lines are code, the rest is text as it stands."""
    out, code = [], False
    for line in text.split("\n"):
        indented = line.startswith("    ") and line.strip()
        if indented and not code:
            out += ["", "```c"]
        elif code and not indented and line.strip():
            out += ["```", ""]
        if indented:
            code = True
        elif line.strip():
            code = False
        out.append(line[4:] if code and line.startswith("    ") else line if code else line.replace("<", "\\<").replace("*", "\\*"))
    if code:
        out.append("```")
    return re.sub(r"\n+```\n", "\n```\n", re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip() + "\n").strip()


def section(path):
    """One header's part of the page."""
    with open(path, encoding="utf-8") as file:
        entries = read_entries(file.read().split("\n"))
    match = re.match(r"(\w+\.h) - (.*)", entries[0].doc, re.S)
    if not match:
        raise SystemExit(f"apidoc: {path} does not begin with /* name.h - what it is. */")
    about = match.group(2)
    out = [f"## {match.group(1)}", "", markdown_text(about[0].upper() + about[1:]), ""]
    for entry in entries[1:]:
        if entry.code:
            out += ["### " + ", ".join(f"`{name_of(code)}`" for code in entry.code), ""]
        if entry.doc:
            out += [markdown_text(entry.doc), ""]
        if entry.code:
            out += ["```c", *[line for code in entry.code for line in code], "```", ""]
    return match.group(1), out


def page(headers):
    sections = [section(path) for path in headers]
    out = ["# API reference", "",
           "Made from the public headers by `docs/tools/apidoc.py` (`make docs`); do not edit. The rules that hold everywhere: what can",
           "fail returns a `cel_code` and takes a `cel_error *err` last, which may be NULL and is left alone on success. *Takes* x: owns it",
           "from the call on, even on failure. *Borrows* x: the caller keeps it alive. A `const char *` that is returned is a view.", ""]
    out += [f"- [{name}](#{name.replace('.', '')})" for name, _ in sections] + [""]
    for _, lines in sections:
        out += lines
    return "\n".join(line.rstrip() for line in out).rstrip() + "\n"


def undocumented(headers):
    """Names of CEL_API functions without a docstring, also none behind them on their line."""
    names = []
    for path in headers:
        with open(path, encoding="utf-8") as file:
            entries = read_entries(file.read().split("\n"))
        for entry in entries[1:]:
            names += [f"{path}: {name_of(code)}" for code in entry.code
                      if code[0].startswith("CEL_API") and not entry.doc and "/*" not in "\n".join(code)]
    return names


def check(committed, headers):
    with open(committed, encoding="utf-8") as file:
        old = file.read()
    new = page(headers)
    for line in difflib.unified_diff(old.split("\n"), new.split("\n"), committed, "the headers", lineterm="", n=1):
        print(line)
    missing = undocumented(headers)
    for name in missing:
        print(f"without a docstring: {name}")
    if old != new:
        print("docs/api.md is not up to date: run `make docs`")
    return 0 if old == new and not missing else 1


def main(words):
    sys.stdout.reconfigure(encoding="utf-8")
    if words[:1] == ["--check"]:
        return check(words[1], words[2:])
    sys.stdout.write(page(words))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
