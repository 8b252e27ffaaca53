#!/usr/bin/python3
"""Compares the packet layer with scapy, an independent implementation.

    test_packet_scapy.py PKT_DUMP

PKT_DUMP is the program of tests/lib/pkt_dump.c. Exits 77 where scapy is missing.

- Well-formed packets of every kind: the same headers at the same offsets, the
  same payload length.
- Packets with bytes changed or cut off: the same transport header wherever
  scapy's reading leaves no choice.
- Edits: scapy makes the same change on its own copy, drops the checksums and
  builds the packet anew; the bytes must be equal.
- Every edited packet's checksums are then judged by tshark, where installed.
"""

import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import warnings

# scapy warns of routes and ciphers that no packet here needs.
logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
warnings.simplefilter("ignore")
try:
    from scapy.all import (
        ARP, ICMP, IP, TCP, UDP, Dot1AD, Dot1Q, Ether, ICMPv6EchoRequest, IPv6,
        IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
        IPv6ExtHdrRouting, PadN, Padding, Raw, conf, wrpcap)
except ImportError:
    print("skipped: scapy is not installed; apt-get install python3-scapy")
    sys.exit(77)

RAW, ETHERNET = 0, 1
L3_IPV4, L3_IPV6, L3_ARP = 1, 2, 3
L4_NONE, L4_TCP, L4_UDP, L4_ICMP, L4_ICMPV6 = range(5)
OFF_NONE = 65535
FRAGMENT, LATER_FRAGMENT, TRUNCATED, MALFORMED = 4, 8, 16, 32

PACKETS = 1200
MUTANTS = 3
SEED = 20

TRANSPORTS = {TCP: L4_TCP, UDP: L4_UDP, ICMP: L4_ICMP, ICMPv6EchoRequest: L4_ICMPV6}
NETWORKS = {IP: L3_IPV4, IPv6: L3_IPV6, ARP: L3_ARP}

conf.debug_dissector = False


def random_ipv4(rng):
    return ".".join(str(rng.randrange(256)) for _ in range(4))


def random_ipv6(rng):
    return "2001:db8::" + ":".join(f"{rng.randrange(65536):x}" for _ in range(3))


def random_transport(rng, ipv6):
    ports = {"sport": rng.randrange(65536), "dport": rng.randrange(65536)}
    kind = rng.randrange(4)
    if kind == 0:
        return UDP(**ports)
    if kind == 1:
        number = rng.randrange(65536)
        return (ICMPv6EchoRequest(id=number) if ipv6
                else ICMP(type=8, id=number))
    options = rng.sample(
        [("MSS", rng.randrange(536, 9000)), ("NOP", None), ("SAckOK", b""),
         ("WScale", 7), ("Timestamp", (1, 2))], rng.randrange(6))
    return TCP(flags=rng.choice(["S", "SA", "A", "PA", "FA", "R"]),
               seq=rng.randrange(2**32), ack=rng.randrange(2**32),
               window=rng.randrange(65536), options=options, **ports)


def random_extensions(rng):
    chain = [
        IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * rng.randrange(9))]),
        IPv6ExtHdrRouting(addresses=[random_ipv6(rng)], segleft=0),
        IPv6ExtHdrFragment(offset=0, m=rng.randrange(2), id=7),
        IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * rng.randrange(9))]),
    ]
    return [header for header in chain if rng.random() < 0.3]


def random_network(rng):
    """Returns an IP packet, or ARP."""
    payload = Raw(rng.randbytes(rng.choice([0, 1, 7, 64, 333])))
    if rng.random() < 0.04:
        return ARP(psrc=random_ipv4(rng), pdst=random_ipv4(rng))
    if rng.random() < 0.5:
        packet = IP(src=random_ipv4(rng), dst=random_ipv4(rng),
                    ttl=rng.randrange(256), tos=rng.randrange(256),
                    flags=rng.choice(["DF", 0]),
                    options=b"\x94\x04\0\0" * rng.choice([0, 0, 0, 1, 10]))
        if rng.random() < 0.1:
            packet.flags, packet.frag = rng.choice([("MF", 0), ("MF", 64), (0, 9)])
        return packet / random_transport(rng, False) / payload
    packet = IPv6(src=random_ipv6(rng), dst=random_ipv6(rng),
                  hlim=rng.randrange(256), tc=rng.randrange(256),
                  fl=rng.randrange(2**20))
    for header in random_extensions(rng) if rng.random() < 0.4 else []:
        packet = packet / header
    return packet / random_transport(rng, True) / payload


def random_frame(rng):
    """Returns (link, scapy packet as dissected from its own bytes)."""
    network = random_network(rng)
    if rng.random() < 0.4 and ARP not in network:
        return RAW, dissect(RAW, bytes(network))
    frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    tags = rng.choice([0, 0, 0, 1, 2])
    if tags == 2:
        frame = frame / Dot1AD(vlan=200)
    if tags >= 1:
        frame = frame / Dot1Q(vlan=100, prio=3)
    data = bytes(frame / network)
    return ETHERNET, dissect(ETHERNET, data.ljust(60, b"\0"))


def dissect(link, data):
    if link == ETHERNET:
        return Ether(data)
    return IP(data) if data and data[0] >> 4 == 4 else IPv6(data)


def layers_of(packet):
    """Yields (offset, layer) of the outermost packet; not what an error quotes."""
    off = 0
    while packet:
        yield off, packet
        off += len(packet) - len(packet.payload)
        packet = packet.payload


def run(program, cases):
    """Feeds (link, edits, bytes) cases to the program, returns its rows."""
    text = "".join(f"{link} {edits} {data.hex() or '-'}\n"
                   for link, edits, data in cases)
    done = subprocess.run([program], input=text, capture_output=True, text=True,
                          check=True)
    rows = []
    for line in done.stdout.splitlines():
        *numbers, data = line.split()
        row = dict(zip(("l3", "l3_off", "l4", "l4_off", "payload_off",
                        "payload_bytes", "ip_proto", "ip_bytes", "flags",
                        "failed"), map(int, numbers)))
        row["data"] = b"" if data == "-" else bytes.fromhex(data)
        rows.append(row)
    assert len(rows) == len(cases), (len(rows), len(cases))
    return rows


def require(condition, what, case, row):
    if condition:
        return
    link, edits, data = case
    print(f"FAILED: {what}\n  link {link}, edits {edits}, {data.hex()}")
    print(f"  got {({k: v for k, v in row.items() if k != 'data'})}")
    print(f"  got {row['data'].hex()}")
    dissect(link, data).show()
    sys.exit(1)


def check_well_formed(case, row):
    link, _, data = case
    expected_l3 = expected_l4 = None
    for off, layer in layers_of(dissect(link, data)):
        if type(layer) in NETWORKS:
            expected_l3 = NETWORKS[type(layer)], off
        elif type(layer) in TRANSPORTS:
            # scapy counts the data of an echo to its header.
            header = 8 if isinstance(layer, ICMPv6EchoRequest) else \
                len(layer) - len(layer.payload)
            held = len(layer) - header
            if Padding in layer:
                held -= len(layer[Padding])
            expected_l4 = (TRANSPORTS[type(layer)], off, off + header, held)
    # scapy reads a transport header in first fragments, we too; in no later one.
    require((row["l3"], row["l3_off"]) == expected_l3, "network", case, row)
    if expected_l4 is None:
        expected_l4 = L4_NONE, OFF_NONE, OFF_NONE, 0
    require((row["l4"], row["l4_off"], row["payload_off"], row["payload_bytes"])
            == expected_l4, f"transport, not {expected_l4}", case, row)
    require(not row["flags"] & (TRUNCATED | MALFORMED), "flags", case, row)
    fragment = dissect(link, data)
    is_fragment = IPv6ExtHdrFragment in fragment or (
        IP in fragment and (fragment[IP].flags.MF or fragment[IP].frag > 0))
    require(bool(row["flags"] & FRAGMENT) == is_fragment, "fragment", case, row)


def check_mutant(case, row):
    """Compares where the bytes have one reading: IPv4 or IPv6 next to TCP or
    UDP, and no fragment."""
    link, _, data = case
    try:
        packet = dissect(link, data)
    except Exception:  # scapy gives up on some; we must only survive.
        return False
    found = {type(layer): (off, layer) for off, layer in layers_of(packet)}
    if row["l4"] in (L4_TCP, L4_UDP):
        kind = TCP if row["l4"] == L4_TCP else UDP
        if kind in found:
            off, layer = found[kind]
            ports = int.from_bytes(data[row["l4_off"]:row["l4_off"] + 4], "big")
            require(off == row["l4_off"] and
                    ports == layer.sport << 16 | layer.dport, "mutant", case, row)
            return True
    for kind, l4, least in (TCP, L4_TCP, 20), (UDP, L4_UDP, 8):
        if kind not in found:
            continue
        off, layer = found[kind]
        if not is_unambiguous(layer, least):
            continue
        require((row["l4"], row["l4_off"]) == (l4, off), "mutant lost", case, row)
    return False


def is_unambiguous(layer, least):
    """Whether a transport header must be found: its IP header is sound and the
    packet, as far as IP counts it, holds the header."""
    below = layer.underlayer
    held = len(layer) - (len(layer[Padding]) if Padding in layer else 0)
    if held < least or (least == 20 and layer.dataofs < 5):
        return False
    if isinstance(below, IP):
        return below.version == 4 and below.ihl >= 5 and \
            below.len >= below.ihl * 4 + least and below.frag == 0
    return isinstance(below, IPv6) and below.version == 6 and \
        below.plen >= least


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(min(len(data), 90))] = rng.choice(
            [0, 255, rng.randrange(256), rng.randrange(256)])
    if rng.random() < 0.3:
        del data[rng.randrange(len(data)):]
    return bytes(data)


def random_edits(rng, packet):
    """Returns (text for the program, the packet that scapy makes of it)."""
    network = packet.getlayer(IP) or packet.getlayer(IPv6)
    v4 = isinstance(network, IP)
    transport = next((packet[kind] for kind in TRANSPORTS if kind in packet), None)
    text = []
    for name in rng.sample(["src", "dst", "sport", "dport", "ttl", "dscp", "ecn",
                            "window"], rng.randrange(1, 5)):
        number = rng.choice([0, rng.randrange(65536)])
        if name in ("src", "dst"):
            address = random_ipv4(rng) if v4 else random_ipv6(rng)
            setattr(network, name, address)
            field = bytes(IP(dst=address) if v4 else IPv6(dst=address))
            value = (field[16:20] if v4 else field[24:40]).hex()
        elif name in ("sport", "dport", "window"):
            if not isinstance(transport, TCP if name == "window" else (TCP, UDP)):
                continue
            setattr(transport, name, number)
            value = f"{number:x}"
        elif name == "ttl":
            setattr(network, "ttl" if v4 else "hlim", number & 255)
            value = f"{number & 255:x}"
        else:
            mask, shift = (0xFC, 2) if name == "dscp" else (0x03, 0)
            number &= mask >> shift
            field = "tos" if v4 else "tc"
            before = getattr(network, field)
            setattr(network, field, before & ~mask | number << shift)
            value = f"{number:x}"
        text.append(f"{name}={value}")
    if v4:
        del network.chksum
    if isinstance(transport, (TCP, UDP, ICMP)):
        del transport.chksum
    elif transport is not None:
        del transport.cksum
    return ",".join(text) or "-", bytes(packet)


def judge_with_tshark(rows, cases):
    """Returns how many packets tshark found no wrong checksum in."""
    tshark = shutil.which("tshark")
    if tshark is None:
        return 0
    frames = [row["data"] for row, case in zip(rows, cases) if case[0] == ETHERNET]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "edited.pcap")
        wrpcap(path, [Ether(frame) for frame in frames])
        bad = subprocess.run(
            [tshark, "-n", "-r", path, "-o", "ip.check_checksum:TRUE",
             "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
             "-Y", "ip.checksum.status == 0 or tcp.checksum.status == 0 or "
             "udp.checksum.status == 0 or icmp.checksum.status == 0 or "
             "icmpv6.checksum.status == 0"],
            capture_output=True, text=True, check=True).stdout
    if bad:
        print(f"FAILED: checksums that tshark calls wrong\n{bad}")
        sys.exit(1)
    return len(frames)


def is_whole(packet):
    """Whether scapy can compute the checksum that the packet should have."""
    return IPv6ExtHdrFragment not in packet and not (
        IP in packet and (packet[IP].flags.MF or packet[IP].frag > 0))


def main():
    program = sys.argv[1]
    rng = random.Random(SEED)
    frames = [random_frame(rng) for _ in range(PACKETS)]

    cases = [(link, "-", bytes(packet)) for link, packet in frames]
    for case, row in zip(cases, run(program, cases)):
        check_well_formed(case, row)
    print(f"{len(cases)} packets read as scapy reads them")

    cases = [(link, "-", mutate(rng, bytes(packet)))
             for link, packet in frames for _ in range(MUTANTS)]
    compared = sum(check_mutant(case, row)
                   for case, row in zip(cases, run(program, cases)))
    print(f"{len(cases)} mutants, {compared} with a transport header in both")
    assert compared > PACKETS, "the mutants hardly test anything"

    cases, expected = [], []
    for link, packet in frames:
        if ARP in packet or not is_whole(packet):
            continue
        before = bytes(packet)
        edits, after = random_edits(rng, packet)
        cases.append((link, edits, before))
        expected.append(after)
    rows = run(program, cases)
    for case, row, after in zip(cases, rows, expected):
        require(row["failed"] == 0, "edit refused", case, row)
        require(row["data"] == after, f"edited, not {after.hex()}", case, row)
    print(f"{len(cases)} packets edited as scapy edits them")
    print(f"{judge_with_tshark(rows, cases)} of them judged by tshark")

    blank = [(link, "fix", bytes(blanked)) for (link, _, _), after in
             zip(cases, expected) for blanked in [without_checksums(link, after)]]
    for case, row, after in zip(blank, run(program, blank), expected):
        require(row["data"] == after, f"completed, not {after.hex()}", case, row)
    print(f"{len(blank)} packets completed as scapy completes them")


def without_checksums(link, data):
    """The packet with wrong checksums (not zero: that would mean none)."""
    packet = dissect(link, data)
    if IP in packet:
        packet[IP].chksum = 1
    for kind in TRANSPORTS:
        if kind in packet:
            setattr(packet[kind],
                    "cksum" if kind is ICMPv6EchoRequest else "chksum", 1)
    return packet


main()
