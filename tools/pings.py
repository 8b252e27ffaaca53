#!/usr/bin/python3
"""Sends ICMP echo requests at a steady pace and prints how many are answered at
last: ping(8) leaves two round trips after its last request, so that answers which
are only late count as lost there.

    pings.py ADDRESS COUNT SECONDS_APART PATIENCE_SECONDS [BYTES [ENOUGH]]

BYTES of data in each (0). Ends when ENOUGH (all) are answered, after the last
request. Says "pinging" first. Needs a raw socket.
"""

import os
import select
import socket
import struct
import sys
import time

IPV4_HEADER_BYTES = 20


class Family:
    def __init__(self, family, protocol, request, reply, header_bytes):
        self.family, self.protocol = family, protocol
        self.request, self.reply = request, reply
        self.header_bytes = header_bytes  # Before the reply that is read.


IPV4 = Family(socket.AF_INET, socket.IPPROTO_ICMP, 8, 0, IPV4_HEADER_BYTES)
IPV6 = Family(socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129, 0)


def request(kind, sender, number, data_bytes):
    """With zeros for data, so that its checksum is of three words; the kernel
    makes that of ICMPv6."""
    total = (kind << 8) + sender + number
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack("!BBHHH", kind, 0, ~total & 0xffff, sender,
                       number) + bytes(data_bytes)


class Pings:
    def __init__(self, address, count, data_bytes):
        self.address, self.count = address, count
        self.data_bytes = data_bytes
        self.sender = os.getpid() & 0xffff
        self.answered = set()
        self.family = IPV6 if ":" in address else IPV4
        self.socket = socket.socket(self.family.family, socket.SOCK_RAW,
                                    self.family.protocol)
        self.socket.setblocking(False)

    def send(self, number):
        data = request(self.family.request, self.sender, number,
                       self.data_bytes)
        try:
            self.socket.sendto(data, (self.address, 0))
        except OSError:
            pass  # Not answered, then.

    def hear(self, until, enough):
        while len(self.answered) < enough:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                return
            reply = self.socket.recv(2048)[self.family.header_bytes:]
            kind, sender, number = struct.unpack_from("!B3xHH", reply)
            if kind == self.family.reply and sender == self.sender:
                self.answered.add(number)


def main():
    address, count = sys.argv[1], int(sys.argv[2])
    apart_s, patience_s = map(float, sys.argv[3:5])
    data_bytes = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    enough = int(sys.argv[6]) if len(sys.argv) > 6 else count
    pings = Pings(address, count, data_bytes)
    print("pinging", flush=True)
    began = time.monotonic()
    for number in range(count):
        pings.send(number)
        pings.hear(began + apart_s * (number + 1), count)
    pings.hear(time.monotonic() + patience_s, enough)
    print(len(pings.answered))


if __name__ == "__main__":
    main()
