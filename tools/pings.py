#!/usr/bin/python3
"""Sends ICMP echo requests at a steady pace and prints how many are answered at
last: ping(8) leaves two round trips after its last request, so that answers which
are only late count as lost there.

    pings.py ADDRESS COUNT SECONDS_APART PATIENCE_SECONDS

Says "pinging" first. Needs a raw socket.
"""

import os
import select
import socket
import struct
import sys
import time

ECHO_REQUEST, ECHO_REPLY = 8, 0
IPV4_HEADER_BYTES = 20


def request(sender, number):
    """Without data, so that its checksum is of three words."""
    total = (ECHO_REQUEST << 8) + sender + number
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack("!BBHHH", ECHO_REQUEST, 0, ~total & 0xffff, sender,
                       number)


class Pings:
    def __init__(self, address, count):
        self.address, self.count = address, count
        self.sender = os.getpid() & 0xffff
        self.answered = set()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW,
                                    socket.IPPROTO_ICMP)
        self.socket.setblocking(False)

    def send(self, number):
        try:
            self.socket.sendto(request(self.sender, number), (self.address, 0))
        except OSError:
            pass  # Not answered, then.

    def hear(self, until):
        while len(self.answered) < self.count:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                return
            reply = self.socket.recv(2048)[IPV4_HEADER_BYTES:]
            kind, sender, number = struct.unpack_from("!B3xHH", reply)
            if kind == ECHO_REPLY and sender == self.sender:
                self.answered.add(number)


def main():
    address, count = sys.argv[1], int(sys.argv[2])
    apart_s, patience_s = map(float, sys.argv[3:5])
    pings = Pings(address, count)
    print("pinging", flush=True)
    began = time.monotonic()
    for number in range(count):
        pings.send(number)
        pings.hear(began + apart_s * (number + 1))
    pings.hear(time.monotonic() + patience_s)
    print(len(pings.answered))


if __name__ == "__main__":
    main()
