"""'nsp shape' on live packets: effects, accounting, and the network afterwards.
"""

import json
import os
import pathlib
import signal
import struct
import subprocess
import time

import pytest

from live_hosts import (FAR, NEAR, NEEDS_NETWORK, PATIENCE, answers_in_time,
                        assert_only_warnings, is_silent, near, ping,
                        works_here)
from live_traffic import PYTHON

NSP = os.environ["NSP"]
QUICKSTART = os.environ["NSP_QUICKSTART"]

pytestmark = NEEDS_NETWORK

NEEDS_TAP = pytest.mark.skipif(
    not works_here("tap"), reason="'nsp doctor --backend tap' finds things missing")


def tables(host):
    """Queues in use: an interception that is still there has one. Only root
    may read them; anyone else sees none."""
    return host.run("cat", "/proc/net/netfilter/nfnetlink_queue").stdout


class Shape:
    def __init__(self, host, *options, env=None):
        self.process = host.start(NSP, "shape", "--json", *options, env=env)
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.start = json.loads(line)

    def wait_until(self, holds):
        """Until something holds of what it says each second."""
        until = time.monotonic() + PATIENCE
        while not holds(json.loads(self.process.stdout.readline())):
            assert time.monotonic() < until

    def end(self, number=signal.SIGINT):
        """Ends it; returns its last document."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        assert_only_warnings(err)
        documents = [json.loads(line) for line in out.splitlines()]
        for document in documents:
            check_identity(document)
        assert documents[-1]["type"] == "end"
        return documents[-1]


def check_identity(document):
    for unit in ("pkts", "bytes"):
        dropped = sum(drop[unit] for drop in document["dropped"].values())
        assert document["in"][unit] == (document["delivered"][unit] + dropped +
                                        document["queued"][unit])
        shaped = document["shaped"]
        assert shaped["in"][unit] == (shaped["delivered"][unit] +
                                      shaped["dropped"][unit] +
                                      shaped["queued"][unit])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM,
                                    signal.SIGHUP])
def test_drops_what_matches_and_restores_the_network(near, number):
    shape = Shape(near, "--filter", "icmp and outbound", "--drop")
    assert shape.start["type"] == "start"
    assert is_silent(near, 3)
    end = shape.end(number)
    assert shape.process.returncode == 0
    assert end["dropped"]["rule"] == {"pkts": 3, "bytes": 3 * 84}
    assert end["result"] == "stopped"
    assert tables(near) == ""
    assert ping(near, 3) == 3


@pytest.mark.parametrize("options,warned", [
    (("--on", "host", "--filter", "outbound and fragment"), True),
    (("--on", "host", "--filter", "fragment", "--direction", "outbound"), True),
    (("--on", "host", "--filter", "ipv6 and fragment"), False),
    pytest.param(("--on", "tap", "--filter", "outbound and fragment"), False,
                 marks=NEEDS_TAP),
    pytest.param(("--on", "host", "--filter", "outbound and fragment",
                  "--delay", "1ms"), False, marks=NEEDS_TAP),
])
def test_warns_of_fragments_where_packets_are_whole(near, options, warned):
    done = near.run(NSP, "shape", *options, "--for", "10ms")
    assert done.returncode == 0, done.stderr
    assert ("warning: --filter asks for fragments" in done.stderr) == warned
    assert ("hint: ask for 'length' instead" in done.stderr) == warned


def test_counts_without_an_effect(near):
    shape = Shape(near, "--filter", "icmp")
    assert ping(near, 5) == 5
    end = shape.end()
    assert end["shaped"]["in"]["pkts"] == 10
    assert end["shaped"]["delivered"]["pkts"] == 10


def test_holds_inbound_packets_and_delivers_them_at_the_end(near):
    shape = Shape(near, "--direction", "inbound", "--filter", "icmp",
                  "--delay", "1h")
    assert is_silent(near, 2)
    end = shape.end()
    assert end["delivered"]["pkts"] == end["in"]["pkts"]
    assert end["queued"]["pkts"] == 0


def connect(near):
    """Links 'near' and 'far' once more."""
    far = near.far
    for host, command in (
            (near, f"ip link add v0 type veth peer name v1 netns {far.keeper.pid}"),
            (near, f"ip address add {NEAR}/24 dev v0"),
            (far, f"ip address add {FAR}/24 dev v1"),
            (far, "ip link set v1 up"), (near, "ip link set v0 up")):
        done = host.run(*command.split())
        assert done.returncode == 0, done.stderr


LATENCY = "/dev/cpu_dma_latency"


MAY_ASK = pytest.mark.skipif(not os.access(LATENCY, os.W_OK),
                             reason="may not ask how soon processors wake")


def open_files(process):
    files = pathlib.Path(f"/proc/{process.pid}/fd")
    return {os.readlink(file) for file in files.iterdir()}


@MAY_ASK
@pytest.mark.parametrize("options, asks", [
    (["--delay", "40ms"], True), (["--rate", "1mbit"], True),
    (["--delay", "40ms", "--deep-idle"], False), (["--drop"], False),
    (["--drop", "--busy-poll"], True)])
def test_may_ask_processors_to_wake_promptly_where_packets_wait_for_them(
        near, options, asks):
    shape = Shape(near, "--direction", "inbound", "--filter", "icmp", *options)
    assert is_silent(near, 3) if "--drop" in options else ping(near, 3) == 3
    assert (LATENCY in open_files(shape.process)) == asks
    shape.end()


@MAY_ASK
def test_asks_while_packets_are_held(near):
    """Others on the machine may ask, too: seen is only that somebody does."""
    shape = Shape(near, "--direction", "inbound", "--filter", "icmp",
                  "--delay", "1500ms")
    pinging = near.start("ping", "-c", "1", "-W", str(PATIENCE), FAR)
    asked = False
    while pinging.poll() is None and not asked:
        asked = struct.unpack("i", open(LATENCY, "rb").read(4))[0] <= 20
    assert asked
    assert pinging.wait(PATIENCE) == 0
    shape.end()


# Says a datagram a millisecond, and goes on when the way is gone.
TALK = f"""
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("talking", flush=True)
while True:
    try:
        s.sendto(bytes(72), ("{NEAR}", 9))
    except OSError:
        pass
    time.sleep(0.001)
"""


@pytest.mark.parametrize("output", ["json", "text"])
def test_goes_on_when_an_interface_disappears_under_traffic(near, output):
    options = ["--direction", "inbound", "--filter", "udp or icmp",
               "--delay", "2s"]
    if output == "json":
        shape = Shape(near, *options)
    else:
        process = near.start(NSP, "shape", *options)
        assert "(Ctrl-C ends)" in process.stdout.readline()
    talker = near.far.start("/usr/bin/python3", "-c", TALK)
    assert talker.stdout.readline() == "talking\n"
    # Answered, so datagrams from before are held.
    assert ping(near) == 1
    assert near.run("ip", "link", "delete", "v0").returncode == 0
    connect(near)
    assert answers_in_time(near, patience_s=4)
    talker.kill()
    talker.communicate()
    if output == "json":
        end = shape.end()
        assert end["result"] == "stopped"
        assert 0 < end["stale_verdict_pkts"] <= end["delivered"]["pkts"]
        assert end["device_errors"] == 0
        assert shape.process.returncode == 0
    else:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, err) == (0, "")
        assert out.count("warning: ") == 1
        assert "an interface went down or was removed" in out
    assert tables(near) == ""


def test_tells_of_held_packets_that_were_flushed_before_the_end(near):
    shape = Shape(near, "--direction", "inbound", "--filter", "icmp",
                  "--delay", "1h")
    assert is_silent(near, 3)
    shape.wait_until(lambda said: said["queued"]["pkts"] == 3)
    assert near.run("ip", "link", "delete", "v0").returncode == 0
    assert shape.end()["stale_verdict_pkts"] == 3


def test_a_shaper_killed_with_packets_held_lets_go_of_the_network(near):
    shape = Shape(near, "--on", "input", "--filter", "icmp", "--delay", "1h")
    assert is_silent(near, 3)
    assert tables(near) != "" or os.geteuid() != 0
    shape.process.kill()
    shape.process.communicate()
    assert ping(near) == 1
    assert tables(near) == ""


def test_a_killed_shaper_leaves_nothing_behind(near):
    shape = Shape(near, "--filter", "icmp", "--drop")
    assert is_silent(near)
    shape.process.kill()
    shape.process.communicate()
    assert ping(near) == 1
    assert tables(near) == ""


def test_ends_when_its_reader_leaves(near):
    shape = Shape(near, "--filter", "icmp", "--drop")
    shape.process.stdout.close()
    shape.process.wait(timeout=PATIENCE)
    assert shape.process.returncode == 1
    assert shape.process.stderr.read() == ""
    assert ping(near) == 1


def test_ends_after_its_time(near):
    done = near.run(NSP, "shape", "--for", "50ms", "--json", "--quiet")
    assert done.returncode == 0
    assert json.loads(done.stdout)["elapsed_ns"] >= 50_000_000


def test_a_taken_queue_is_named(near):
    shape = Shape(near, "--first-queue", "4711")
    done = near.run(NSP, "shape", "--first-queue", "4711")
    assert done.returncode == 1
    assert "queue 4711 is taken" in done.stderr
    shape.end()


def test_rejects_a_connection_at_once(near):
    shape = Shape(near, "--filter", "tcp.DstPort == 5555 and outbound",
                  "--reject")
    done = near.run("/usr/bin/python3", "-c",
                    "import socket\n"
                    f"try: socket.create_connection(('{FAR}', 5555), {PATIENCE})\n"
                    "except OSError as e: print(type(e).__name__)")
    assert done.stdout == "ConnectionRefusedError\n"
    end = shape.end()
    assert end["dropped"]["reject"]["pkts"] == 1
    assert end["injected_pkts"] == 1


def test_without_privilege_it_says_what_is_missing():
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command = [*(drop if os.geteuid() == 0 else []), NSP, "shape"]
    done = subprocess.run(command, capture_output=True, text=True,
                          timeout=PATIENCE, check=False)
    assert done.returncode == 3
    assert "privilege" in done.stderr
    assert "hint: run as root" in done.stderr


def test_quickstart_counts_live_packets(near):
    process = near.start(QUICKSTART, "outbound and icmp")
    assert process.stdout.readline() == "counting; Ctrl-C ends\n"
    assert ping(near, 4) == 4
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert "callback saw 4 packets, 336 bytes" in out


def test_knows_interfaces_by_name(near):
    shape = Shape(near, "--filter", 'ifName == "v0" and icmp', "--drop")
    assert is_silent(near, 2)
    assert shape.end()["shaped"]["in"]["pkts"] >= 2
    done = near.run(NSP, "shape", "--filter", 'ifName == "v7"')
    assert done.returncode == 2 and "v7" in done.stderr


# One datagram to each of many addresses: the kernel spreads them over queues.
SPREAD = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(1, 201):
    s.sendto(bytes(72), ("127.0.0.%d" % i, 9))
"""


def test_workers_share_a_rate(near):
    shape = Shape(near, "--on", "input", "--workers", "2", "--filter",
                  "udp.DstPort == 9", "--rate", "8bit", "--queue", "20p")
    assert near.run(PYTHON, "-c", SPREAD).returncode == 0
    end = shape.end()
    # One is on the wire, 20 wait; they are delivered at the end.
    assert end["shaped"]["in"]["pkts"] == 200
    assert end["dropped"]["queue-full"]["pkts"] == 179
    assert end["delivered"]["pkts"] == 21
