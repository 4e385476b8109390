#!/usr/bin/python3
"""A TCP proxy that makes a network bad: it delays, trickles, cuts in the middle of a frame, swallows, refuses.

    with faultproxy.Proxy(port) as proxy:      connect to proxy.port instead of port
        proxy.delay = 0.1                      each piece is held back so long
        proxy.piece = 3                        pieces of three bytes
        proxy.cut()                            resets all connections now
        proxy.cut_after(1000)                  when so many more bytes, both ways together, have passed
        proxy.black_hole(True)                 connections stay open, nothing passes; False: what waited passes now
        proxy.refuse(True)                     new connections are reset at once
        proxy.swallow(60, 20)                  AMQP's methods of that class and id do not pass to the server
        proxy.cuts, proxy.accepted             how often it has cut, how many connections there were

    faultproxy.py PORT [--delay S] [--piece BYTES] [--cut-after BYTES] [--black-hole]     prints its port and runs
"""
import argparse
import socket
import struct
import threading
import time

CHUNK = 65536


def reset(sock):
    """Closes so that the other side sees a reset, as if its peer had crashed."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    try:
        sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it
    except OSError:
        pass
    sock.close()


class Frames:
    """Leaves method frames out of what a client of AMQP 0-9-1 sends."""

    def __init__(self, swallowed):
        self.swallowed = swallowed
        self.buffer = b""
        self.greeted = False

    def feed(self, data):
        self.buffer += data
        out = b""
        if not self.greeted and len(self.buffer) >= 8:
            out, self.buffer, self.greeted = self.buffer[:8], self.buffer[8:], True
        while self.greeted and len(self.buffer) >= 7:
            size = struct.unpack(">I", self.buffer[3:7])[0] + 8
            if len(self.buffer) < size:
                break
            frame, self.buffer = self.buffer[:size], self.buffer[size:]
            if not (frame[0] == 1 and struct.unpack(">HH", frame[7:11]) in self.swallowed):
                out += frame
        return out


class Proxy:
    def __init__(self, target, host="127.0.0.1"):
        self.target = (host, target)
        self.delay = 0
        self.piece = CHUNK
        self.cuts = self.accepted = 0
        self._left = None  # bytes until the cut
        self._refuse = False
        self._swallowed = set()
        self._open = threading.Event()  # not a black hole
        self._open.set()
        self._lock = threading.Lock()
        self._pairs = set()
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- faults

    def cut(self):
        with self._lock:
            pairs, self._pairs = self._pairs, set()
            self._left = None
            self.cuts += bool(pairs)
        for pair in pairs:
            for sock in pair:
                reset(sock)

    def cut_after(self, count):
        with self._lock:
            self._left = count

    def black_hole(self, on):
        if on:
            self._open.clear()
        else:
            self._open.set()

    def refuse(self, on):
        self._refuse = on

    def swallow(self, method_class, method):
        self._swallowed.add((method_class, method))

    def swallow_nothing(self):
        self._swallowed.clear()

    # ---- traffic

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self._refuse or self._closed:
                reset(client)
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        self._open.wait()
        try:
            server = socket.create_connection(self.target, 5)
        except OSError:
            reset(client)
            return
        server.settimeout(None)
        for sock in client, server:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (client, server)
        with self._lock:
            self._pairs.add(pair)
        threading.Thread(target=self._pump, args=(server, client, pair, None), daemon=True).start()
        self._pump(client, server, pair, Frames(self._swallowed))

    def _pump(self, source, sink, pair, frames):
        try:
            while True:
                data = source.recv(CHUNK)
                if not data:
                    break
                if frames and (self._swallowed or frames.buffer):
                    data = frames.feed(data)
                elif frames:
                    frames.greeted = True  # methods are swallowed from the next frame on
                for at in range(0, len(data), self.piece):
                    self._send(sink, data[at:at + self.piece])
        except OSError:
            pass
        with self._lock:
            self._pairs.discard(pair)
        for sock in pair:  # both ends see the end
            reset(sock)

    def _send(self, sink, data):
        if self.delay:
            time.sleep(self.delay)
        self._open.wait()
        with self._lock:
            passes = len(data) if self._left is None else min(self._left, len(data))
            if self._left is not None:
                self._left -= passes
        sink.sendall(data[:passes])
        if passes < len(data):
            self.cut()
            raise OSError("cut")

    # ---- the end

    def close(self):
        self._closed = True
        self._listener.close()
        self._open.set()
        self.cut()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--delay", type=float, default=0)
    parser.add_argument("--piece", type=int, default=CHUNK)
    parser.add_argument("--cut-after", type=int)
    parser.add_argument("--black-hole", action="store_true")
    options = parser.parse_args()
    proxy = Proxy(options.port)
    proxy.delay, proxy.piece = options.delay, options.piece
    if options.cut_after is not None:
        proxy.cut_after(options.cut_after)
    proxy.black_hole(options.black_hole)
    print(proxy.port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
