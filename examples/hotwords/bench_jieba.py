#!/usr/bin/python3
"""The peer of bench_segment: prints python jieba's MB/s, with and without HMM, on the same texts.

usage: bench_jieba.py FILE          FILE holds one JSON string a line. Exit status 77: no jieba.
"""

import json
import logging
import sys
import time

try:
    import jieba
except ImportError:
    sys.exit(77)


def speed(texts, hmm):
    size = sum(len(text.encode()) for text in texts)
    start = time.process_time()
    for text in texts:
        jieba.lcut(text, HMM=hmm)
    return size / (time.process_time() - start) / 1e6


def main():
    jieba.setLogLevel(logging.WARNING)
    with open(sys.argv[1], encoding="utf-8") as lines:
        texts = [json.loads(line) for line in lines]
    start = time.process_time()
    jieba.initialize()
    load = time.process_time() - start
    print("%.3f %.3f %.1f" % (speed(texts, True), speed(texts, False), load * 1000))


if __name__ == "__main__":
    main()
