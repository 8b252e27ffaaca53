#!/usr/bin/env python3
"""Writes the seed corpus of fuzz_pkt_parse: one small file per kind of packet.

    tools/make-packet-corpus.py fuzz/corpus/pkt_parse

Each file is the target's prefix (link, flags, extra wire bytes), then a packet
given here in hexadecimal, header by header. Checksums are left at zero.
"""

import pathlib
import sys

RAW, ETHERNET, SLL, SLL2, NULL = range(5)
SUPERPACKET, PARTIAL = 1, 2

MACS = "020000000002 020000000001"
ADDRESSES4 = "C0000201 C0000202"
ADDRESSES6 = "20010DB8" + "0" * 23 + "1" + "20010DB8" + "0" * 23 + "2"
SYN = "1388 0050 00000001 00000000 6002 FFFF 0000 0000 020405B4"
ACK = "1388 0050 00000001 00000002 5010 FFFF 0000 0000"
DNS = "1388 0035 000C 0000 01020304"


def ethernet(ether_type, rest):
    return f"{MACS} {ether_type} {rest}"


def ipv4(proto, rest, length=None, fragment="0000"):
    size = 20 + len(bytes.fromhex(rest)) if length is None else length
    return f"4500 {size:04x} 0000 {fragment} 40{proto} 0000 {ADDRESSES4} {rest}"


def ipv6(following, rest, length=None):
    size = len(bytes.fromhex(rest)) if length is None else length
    return f"60000000 {size:04x} {following}40 {ADDRESSES6} {rest}"


SEEDS = {
    "raw-empty": (RAW, 0, 0, ""),
    "raw-ipv4-syn": (RAW, 0, 0, ipv4("06", SYN)),
    "raw-ipv4-syn-partial": (RAW, PARTIAL, 0, ipv4("06", SYN)),
    "raw-ipv4-superpacket": (RAW, SUPERPACKET, 0, ipv4("06", ACK, length=0)),
    "raw-ipv4-ack-truncated": (RAW, 0, 350, ipv4("06", ACK, length=1440)),
    "raw-ipv4-udp": (RAW, 0, 0, ipv4("11", DNS)),
    "raw-ipv4-echo": (RAW, 0, 0, ipv4("01", "0800 0000 0001 0001")),
    "raw-ipv4-first-fragment": (RAW, 0, 0, ipv4("11", DNS, fragment="2000")),
    "raw-ipv4-later-fragment": (RAW, 0, 0, ipv4("11", DNS, fragment="0010")),
    "raw-ipv4-options": (
        RAW, 0, 0,
        f"4600 0024 0000 0000 4011 0000 {ADDRESSES4} 94040000 {DNS}"),
    "raw-ipv6-syn": (RAW, 0, 0, ipv6("06", SYN)),
    "raw-ipv6-udp-partial": (RAW, PARTIAL, 0, ipv6("11", DNS)),
    "raw-ipv6-echo": (RAW, 0, 0, ipv6("3A", "8000 0000 0001 0001")),
    "raw-ipv6-chain": (
        RAW, 0, 0,
        ipv6("00", "2B00010400000000"
             "2C02020100000000" "20010DB8000000000000000000000003"
             "3300000000000001" "3C01000000000001 00000000"
             "8700010400000000" "1100000000000000" + DNS)),
    "raw-ipv6-segments": (
        RAW, 0, 0,
        ipv6("2B", "0604040101000000" + ADDRESSES6 + SYN)),
    "raw-ipv6-later-fragment": (RAW, 0, 0, ipv6("2C", "1100000800000001" + DNS)),
    "ethernet-ipv4-padded": (
        ETHERNET, 0, 0, ethernet("0800", ipv4("11", DNS) + "00" * 14)),
    "ethernet-qinq-ipv6": (
        ETHERNET, 0, 0, ethernet("88A8", "00C8 8100 0064 86DD" + ipv6("06", SYN))),
    "ethernet-three-tags": (
        ETHERNET, 0, 0,
        ethernet("8100", "0001 8100 0002 8100 0003 0800" + ipv4("11", DNS))),
    "ethernet-arp": (
        ETHERNET, 0, 0,
        ethernet("0806", "0001 0800 06 04 0001 020000000001 C0000201"
                 "000000000000 C0000202")),
    "ethernet-llc": (ETHERNET, 0, 0, ethernet("0003", "424203")),
    "sll-ipv4": (SLL, 0, 0, "0004 0001 0006 0200000000010000 0800" + ipv4("11", DNS)),
    "sll2-ipv6": (
        SLL2, 0, 0,
        "86DD 0000 00000002 0001 04 06 0200000000010000" + ipv6("06", SYN)),
    "null-ipv4": (NULL, 0, 0, "02000000" + ipv4("11", DNS)),
}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (link, flags, extra_words, packet) in SEEDS.items():
        prefix = bytes([link, flags]) + extra_words.to_bytes(2, "big")
        (folder / name).write_bytes(prefix + bytes.fromhex(packet))


main()
