#!/usr/bin/python3
"""Compares hotwords-cut with python jieba on random lines, in all modes, without and with a random
user dictionary.

usage: compare_with_jieba.py HOTWORDS_CUT [SEED [LINES]]

The lines are words of jieba's dictionary, whole and broken, random characters, Latin and separators.
Exit status: 0 all equal, 1 a difference (the first of each kind is shown), 77 no jieba.
"""

import json
import logging
import os
import random
import subprocess
import sys
import tempfile

try:
    import jieba
except ImportError:
    print("skipped: this Python has no jieba")
    sys.exit(77)

LATIN = "abcXYZ0129+#&._%-"
SEPARATORS = " \t\n\r\u3000，。！〇😂𠮷é\0\x1c\x85"
SHORT_WORDS = ["b", "bc", "X", "XY", "Ya", "a", "ab", "1", "12"]


class Maker:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        path = os.path.join(os.path.dirname(jieba.__file__), "dict.txt")
        with open(path, encoding="utf-8") as lines:
            self.words = [line.split(" ")[0] for line in lines]

    def several(self, most, make):
        return "".join(make() for _ in range(self.rng.randint(1, most)))

    def fragment(self):
        kind = self.rng.random()
        if kind < 0.4:
            return self.rng.choice(self.words)
        if kind < 0.55:
            return self.rng.choice(self.words)[self.rng.randrange(2):]
        if kind < 0.7:
            return self.several(3, lambda: chr(self.rng.randint(0x4E00, 0x9FD7)))
        if kind < 0.9:
            return self.several(5, lambda: self.rng.choice(LATIN))
        return self.several(3, lambda: self.rng.choice(SEPARATORS))

    def line(self):
        return self.several(13, self.fragment)

    def user_word(self):
        word = self.several(2, self.fragment).replace("\n", "").replace("\r", "")
        tails = ["", " %d" % self.rng.randrange(3), " %d n" % self.rng.randrange(100000), " nz"]
        return word + self.rng.choice(tails) + "\n"


def cut(program, options, lines):
    done = subprocess.run([program] + options, input="\n".join(map(json.dumps, lines)).encode(),
                          stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]


def compare(program, lines, extra):
    modes = {
        "": jieba.lcut,
        "--no-hmm": lambda text: jieba.lcut(text, HMM=False),
        "--all": lambda text: jieba.lcut(text, cut_all=True),
        "--search": jieba.lcut_for_search,
    }
    wrong = 0
    for option, peer in modes.items():
        ours = cut(program, ([option] if option else []) + extra, lines)
        bad = [(line, peer(line), tokens) for line, tokens in zip(lines, ours) if peer(line) != tokens]
        if len(ours) != len(lines) or bad:
            wrong += 1
            print("%s %s: %d of %d lines differ; the first:" % (option, extra, len(bad), len(lines)))
            print("line  %r\njieba %r\nours  %r" % (bad[0] if bad else ("", len(lines), len(ours))))
    return wrong


def main():
    program = sys.argv[1]
    maker = Maker(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 6000
    lines = [maker.line() for _ in range(count)]
    jieba.setLogLevel(logging.ERROR)
    wrong = compare(program, lines, [])
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as user:
        user.writelines(maker.user_word() for _ in range(count // 2))
        user.writelines(word + " 50\n" for word in SHORT_WORDS)
        user.flush()
        jieba.load_userdict(user.name)
        wrong += compare(program, lines, ["--user-dict", user.name])
    print("%d lines, 8 modes, %d of them with differences" % (count, wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
