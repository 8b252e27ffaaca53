"""tshark, which shares no code with us or libpcap, reads what pcapfile writes
exactly as it reads what pcapfile was given."""

import os
import shutil
import struct
import subprocess

import pytest

COPY = os.environ["NSP_COPY_CAPTURE"]
FIELDS = ["frame.encap_type", "frame.time_epoch", "frame.len", "frame.cap_len",
          "frame.protocols", "ip.src", "ip.checksum.status", "tcp.stream",
          "sll.pkttype", "data.data"]

pytestmark = pytest.mark.skipif(not shutil.which("tshark"),
                                reason="no tshark here")

IPV4 = bytes.fromhex("4500001c00010000401166cf0a0000010a000002") + \
    bytes.fromhex("1234003500080000")
ETHERNET = bytes.fromhex("020000000002020000000001")
LINKS = {
    "ethernet": (1, ETHERNET + b"\x81\x00\x00\x05\x08\x00" + IPV4),
    "null": (0, b"\x02\x00\x00\x00" + IPV4),
    "raw": (101, IPV4),
    "sll": (113, bytes.fromhex("0004000100060200000000010000") +
            b"\x08\x00" + IPV4),
    "sll2": (276, bytes.fromhex("0800000000000002000104060200000000010000") +
             IPV4),
}


def pcap(linktype, packets):
    """A classic file with nanoseconds; 'packets' are (ns, bytes, wire)."""
    out = struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 262144, linktype)
    for ns, data, wire in packets:
        out += struct.pack("<IIII", ns // 10**9, ns % 10**9, len(data),
                           wire) + data
    return out


def fields(path):
    args = [arg for field in FIELDS for arg in ("-e", field)]
    found = subprocess.run(["tshark", "-n", "-r", path, "-T", "fields", *args],
                           capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


def copy(tmp_path, content, name="in"):
    source, target = tmp_path / name, tmp_path / (name + ".out")
    source.write_bytes(content)
    subprocess.run([COPY, source, target], check=True)
    return source, target


@pytest.mark.parametrize("link", LINKS)
def test_every_link_type_reads_the_same(tmp_path, link):
    linktype, packet = LINKS[link]
    first = 1_700_000_000_123_456_789
    packets = [(first, packet, len(packet)),
               (first + 1, packet + b"x", len(packet) + 1),
               (first + 2_000_000_003, packet, 1500)]
    source, target = copy(tmp_path, pcap(linktype, packets))
    before = fields(source)
    assert len(before) == len(packets)
    assert fields(target) == before


def test_a_copy_of_a_copy_has_the_same_bytes(tmp_path):
    linktype, packet = LINKS["sll"]
    packets = [(i * 1_000_003, packet + bytes(i % 7), len(packet) + i % 7)
               for i in range(1, 2000)]
    _, once = copy(tmp_path, pcap(linktype, packets))
    _, twice = copy(tmp_path, once.read_bytes(), "again")
    assert once.read_bytes() == twice.read_bytes()


def test_direction_and_application_are_shown(tmp_path):
    linktype, packet = LINKS["sll"]
    _, target = copy(tmp_path, pcap(linktype, [(10**18, packet, len(packet))]))
    shown = subprocess.run(["tshark", "-n", "-r", target, "-V"],
                           capture_output=True, text=True, check=True).stdout
    assert "Outbound" in shown
    info = subprocess.run(["capinfos", target], capture_output=True, text=True,
                          check=True).stdout
    assert "netshaper" in info
    assert "nanoseconds" in info
