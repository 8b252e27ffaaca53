"""'nsp capture' on live packets, beside tcpdump and tshark, which share no code
with it."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from live_hosts import (FAR, NEAR, NEEDS_NETWORK, PATIENCE, answers_in_time,
                        near, ping, stop)  # noqa: F401
from live_traffic import PYTHON

NSP = os.environ["NSP"]

pytestmark = [
    NEEDS_NETWORK,
    pytest.mark.skipif(not shutil.which("tshark"), reason="no tshark here"),
]

SEND = """
import socket, sys
to, port, count, size = sys.argv[1], *map(int, sys.argv[2:])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(count):
    s.sendto(i.to_bytes(4, "big") + bytes(size - 4), (to, port))
"""


class Capture:
    """A capture that has begun when this is made."""

    def __init__(self, host, *options, **more):
        self.process = host.start(NSP, "capture", "--json", *map(str, options),
                                  **more)
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        assert json.loads(line)["type"] == "start", line

    def end(self, number=signal.SIGTERM, status=0):
        if number:
            self.process.send_signal(number)
        out, self.err = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == status, (out, self.err)
        return json.loads(out.splitlines()[-1])


def send(host, to=FAR, port=5000, count=1, size=100):
    done = host.run(PYTHON, "-c", SEND, to, str(port), str(count), str(size))
    assert done.returncode == 0, done.stderr


def read(path, *fields, reader="tshark"):
    names = [arg for field in fields for arg in ("-e", field)]
    done = subprocess.run([reader, "-n", "-r", path, "-T", "fields", *names],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def count_pkts(*paths):
    """How many there are in each."""
    done = subprocess.run(["capinfos", "-T", "-r", "-c", "-M", *paths],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = dict(line.split("\t") for line in done.stdout.splitlines())
    return [int(counts[str(path)]) for path in paths]


OUT, IN = "0x00000002", "0x00000001"
PLACE = ["frame.packet_flags_direction", "frame.interface_name", "ip.src",
         "icmp.type"]


def test_directions_are_told_on_an_interface(near, tmp_path):
    assert answers_in_time(near)
    path = tmp_path / "a.pcapng"
    capture = Capture(near, "-i", "v0", "--filter", "icmp", "-w", path)
    assert ping(near, 3) == 3
    end = capture.end()
    assert read(path, *PLACE) == [[OUT, "v0", NEAR, "8"],
                                  [IN, "v0", FAR, "0"]] * 3
    assert end["captured"]["pkts"] == end["seen_pkts"] == 6
    assert end["files"] == 1


def test_loopback_packets_come_once_on_any(near, tmp_path):
    assert answers_in_time(near)
    path = tmp_path / "a.pcapng"
    capture = Capture(near, "--filter", "udp", "-w", path)
    send(near, "127.0.0.1", count=5)
    send(near, FAR, count=5)
    capture.end()
    assert read(path, "frame.packet_flags_direction", "frame.interface_name",
                "sll.pkttype", "ip.dst") == (
                    [[OUT, "any", "4", "127.0.0.1"]] * 5 +
                    [[OUT, "any", "4", FAR]] * 5)
    path = tmp_path / "lo.pcapng"
    capture = Capture(near, "-i", "lo", "--filter", "udp and loopback", "-w",
                      path)
    send(near, "127.0.0.1", count=5)
    assert capture.end()["seen_pkts"] == 5
    assert len(read(path, "ip.dst")) == 5


@pytest.mark.skipif(not shutil.which("tcpdump"), reason="no tcpdump here")
def test_tcpdump_sees_the_same_packets(near, tmp_path):
    assert answers_in_time(near)
    path, other = tmp_path / "a.pcapng", tmp_path / "b.pcap"
    dump = near.start("tcpdump", "-i", "v0", "-U", "-B", "65536", "-Z", "root", "-w",
                      str(other), "udp or tcp")
    said = dump.stderr.readline()
    while "listening" not in said:
        if "permission" in said or "Operation not permitted" in said:
            pytest.skip("tcpdump may not capture here: " + said.strip())
        assert said, "tcpdump ended"
        said = dump.stderr.readline()
    capture = Capture(near, "-i", "v0", "--filter", "udp or tcp", "-w", path)
    server = near.far.start(PYTHON, "-c",
                            "import socket; s = socket.create_server(('', 7));"
                            "print('up', flush=True); c = s.accept()[0]\n"
                            "while c.recv(65536): pass")
    assert server.stdout.readline() == "up\n"
    client = near.run(PYTHON, "-c",
                      "import socket; s = socket.create_connection(('%s', 7));"
                      "s.sendall(bytes(3000000)); s.close()" % FAR)
    assert client.returncode == 0, client.stderr
    assert server.wait(PATIENCE) == 0
    send(near, count=300, size=1000)
    end = capture.end()
    fields = ["frame.len", "frame.cap_len", "eth.dst", "ip.src", "ip.id",
              "tcp.seq_raw", "udp.length", "udp.payload"]
    ours, theirs = read(path, *fields), []
    until = time.monotonic() + PATIENCE
    while len(theirs) < len(ours): # It may yet have to write.
        assert time.monotonic() < until and dump.poll() is None
        theirs = read(other, *fields)
    dump.send_signal(signal.SIGINT)
    dump.communicate(timeout=PATIENCE)
    assert len(ours) == end["captured"]["pkts"] > 300
    assert end["kernel_lost_pkts"] == end["write_lost_pkts"] == 0
    # Two sockets may come by packets of both directions in another order.
    assert sorted(ours) == sorted(theirs)


FILTERS = [
    "inbound", "outbound", "not inbound", "icmp and outbound",
    "udp.DstPort == 5001", "loopback", "not loopback", "arp", "not ip",
    "ip.TTL == 64 and not tcp", "vlan.Id == 7 and udp", "random8 < 300",
    "ip.DstAddr == 10.78.0.2 or udp.PayloadLength == 96", "udp.Payload[3] == 5",
    "ifName == \"v0\" and udp", "ifName == \"lo\"", "length > 500",
]


def expected_pkts(path, directions, text, where):
    """How many packets of a capture the evaluator matches, given the direction of
    each."""
    matches = {}
    for direction, word in ((IN, "inbound"), (OUT, "outbound")):
        done = subprocess.run(
            [NSP, "filter", "eval", "--in", path, "--direction", word, text],
            capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        matches[direction] = [line.endswith(" match")
                              for line in done.stdout.splitlines()]
    assert where == "v0" or matches[IN] == matches[OUT]
    return sum(matches[direction][i] for i, direction in enumerate(directions))


TAGGED = """
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("v0", 0))
for vid in (7, 8):
    s.send(bytes.fromhex("020000000002020000000001" + "8100%04x" % vid +
           "08004500001c00010000401166cf0a0000010a000002" "1234003500080000"))
"""


def keep_neighbours(near):
    """Neither host asks again where the other is, whenever that may be due."""
    for host, address, device in (near, FAR, "v0"), (near.far, NEAR, "v1"):
        done = host.run("ip", "neigh", "change", address, "dev", device, "nud",
                        "permanent")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("where", ["any", "v0"])
def test_filters_in_the_kernel_choose_as_the_evaluator(near, tmp_path, where):
    for host in (near, near.far): # Nobody else is to talk.
        assert host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/"
                        "disable_ipv6").returncode == 0
    assert answers_in_time(near)
    keep_neighbours(near)
    everything = tmp_path / "all.pcapng"
    captures = [Capture(near, "-i", where, "-w", everything)]
    paths = [tmp_path / f"{i}.pcapng" for i in range(len(FILTERS))]
    for path, text in zip(paths, FILTERS):
        captures.append(Capture(near, "-i", where, "-w", path, "--filter", text))
    near.run("ip", "neigh", "delete", FAR, "dev", "v0")
    assert ping(near, 2) == 2
    keep_neighbours(near)
    send(near, port=5000, count=8)
    send(near, port=5001, count=8, size=900)
    send(near, "127.0.0.1", count=4)
    send(near.far, NEAR, count=4)
    assert near.run(PYTHON, "-c", TAGGED).returncode == 0
    ends = [capture.end() for capture in captures]
    assert ends[0]["captured"]["pkts"] >= 30
    counts = dict(zip(FILTERS, (end["captured"]["pkts"] for end in ends[1:])))
    directions = [row[0] for row in
                  read(everything, "frame.packet_flags_direction")]
    for count, text in zip(count_pkts(*paths), FILTERS):
        assert count == counts[text]
        # What no capture tells of its packets.
        if not any(word in text for word in ("ifName", "random8", "oopback")):
            assert counts[text] == expected_pkts(everything, directions, text,
                                                 where), text
    assert counts["ifName == \"v0\" and udp"] >= 20
    assert counts["ifName == \"lo\""] == counts["loopback"]
    assert (counts["loopback"] >= 4) == (where == "any")
    assert counts["loopback"] + counts["not loopback"] == \
        ends[0]["captured"]["pkts"]
    assert counts["random8 < 300"] == ends[0]["captured"]["pkts"]
    assert counts["vlan.Id == 7 and udp"] == (where == "v0")
    for text, end in zip(FILTERS, ends[1:]):
        # The kernel kept the others to itself, but for what it cannot judge:
        # tagged packets, and without a link header any but IP.
        if text in ("icmp and outbound", "udp.DstPort == 5001", "loopback"):
            assert end["seen_pkts"] <= counts[text] + 10


def test_rotation_keeps_as_many_files_as_asked(near, tmp_path):
    assert answers_in_time(near)
    path = tmp_path / "ring.pcapng"
    capture = Capture(near, "-i", "v0", "--filter", "udp.DstPort == 5000", "-w",
                      path, "--rotate-size", "64kb", "--files", 3)
    send(near, count=400, size=1000)
    end = capture.end()
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["ring-00001.pcapng", "ring-00002.pcapng",
                     "ring-00003.pcapng"]
    assert end["captured"]["pkts"] == 400
    assert end["files"] > 3
    kept = []
    for name in names:
        assert (tmp_path / name).stat().st_size < 66 * 1024
        kept += [int(row[0][:8], 16)
                 for row in read(tmp_path / name, "udp.payload")]
    # The last ones, none missing.
    assert sorted(kept) == list(range(400 - len(kept), 400))
    assert len(kept) > 100


def test_rotation_by_time(near, tmp_path):
    assert answers_in_time(near)
    capture = Capture(near, "-i", "v0", "--filter", "udp", "-w",
                      tmp_path / "t.pcapng", "--rotate-time", "1ns")
    send(near, count=10)
    end = capture.end()
    assert sum(count_pkts(*tmp_path.iterdir())) == end["captured"]["pkts"] == 10
    assert end["files"] == len(list(tmp_path.iterdir())) > 1


def test_ends_after_so_many_packets_or_so_long(near, tmp_path):
    assert answers_in_time(near)
    path = tmp_path / "n.pcapng"
    capture = Capture(near, "-i", "v0", "--filter", "udp", "-c", 7, "-w", path,
                      "--snaplen", 40)
    send(near, count=50, size=1000)
    assert capture.end(number=None)["captured"]["pkts"] == 7
    assert read(path, "frame.len", "udp.payload")[0][0] == "1042"
    assert all(int(row[0]) < 100 for row in read(path, "frame.cap_len"))
    capture = Capture(near, "-i", "v0", "-w", path, "--for", "10ms")
    assert capture.end(number=None)["ok"]


def test_a_policy_says_which_rule_matched(near, tmp_path):
    assert answers_in_time(near)
    policy, path = tmp_path / "p.yaml", tmp_path / "p.pcapng"
    policy.write_text("""
version: 1
sets: { mine: { prefixes: [10.78.0.2/32] } }
rules:
  - { name: off, match: "icmp", enabled: false }
  - { name: replies, match: "icmp.Type == 0", action: drop }
  - { name: slow, match: "udp.DstPort == 5000", delay: 10ms, continue: true }
  - { name: mine, match: "udp and ip.DstAddr in @mine" }
""")
    capture = Capture(near, "-i", "v0", "--policy", policy, "-w", path,
                      "--filter", "ip")
    assert ping(near) == 1
    send(near, port=5000)
    send(near, port=5001)
    end = capture.end()
    assert [row[0] for row in read(path, "frame.comment")] == [
        "rule=replies", "rule=slow", "rule=mine"]
    assert end["seen_pkts"] == 3
    capture = Capture(near, "-i", "v0", "--comment", "ürgh, so what", "-w", path,
                      "-c", 1)
    ping(near)
    capture.end(number=None)
    assert read(path, "frame.comment") == [["ürgh, so what"]]


def full_disk(near, tmp_path, *options):
    """A capture on a file system of 256 KiB, copied from there when it ended."""
    kept = tmp_path.parent / (tmp_path.name + "-kept")
    kept.mkdir()
    script = f"""
mount -t tmpfs -o size=256k none {tmp_path} && cd {tmp_path} || exit 77
"$@"
status=$?
cp * {kept} && exit $status
"""
    process = near.start("unshare", "--mount", "sh", "-c", script, "sh", NSP,
                         "capture", "--json", "-i", "v0", "--filter",
                         "udp.DstPort == 5000", *options)
    if not process.stdout.readline():
        assert process.wait(PATIENCE) == 77, process.stderr.read()
        pytest.skip("no file system can be mounted here")
    send(near, count=1000, size=1000)
    out, _ = process.communicate(timeout=PATIENCE)
    told, last = map(json.loads, out.splitlines()[-2:])
    return process.returncode, told, last, kept


def test_a_full_disk_ends_it_with_an_error_and_a_readable_file(near, tmp_path):
    assert answers_in_time(near)
    status, told, last, kept = full_disk(near, tmp_path, "-w", "f.pcapng")
    assert status == 1
    assert last["ok"] is False
    assert "f.pcapng" in last["error"]["message"]
    assert "No space left" in last["error"]["message"]
    rows = read(kept / "f.pcapng", "udp.payload")
    assert [int(row[0][:8], 16) for row in rows] == list(range(len(rows)))
    assert len(rows) > 150
    assert told["captured"]["pkts"] == len(rows)
    assert told["write_lost_pkts"] == told["matched_pkts"] - len(rows) > 0
    check = subprocess.run(["capinfos", kept / "f.pcapng"], capture_output=True,
                           text=True, check=False)
    assert check.returncode == 0, check.stderr


def test_a_disk_that_is_full_at_the_next_file_ends_it_too(near, tmp_path):
    assert answers_in_time(near)
    status, told, last, kept = full_disk(near, tmp_path, "-w", "f.pcapng",
                                         "--rotate-size", "100kb")
    assert status == 1
    assert "No space left" in last["error"]["message"]
    files = list(kept.iterdir())
    assert told["captured"]["pkts"] == sum(count_pkts(*files))
    assert told["files"] == len(files)
    assert told["captured"]["pkts"] + told["write_lost_pkts"] == (
        told["matched_pkts"])


def test_a_disk_that_is_full_from_the_start_gets_no_file(near, tmp_path):
    done = near.run("unshare", "--mount", "sh", "-c", f"""
mount -t tmpfs -o size=64k none {tmp_path} && cd {tmp_path} || exit 77
head -c 65536 /dev/zero > filler
"$0" capture -i v0 -w f.pcapng
echo $? *
""", NSP)
    if done.returncode == 77:
        pytest.skip("no file system can be mounted here")
    assert done.stdout == "1 filler\n"
    assert "cannot write 'f.pcapng': No space left" in done.stderr
    assert "make room there" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_with_every_packet_written(near, tmp_path, number):
    assert answers_in_time(near)
    path = tmp_path / "s.pcapng"
    capture = Capture(near, "-i", "v0", "--filter", "udp", "-w", path)
    send(near, count=500)
    assert capture.end(number)["captured"]["pkts"] == 500
    assert count_pkts(path) == [500]


MOST_OF_BLOCK = 200  # Bytes of a datagram that send() sends, in a file.


def test_a_killed_one_leaves_what_it_had_written(near, tmp_path):
    assert answers_in_time(near)
    path = tmp_path / "k.pcapng"
    capture = Capture(near, "-i", "v0", "--filter", "udp", "-w", path)
    send(near, count=200)
    until = time.monotonic() + PATIENCE
    while path.stat().st_size < 100 * MOST_OF_BLOCK:
        assert time.monotonic() < until
    capture.process.kill()
    capture.process.communicate()
    assert count_pkts(path)[0] >= 100


def test_what_does_not_fit_the_buffer_is_counted(near, tmp_path):
    assert answers_in_time(near)
    path = tmp_path / "l.pcapng"
    capture = Capture(near, "-i", "v0", "--filter", "udp and outbound", "-w",
                      path, "--buffer", "4mb")
    assert capture.process.stdout.readline()  # A second has passed: it reads.
    stop(capture.process)
    for _ in range(2):
        send(near, count=3000, size=1400)
    capture.process.send_signal(signal.SIGCONT)
    end = capture.end()
    assert end["kernel_lost_pkts"] > 0
    assert end["captured"]["pkts"] > 0
    assert (end["captured"]["pkts"] + end["write_lost_pkts"] +
            end["kernel_lost_pkts"]) == 6000
    assert count_pkts(path) == [end["captured"]["pkts"]]


def test_a_reader_that_leaves_ends_it_quietly(near):
    assert answers_in_time(near)
    process = near.start(NSP, "capture", "-q", "-i", "v0", "-w", "-")
    assert process.stdout.buffer.read(4) == b"\n\r\r\n"
    process.stdout.close()
    assert process.wait(PATIENCE) == 0, process.stderr.read()


def test_an_interface_that_goes_while_it_is_down_ends_it(near, tmp_path):
    assert answers_in_time(near)
    capture = Capture(near, "-i", "v0", "-w", tmp_path / "i.pcapng")
    near.run("ip", "link", "set", "v0", "down")
    for _ in range(2):  # A second has passed: it knows.
        assert capture.process.stdout.readline()
    near.run("ip", "link", "delete", "v0")
    end = capture.end(number=None, status=1)
    assert "v0 was removed" in end["error"]["message"]


def test_an_interface_that_flaps_goes_on_and_one_that_goes_ends_it(near,
                                                                   tmp_path):
    assert answers_in_time(near)
    path = tmp_path / "i.pcapng"
    capture = Capture(near, "-i", "v0", "--filter", "icmp", "-w", path)
    near.run("ip", "link", "set", "v0", "down")
    near.run("ip", "link", "set", "v0", "up")
    assert answers_in_time(near)
    near.run("ip", "link", "delete", "v0")
    end = capture.end(number=None, status=1)
    assert "v0 was removed" in end["error"]["message"]
    assert count_pkts(path)[0] >= 2


@pytest.mark.parametrize("options,status,words", [
    (["-i", "nope", "-w", "x"], 1, "No such device"),
    (["-w", "/nowhere/x"], 1, "/nowhere/x"),
    (["-w", "-", "--rotate-size", "1mb"], 2, "standard output"),
    (["-w", "x", "--files", "3"], 2, "--rotate-size"),
    (["-w", "x", "--filter", "tcp and"], 2, "filter"),
    (["-w", "x", "-p"], 2, "promiscuous"),
    ([], 2, "no file"),
])
def test_what_cannot_be_done_is_refused_and_writes_nothing(near, tmp_path,
                                                           options, status,
                                                           words):
    done = near.run(NSP, "capture", *options, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert not list(tmp_path.iterdir())


def test_without_the_privilege_it_says_so(near, tmp_path):
    done = near.run("setpriv", "--bounding-set", "-net_raw", "--inh-caps",
                    "-net_raw", NSP, "capture", "-w", str(tmp_path / "x"))
    if "setpriv" in done.stderr:
        pytest.skip("no setpriv here")
    assert done.returncode == 3, done.stderr
    assert "CAP_NET_RAW" in done.stderr
