"""Captures written and read by hand: raw IPv4 packets with a number."""

import struct

LINKTYPE_RAW = 101


SYN, RST, ACK = 0x02, 0x04, 0x10


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


def ipv4_packet(identification, proto, body):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body),
                         identification, 0, 64, proto, 0, b"\x0a\0\0\1",
                         b"\x0a\0\0\2")
    return header[:10] + checksum(header) + header[12:] + body


def udp_packet(number, size, port=5000):
    """An IPv4 packet of 'size' bytes whose payload begins with 'number'."""
    payload = struct.pack("!I", number).ljust(size - 28, b"\0")
    return ipv4_packet(0, 17, struct.pack("!HHHH", 40000, port,
                                          8 + len(payload), 0) + payload)


def tcp_packet(number, flags, window=60000, payload_bytes=0):
    """A segment with 'number' for its sequence number, and a right checksum."""
    segment = struct.pack("!HHIIBBHHH", 40000, 5000, number, 0, 5 << 4, flags,
                          window, 0, 0) + bytes(payload_bytes)
    pseudo = struct.pack("!4s4sHH", b"\x0a\0\0\1", b"\x0a\0\0\2", 6,
                         len(segment))
    segment = (segment[:16] +
               checksum(pseudo + segment + bytes(payload_bytes % 2)) +
               segment[18:])
    return ipv4_packet(number & 0xFFFF, 6, segment)


def number_of(packet):
    """Of either kind."""
    return struct.unpack_from("!I", packet, 28 if packet[9] == 17 else 24)[0]


def tcp_fields(packet):
    """Its flags and its window."""
    return packet[33], struct.unpack_from("!H", packet, 34)[0]


def write_pcap(path, packets):
    """'packets' are pairs of a time in ns and bytes; times since 1000 s."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535,
                               LINKTYPE_RAW))
        for at_ns, data in packets:
            seconds, rest = divmod(at_ns, 10**9)
            file.write(struct.pack("<IIII", 1000 + seconds, rest, len(data),
                                   len(data)) + data)


def read_pcapng(path):
    """Yields (ns since 1000 s, bytes) of each packet block."""
    with open(path, "rb") as file:
        content = file.read()
    at, scale = 0, 1000
    while at < len(content):
        kind, length = struct.unpack_from("<II", content, at)
        if kind == 1:
            scale = resolution(content[at + 16:at + length - 4])
        elif kind == 6:
            _, high, low, held, _ = struct.unpack_from("<IIIII", content,
                                                       at + 8)
            yield ((high << 32 | low) * scale - 1000 * 10**9,
                   content[at + 28:at + 28 + held])
        at += length


def resolution(options):
    """Nanoseconds of a unit of time, by if_tsresol (9); else microseconds."""
    at = 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from("<HH", options, at)
        if code == 0:
            break
        if code == 9:
            assert options[at + 4] == 9, "not in nanoseconds"
            return 1
        at += 4 + (length + 3) // 4 * 4
    return 1000
