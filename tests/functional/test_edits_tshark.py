"""Everything that 'nsp simulate' changes or makes, as tshark reads it: whole
packets with good checksums, and the change that was asked for. Its input is
TCP, UDP and ICMP over IPv4 and IPv6, written here by hand. What comes out of
all rules is one capture, so that tshark starts but once.
"""

import os
import pathlib
import shutil
import struct
import subprocess
import sys

import pytest

sys.path += [str(pathlib.Path(__file__).parents[2] / "tools")]

import captures

NSP = os.environ["NSP"]

pytestmark = pytest.mark.skipif(not shutil.which("tshark"),
                                reason="no tshark here")

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
SYN, ACK, PUSH = 0x02, 0x10, 0x08
ADDRESSES = {4: (b"\x0a\0\0\1", b"\x0a\0\0\2"),
             6: (b"\xfd" + bytes(14) + b"\1", b"\xfd" + bytes(14) + b"\2")}
OPTIONS = struct.pack("!BBHBBBB", 2, 4, 1460, 1, 3, 3, 7)
CHECKSUMS = ["ip", "tcp", "udp", "icmp", "icmpv6"]
GOOD = "1"


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF or 0xFFFF)


def packet(version, proto, body, at):
    """With the checksum of 'body' written to 'at' of it."""
    source, target = ADDRESSES[version]
    pseudo = source + target + struct.pack("!II", len(body), proto)
    if proto == ICMP:
        pseudo = b""
    body = body[:at] + checksum(pseudo + body) + body[at + 2:]
    if version == 6:
        return struct.pack("!IHBB", 6 << 28 | 1 << 20, len(body), proto,
                           64) + source + target + body
    head = struct.pack("!BBHHHBBH", 0x45, 1, 20 + len(body), 7, 0x4000, 64,
                       proto, 0)
    return (head[:10] + checksum(head + source + target) + source + target +
            body)


def segment(version, flags, options=b"", payload=b""):
    head = struct.pack("!HHIIBBHHH", 60001, 60002, 1000, 2000,
                       (20 + len(options)) << 2, flags, 60000, 0, 0)
    return packet(version, TCP, head + options + payload, 16)


def some_packets():
    for version in (4, 6):
        yield segment(version, SYN, OPTIONS)
        yield segment(version, ACK)
        for size in (1, 2, 701, 1400):
            payload = bytes(i * 7 & 0xFF for i in range(size))
            yield segment(version, ACK | PUSH, b"", payload)
            yield packet(version, UDP, struct.pack(
                "!HHHH", 60001, 60002, 8 + size, 0) + payload, 6)
            yield (packet(4, ICMP, struct.pack("!BBHHH", 8, 0, 0, 1, 1) +
                          payload, 2) if version == 4 else
                   packet(6, ICMPV6, struct.pack("!BBHHH", 128, 0, 0, 1, 1) +
                          payload, 2))


PACKETS = list(some_packets())
COUNT = len(PACKETS)
HALF = COUNT // 2  # Of one IP version.
TCP_COUNT = 2 * 6
BIG = 2 * 3  # Of more than 1000 bytes.
TAMPER = "tamper: {{ chance: 100%, {}, checksum: {} }}".format

# An effect, what it is for, fields of tshark's, and how many packets have them.
EDITS = {
    "nothing": ("delay: 1ms", "ip", {"ip.ttl": "64"}, HALF),
    "dscp": ("dscp: 46", "ip", {"ip.dsfield.dscp": "46"}, HALF),
    "dscp-ipv6": ("dscp: 46", "ipv6", {"ipv6.tclass.dscp": "46"}, HALF),
    "ecn": ("ecn: ce", "ip", {"ip.dsfield.ecn": "3"}, HALF),
    "ecn-ipv6": ("ecn: ect0", "ipv6", {"ipv6.tclass.ecn": "2"}, HALF),
    "ttl": ("ttl: 9", "ip", {"ip.ttl": "9"}, HALF),
    "hop-limit": ("ttl: 9", "ipv6", {"ipv6.hlim": "9"}, HALF),
    "mss": ("mss: 1200", "tcp", {"tcp.options.mss_val": "1200"}, 2),
    "headers": ("dscp: 10, ecn: ect0, ttl: 1, mss: 900", "tcp and ip",
                {"ip.ttl": "1", "ip.dsfield.dscp": "10",
                 "tcp.options.mss_val": "900"}, 1),
    "mark-ce": ("loss: { chance: 100%, mark-ce: true }", "ip",
                {"ip.dsfield.ecn": "3"}, HALF),
    "window-clamp": ("window-clamp: 5000", "tcp",
                     {"tcp.flags.syn": "1", "tcp.window_size_value": "5000"},
                     2),
    "copies": ("duplicate: { chance: 100%, copies: 2 }, ttl: 3", "ip",
               {"ip.ttl": "3"}, 3 * HALF),
    "cut": (TAMPER("truncate: 500b", "repair"), None, {"frame.len": "500"},
            2 * BIG),
    "flip": (TAMPER("flip: 3", "repair"), "udp", {"udp.length": "1408"}, 2),
    "rewrite": (TAMPER('rewrite: "dead00"', "repair"), "udp",
                {"udp.payload": "dead"}, 6),
}

# What is made in a packet's stead.
ANSWERS = {
    "reject-tcp": ("action: reject", "tcp", {"tcp.flags.reset": "1"},
                   TCP_COUNT),
    "reject-udp": ("action: reject", "udp and ip",
                   {"icmp.type": "3", "icmp.code": "3"}, 4),
    "reject-udp-ipv6": ("action: reject", "udp and ipv6",
                        {"icmpv6.type": "1", "icmpv6.code": "4"}, 4),
    "tcp-rst": ("tcp-rst: { chance: 100%, ends: both }", "tcp",
                {"tcp.flags.reset": "1"}, 2 * TCP_COUNT),
    "too-big": ("mtu-clamp: 1300", "ip",
                {"icmp.type": "3", "icmp.code": "4", "icmp.mtu": "1300"}, 3),
    "too-big-ipv6": ("mtu-clamp: 1300", "ipv6",
                     {"icmpv6.type": "2", "icmpv6.mtu": "1300"}, 3),
}

# What is damaged, and not repaired.
DAMAGE = {
    "kept": (TAMPER("flip: 1", "keep"), "udp", {}, 8),
    "broken": (TAMPER("flip: 1", "break"), "udp", {}, 8),
    "cut-to-mtu": ("mtu-clamp: { size: 1000, excess: truncate }",
                   "udp.PayloadLength > 1000", {"frame.len": "1000"}, 2),
}
CASES = {**EDITS, **ANSWERS, **DAMAGE}


def simulate(folder, effect, match):
    """What comes out of a rule. What it is not for is dropped."""
    match = match or "ip or ipv6"
    (folder / "p.yaml").write_text(
        "version: 1\nrules:\n"
        f'  - {{ name: it, match: "{match}", {effect} }}\n'
        "  - { name: others, action: drop }\n", encoding="ascii")
    done = subprocess.run(
        [NSP, "simulate", "p.yaml", "--quiet", "--in", "in.pcap", "--out",
         "out.pcapng"], cwd=folder, capture_output=True, text=True, timeout=100,
        check=False)
    assert done.returncode == 0, done.stderr
    return [data for _, data in captures.read_pcapng(folder / "out.pcapng")]


def dissect(path, fields):
    """The first value of each field in each packet, a dictionary each. Sums of
    packets that ICMP quotes are not looked at."""
    found = subprocess.run(
        ["tshark", "-n", "-r", path, "-T", "fields", "-E", "occurrence=f",
         *(arg for name in CHECKSUMS[:3]
           for arg in ("-o", f"{name}.check_checksum:TRUE")),
         *(arg for name in fields for arg in ("-e", name))],
        capture_output=True, text=True, check=True, timeout=100)
    return [dict(zip(fields, line.split("\t")))
            for line in found.stdout.splitlines()]


def status(name):
    return f"{name}.checksum.status"


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What tshark shows of what comes out of each case, by its name."""
    folder = tmp_path_factory.mktemp("edits")
    captures.write_pcap(folder / "in.pcap",
                        ((i * 10**6, data) for i, data in enumerate(PACKETS)))
    made = {name: simulate(folder, effect, match)
            for name, (effect, match, _, _) in CASES.items()}
    captures.write_pcap(folder / "all.pcap",
                        ((0, data) for packets in made.values()
                         for data in packets))
    fields = sorted({field for case in CASES.values() for field in case[2]} |
                    {"_ws.malformed", *map(status, CHECKSUMS)})
    lines = iter(dissect(folder / "all.pcap", fields))
    result = {name: [next(lines) for _ in packets]
              for name, packets in made.items()}
    assert not list(lines)
    return result


def sums(packet, answers=False):
    """The states of its checksums; of ICMP, of that alone."""
    names = CHECKSUMS
    if answers and packet[status("icmp")] + packet[status("icmpv6")]:
        names = ["ip", "icmp", "icmpv6"]
    return {packet[status(name)] for name in names} - {""}


@pytest.mark.parametrize("name", [*EDITS, *ANSWERS])
def test_packets_are_whole_and_as_asked(shown, name):
    _, _, fields, count = CASES[name]
    for packet in shown[name]:
        assert sums(packet, name in ANSWERS) == {GOOD}, packet
        assert packet["_ws.malformed"] == "", packet
    assert sum(all(packet[field].startswith(value)
                   for field, value in fields.items())
               for packet in shown[name]) == count


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_that_is_not_repaired_is_seen(shown, name):
    _, _, fields, count = DAMAGE[name]
    assert len(shown[name]) == count
    for packet in shown[name]:
        assert packet[status("ip")] in ("", GOOD), packet
        assert all(packet[field] == fields[field] for field in fields)
        assert packet[status("udp")] not in ("", GOOD), packet
