#!/usr/bin/python3
"""Writes expected.json: what python jieba finds in the sample's four partitions, and their sum.

usage: make_expected.py [FOLDER]      (default: ../data beside this script)

Needs jieba 0.42.1 (Debian: python3-jieba). This is the count's definition in its shortest form; the
C program must agree with it to the last word.
"""

import collections
import hashlib
import json
import logging
import os
import re
import sys

import jieba

DAYS = ("20200406", "20200407")
LEVELS = ((1, 450), (451, 900))
TOP = 100
LETTER = re.compile("[A-Za-z\u4e00-\u9fd5]")


def counts(token):
    return len(token) >= 2 and LETTER.search(token)


def count(path, low, high):
    numbers = collections.Counter()
    words = collections.Counter()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if not low <= record["level"] <= high:
                continue
            tokens = jieba.lcut(record["text"])
            found = [token for token in tokens if counts(token)]
            words.update(found)
            numbers.update(records=1, text_bytes=len(record["text"].encode()),
                           text_code_points=len(record["text"]), tokens=len(tokens), counted=len(found))
    return numbers, words


def ranking(numbers, words):
    order = sorted(words.items(), key=lambda pair: (-pair[1], pair[0].encode()))
    table = "".join("%s\t%d\n" % pair for pair in order)
    return dict(numbers, distinct=len(words), table_sha256=hashlib.sha256(table.encode()).hexdigest(),
                **{"top%d" % TOP: [list(pair) for pair in order[:TOP]]})


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "data")
    jieba.setLogLevel(logging.WARNING)
    partitions, all_numbers, all_words = [], collections.Counter(), collections.Counter()
    for date in DAYS:
        for low, high in LEVELS:
            numbers, words = count(os.path.join(folder, date + ".jsonl"), low, high)
            partitions.append(dict(date=date, level_lo=low, level_hi=high, **ranking(numbers, words)))
            all_numbers += numbers
            all_words += words
    document = {"jieba": jieba.__version__, "partitions": partitions, "merged": ranking(all_numbers, all_words)}
    with open(os.path.join(folder, "expected.json"), "w", encoding="utf-8", newline="\n") as out:
        json.dump(document, out, ensure_ascii=False, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
