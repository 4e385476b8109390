"""The proxy does to connections what it says."""
import socket
import struct
import threading
import time
import unittest

import faultproxy


class Echo:
    """A server that sends back what it gets."""

    def __init__(self):
        self.got = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock:
            try:
                while data := sock.recv(65536):
                    self.got += data
                    sock.sendall(data)
            except OSError:
                pass


def method(class_id, method_id, payload=b""):
    return b"\x01\x00\x01" + struct.pack(">IHH", 4 + len(payload), class_id, method_id) + payload + b"\xce"


class ProxyTest(unittest.TestCase):
    def setUp(self):
        self.echo = Echo()
        self.proxy = faultproxy.Proxy(self.echo.port)

    def tearDown(self):
        self.proxy.close()
        self.echo.listener.close()

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.proxy.port), 20)
        self.addCleanup(sock.close)
        return sock

    def receive(self, sock, count):
        data = b""
        while len(data) < count:
            piece = sock.recv(count - len(data))
            if not piece:
                break
            data += piece
        return data

    def test_what_passes_is_unchanged_in_small_pieces_too(self):
        self.proxy.piece = 7
        data = bytes(range(256)) * 40
        sock = self.connect()
        sock.sendall(data)
        self.assertEqual(self.receive(sock, len(data)), data)

    def test_a_delay_is_kept(self):
        self.proxy.delay = 0.1
        sock = self.connect()
        began = time.monotonic()
        sock.sendall(b"x")
        self.assertEqual(self.receive(sock, 1), b"x")
        self.assertGreaterEqual(time.monotonic() - began, 0.2)  # there and back

    def test_it_cuts_after_the_bytes_that_were_said(self):
        self.proxy.cut_after(10)
        sock = self.connect()
        with self.assertRaises(OSError):
            sock.sendall(b"x" * 30)
            while sock.recv(100):
                pass
            raise ConnectionResetError  # an end without a reset is an end, too
        self.assertEqual(self.echo.got, b"x" * 10)
        self.assertEqual(self.proxy.cuts, 1)
        sock = self.connect()  # the next connection is a good one
        sock.sendall(b"y")
        self.assertEqual(self.receive(sock, 1), b"y")

    def test_a_black_hole_keeps_connections_open_and_silent(self):
        sock = self.connect()
        sock.sendall(b"a")
        self.assertEqual(self.receive(sock, 1), b"a")
        self.proxy.black_hole(True)
        sock.sendall(b"b")
        sock.settimeout(0.2)
        with self.assertRaises(TimeoutError):
            sock.recv(1)
        self.proxy.black_hole(False)
        sock.settimeout(20)
        self.assertEqual(self.receive(sock, 1), b"b")

    def test_it_refuses(self):
        self.proxy.refuse(True)
        with self.assertRaises(OSError):
            sock = self.connect()
            if not sock.recv(1):
                raise ConnectionResetError

    def test_it_swallows_methods_and_nothing_else(self):
        self.proxy.swallow(60, 20)
        kept = [b"AMQP\x00\x00\x09\x01", method(10, 11), method(60, 21, b"\x3c\x00\x14")]
        sock = self.connect()
        for data in (kept[0], kept[1], method(60, 20, b"nobody"), kept[2]):
            for byte in data:
                sock.sendall(bytes([byte]))
        self.assertEqual(self.receive(sock, sum(map(len, kept))), b"".join(kept))
        self.assertEqual(self.echo.got, b"".join(kept))


if __name__ == "__main__":
    unittest.main()
