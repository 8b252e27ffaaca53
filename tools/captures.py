"""Captures written and read by hand: raw IPv4/UDP packets with a number."""

import struct

LINKTYPE_RAW = 101


def udp_packet(number, size, port=5000):
    """An IPv4 packet of 'size' bytes whose payload begins with 'number'."""
    payload = struct.pack("!I", number).ljust(size - 28, b"\0")
    udp = struct.pack("!HHHH", 40000, port, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17,
                         0, b"\x0a\0\0\1", b"\x0a\0\0\2")
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + struct.pack("!H", ~total & 0xFFFF) + header[12:] + udp


def number_of(packet):
    return struct.unpack_from("!I", packet, 28)[0]


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
