"""A bridge whose interfaces get other queues, and lose their programs, while it
runs: it binds anew, and puts them back.

The network of test_bridge_live.py.
"""

import subprocess
import threading

import pytest

from live_hosts import (FAR, FAR6, NEAR, NEAR6, PATIENCE, answers_in_time, do,
                        is_silent, join, parted as net)  # noqa: F401
from live_traffic import MEGABYTE, PYTHON, transfer
from test_bridge_live import (CHANNELS, bridge, joined, last_words, pytestmark,
                              traces)  # noqa: F401


def set_queues(host, name, count):
    done = host.run(PYTHON, "-c", CHANNELS, name, str(count))
    assert done.returncode == 0, done.stderr


def words_of(shape, words):
    """Waits until the process has said so; one that does not is killed."""
    end = threading.Timer(PATIENCE, shape.process.kill)
    end.start()
    line = shape.process.stderr.readline()
    while words not in line:
        assert line, words
        line = shape.process.stderr.readline()
    end.cancel()


# From ports that a sender with several queues spreads.
FLOWS = f"""
import socket
for port in range(5000, 5040):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", port))
    s.sendto(b"flow", ("{FAR}", 9))
"""


@pytest.mark.parametrize("options", [[], ["--busy-poll"]])
def test_follows_the_number_of_queues(net, options):
    """All that comes from either is dropped here; nothing passes by. Fewer than
    sockets are bound to the kernel does not allow."""
    joined(net).end()
    shape = bridge(net, "--filter", "udp.DstPort == 9", "--drop", *options)
    assert answers_in_time(net)
    set_queues(net.middle, "p0", 2)
    words_of(shape, "interface p0 now has 2 queues")
    set_queues(net, "v0", 2)
    assert answers_in_time(net)
    assert transfer(net, net.far, FAR, 4 * MEGABYTE)
    assert transfer(net.far, net, NEAR6, 4 * MEGABYTE)
    assert net.run(PYTHON, "-c", FLOWS).returncode == 0
    shape.wait_until(lambda said: said["dropped"]["rule"]["pkts"] == 40)
    end = shape.end()
    assert end["device_errors"] == end["kernel_dropped_pkts"] == 0
    assert traces(net) == []


def test_follows_the_number_of_queues_with_what_is_held(net):
    joined(net).end()
    shape = bridge(net, "--filter", "icmp.Type == 8", "--delay", "4s")
    pinger = net.start("ping", "-n", "-q", "-c", "20", "-i", "0.02", "-W",
                       str(PATIENCE), FAR)
    shape.wait_until(lambda said: said["queued"]["pkts"] == 20)
    set_queues(net.middle, "p0", 2)
    words_of(shape, "interface p0 now has 2 queues")
    assert transfer(net, net.far, FAR)  # Into rooms that are free.
    assert " 20 received" in pinger.communicate(timeout=PATIENCE)[0]
    end = shape.end()
    assert end["shaped"]["delivered"] == end["shaped"]["in"]


def test_waits_for_as_many_queues_as_several_workers_need(net):
    for end, port, name, addresses in ((net, "p0", "v0", (NEAR, NEAR6)),
                                       (net.far, "p1", "v1", (FAR, FAR6))):
        do(net.middle, f"ip link delete {port}")
        join(net.middle, end, port, name, addresses, queues=4)
        for host, which in (end, name), (net.middle, port):
            set_queues(host, which, 2)
    shape = joined(net, "--workers", "2")
    set_queues(net.middle, "p0", 3)
    words_of(shape, "cross in the kernel until both interfaces have as many")
    assert answers_in_time(net)
    set_queues(net.middle, "p1", 3)
    words_of(shape, "interface p1 now has 3 queues")
    for host, name in (net, "v0"), (net.far, "v1"):
        set_queues(host, name, 3)
    assert answers_in_time(net)
    assert transfer(net, net.far, FAR)
    assert transfer(net.far, net, NEAR6)
    shape.end()
    assert traces(net) == []


@pytest.mark.parametrize("options", [[], ["--busy-poll"], ["--fail-closed"]])
@pytest.mark.parametrize("what", ["ip link set p0 xdp off",
                                  "tc filter del dev p0 ingress",
                                  "tc qdisc del dev p0 clsact"])
def test_puts_a_program_back_that_was_taken_off(net, options, what):
    joined(net).end()
    shape = bridge(net, "--filter", "icmp", "--drop", *options)
    assert is_silent(net)
    do(net.middle, what)
    words_of(shape, "is back")
    assert is_silent(net, 3)
    assert transfer(net, net.far, FAR, MEGABYTE)  # By the other program.
    shape.end()
    assert traces(net) == []


# Loads an XDP program that lets all pass (BPF_PROG_LOAD), puts it at an interface
# in the place of any other (RTM_SETLINK), and takes it off when told to.
FOREIGN = """
import ctypes, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
insns = ctypes.create_string_buffer(
    bytes.fromhex("b700000002000000" "9500000000000000"))
licence = ctypes.create_string_buffer(b"GPL")
attributes = ctypes.create_string_buffer(
    struct.pack("<IIQQ", 6, 2, ctypes.addressof(insns),
                ctypes.addressof(licence)), 128)
program = libc.syscall(321, 5, attributes, 128)
assert program >= 0, ctypes.get_errno()
def put(fd):
    xdp = struct.pack("<HHi", 8, 1, fd) + struct.pack("<HHI", 8, 3, 4)
    body = struct.pack("<BxHiII", 0, 0, socket.if_nametoindex(sys.argv[1]), 0, 0)
    body += struct.pack("<HH", 4 + len(xdp), 0x8000 | 43) + xdp
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    s.send(struct.pack("<IHHII", 16 + len(body), 19, 5, 1, 0) + body)
    assert struct.unpack_from("<i", s.recv(4096), 16)[0] == 0
put(program)
print("ready", flush=True)
sys.stdin.readline()
put(-1)
"""


@pytest.mark.parametrize("closed", [False, True])
def test_comes_back_when_another_program_has_gone(net, closed):
    joined(net).end()
    shape = bridge(net, "--filter", "icmp", "--drop",
                   *(["--fail-closed"] if closed else []))
    assert is_silent(net)
    foreign = net.middle.start(PYTHON, "-c", FOREIGN, "p0",
                               stdin=subprocess.PIPE)
    assert foreign.stdout.readline() == "ready\n", foreign.stderr.read()
    if closed:
        last_words(shape, "somebody put another XDP program")
        assert is_silent(net)
        foreign.communicate("\n")
        return
    words_of(shape, "frames pass by")
    assert transfer(net, net.far, FAR, MEGABYTE)
    foreign.communicate("\n")
    words_of(shape, "is back")
    assert is_silent(net, 3)
    shape.end()
    assert traces(net) == []
