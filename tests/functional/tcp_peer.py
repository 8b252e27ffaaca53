#!/usr/bin/python3
"""One end of TCP connections, for tests: says in JSON what came of each.

usage: tcp_peer.py sink ADDRESS PORT             counts what comes
       tcp_peer.py echo ADDRESS PORT             sends back what comes
       tcp_peer.py send ADDRESS PORT BYTES       sends so many, and looks on
       tcp_peer.py ask ADDRESS PORT QUESTIONS    so many, one after the other

The first two print a line when they listen, then one for each connection.
"""

import fcntl
import hashlib
import json
import random
import select
import socket
import struct
import sys
import termios

SIOCOUTQNSD = 0x894B
TCP_USER_TIMEOUT = 18
PATIENCE = 60
GIVE_UP_MS = 60000

# Where struct tcp_info of <linux/tcp.h> has them: all of four bytes.
INFO = {"snd_mss": 16, "pmtu": 60, "total_retrans": 100, "snd_wnd": 228}


def data_of(count):
    return random.Random(1).randbytes(count)


def number(sock, request):
    return struct.unpack("i", fcntl.ioctl(sock, request, bytes(4)))[0]


class Watch:
    """The most that was ever seen of a connection."""

    def __init__(self, sock):
        self.sock, self.in_flight, self.window = sock, 0, 0
        self.scaled, self.info = False, {}

    def look(self):
        # In this order, an acknowledgement in between makes it less, not more.
        unsent = number(self.sock, SIOCOUTQNSD)
        held = number(self.sock, termios.TIOCOUTQ)
        self.in_flight = max(self.in_flight, held - unsent)
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        self.info = {name: struct.unpack_from("I", info, at)[0]
                     for name, at in INFO.items()}
        self.scaled = info[6] & 15 != 0
        self.window = max(self.window, self.info["snd_wnd"])
        return held

    def report(self):
        return {"in_flight": self.in_flight, "window": self.window,
                "scaled": self.scaled, **self.info}


def send_all(sock, data, watch):
    """Sends and looks on until all is acknowledged."""
    at = 0
    sock.setblocking(False)
    while watch.look() > 0 or at < len(data):
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, "broken off")
        try:
            at += sock.send(data[at:at + 65536])
        except BlockingIOError:
            pass
        select.select([sock] if at == len(data) else [],
                      [sock] if at < len(data) else [], [], 0.001)
    sock.setblocking(True)


def error_name(error):
    return type(error).__name__


def connect(address, port, patience_ms, connect_ms):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, connect_ms)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Starts no slower when acknowledgements come late.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    sock.connect((address, port))
    sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, patience_ms)
    return sock


def send(address, port, count, patience_ms=GIVE_UP_MS):
    watch = error = None
    try:
        sock = connect(address, port, patience_ms, GIVE_UP_MS)
        watch = Watch(sock)
        watch.look()
        send_all(sock, data_of(count), watch)
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(PATIENCE)
        assert sock.recv(1) == b""
    except OSError as caught:
        error = error_name(caught)
    return {"error": error, **(watch.report() if watch else {})}


def ask(address, port, count, patience_ms=GIVE_UP_MS, connect_ms=GIVE_UP_MS):
    error, answers = None, 0
    try:
        sock = connect(address, port, patience_ms, connect_ms)
        for i in range(count):
            question = b"%8d" % i
            sock.sendall(question)
            answers += sock.recv(8, socket.MSG_WAITALL) == question
    except OSError as caught:
        error = error_name(caught)
    return {"error": error, "answers": answers}


def serve(address, port, echo):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family) as listener:
        print("listening", flush=True)
        while True:
            sock, _ = listener.accept()
            error, count, digest = None, 0, hashlib.sha256()
            try:
                while data := sock.recv(1 << 20):
                    count += len(data)
                    digest.update(data)
                    if echo:
                        sock.sendall(data)
            except OSError as caught:
                error = error_name(caught)
            sock.close()
            print(json.dumps({"error": error, "bytes": count,
                              "digest": digest.hexdigest()}), flush=True)


def main():
    role, address, port, *rest = sys.argv[1:]
    if role in ("sink", "echo"):
        serve(address, int(port), role == "echo")
    else:
        print(json.dumps({"send": send, "ask": ask}[role](
            address, int(port), *map(int, rest))))


if __name__ == "__main__":
    main()
