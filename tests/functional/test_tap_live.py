"""'nsp shape --on tap' on live packets: everything a host sends and receives
goes through unharmed, effects act both ways, and nothing is left behind.

The network of live_hosts.py; 'near' is where nsp runs:

    near 10.78.0.1 v0 ---- v1 10.78.0.2 far
          fd78::1            fd78::2
"""

import json
import signal
import subprocess
import time

import pytest

from live_hosts import (FAR, NEAR, NEEDS_NETWORK, PATIENCE, answers_in_time,
                        near, ping)  # noqa: F401
from test_shape_live import NSP, Shape

NEAR6, FAR6 = "fd78::1", "fd78::2"
PYTHON = "/usr/bin/python3"


def works_here():
    return subprocess.run([NSP, "doctor", "--backend", "tap"],
                          capture_output=True, check=False).returncode == 0


pytestmark = [
    NEEDS_NETWORK,
    pytest.mark.skipif(not works_here(),
                       reason="'nsp doctor --backend tap' finds things missing"),
]


@pytest.fixture
def net(near):
    for host, name, address in ((near, "v0", NEAR6), (near.far, "v1", FAR6)):
        done = host.run("ip", "address", "add", f"{address}/64", "dev", name,
                        "nodad")
        assert done.returncode == 0, done.stderr
    assert answers_in_time(near)
    until = time.monotonic() + PATIENCE
    while ping_to(near, FAR6) == 0:
        assert time.monotonic() < until
    yield near


def ping_to(host, address, *options, count=1):
    done = host.run("ping", "-n", "-q", "-c", str(count), "-i", "0.02", "-W",
                    "2", *options, address)
    return int(done.stdout.split(" received")[0].split()[-1])


def taps(host):
    """TAPs of ours that are there."""
    lines = host.run("ip", "-o", "link").stdout.splitlines()
    return [line for line in lines if line.split(": ")[1].startswith("nsp")]


# --- Everything passes ------------------------------------------------------

@pytest.mark.parametrize("size", [0, 56, 1472, 1473, 4000, 60000])
def test_pings_of_all_sizes_pass(net, size):
    shape = Shape(net, "--on", "tap:v0")
    for address in (FAR, FAR6):
        assert ping_to(net, address, "-s", str(size), count=5) == 5
    end = shape.end()
    assert end["in"]["pkts"] >= 20
    assert end["delivered"] == end["in"]
    assert taps(net) == []


def test_counts_what_the_filter_matches_and_nothing_else(net):
    shape = Shape(net, "--on", "tap:v0", "--filter", "icmp")
    assert ping(net, 5) == 5
    assert ping_to(net, FAR6, count=5) == 5
    end = shape.end()
    assert end["in"] == {"pkts": 10, "bytes": 840}
    assert end["matched_pkts"] == 10


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", NEAR,
                                     NEAR6])
def test_loopback_is_seen_once(net, address):
    shape = Shape(net, "--on", "tap:lo,v0", "--filter", "icmp or icmpv6.Type "
                  "== 128 or icmpv6.Type == 129")
    assert ping_to(net, address, count=4) == 4
    assert shape.end()["in"]["pkts"] == 8  # Requests and replies.


# Sends 'bytes' of a pattern over TCP and has the far end's digest of it.
TCP_SERVER = """
import hashlib, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.create_server((sys.argv[1], 5000), family=family)
print("ready", flush=True)
c, _ = s.accept()
digest, n = hashlib.sha256(), 0
while data := c.recv(1 << 20):
    digest.update(data)
c.sendall(digest.digest())
c.close()
"""
TCP_CLIENT = """
import hashlib, random, socket, sys
data = random.Random(7).randbytes(int(sys.argv[2]))
s = socket.create_connection((sys.argv[1], 5000), 30)
s.sendall(data)
s.shutdown(socket.SHUT_WR)
answer = b""
while part := s.recv(32):
    answer += part
print(answer == hashlib.sha256(data).digest())
"""
MEGABYTE = 1 << 20


def transfer(client, server, address, count=16 * MEGABYTE):
    """Whether bytes sent over TCP are those that arrive."""
    listener = server.start(PYTHON, "-c", TCP_SERVER, address)
    assert listener.stdout.readline() == "ready\n"
    done = client.run(PYTHON, "-c", TCP_CLIENT, address, str(count))
    listener.kill()
    listener.communicate()
    return done.stdout == "True\n"


# ETHTOOL_STSO, _SGSO, _SGRO and _STXCSUM by SIOCETHTOOL.
OFFLOADS_OFF = """
import array, fcntl, socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for command in (0x1F, 0x24, 0x2C, 0x17):
    value = array.array("B", struct.pack("II", command, 0))
    fcntl.ioctl(s, 0x8946, struct.pack("16sQ8x", sys.argv[1].encode(),
                                       value.buffer_info()[0]))
"""


@pytest.mark.parametrize("off", [(), ("near",), ("far",), ("near", "far")])
@pytest.mark.parametrize("effect", [[], ["--loss", "0.0001%"]])
def test_tcp_arrives_intact_both_ways(net, off, effect):
    """With a loss, packets are split before they come; without, superpackets
    pass whole."""
    for host, name in ((net, "v0"), (net.far, "v1")):
        if ("near" if host is net else "far") in off:
            done = host.run(PYTHON, "-c", OFFLOADS_OFF, name)
            assert done.returncode == 0, done.stderr
    shape = Shape(net, "--on", "tap:v0", *effect)
    for address, server, client in ((FAR, net.far, net), (NEAR, net, net.far),
                                    (FAR6, net.far, net),
                                    (NEAR6, net, net.far)):
        assert transfer(client, server, address)
    end = shape.end()
    mean = end["in"]["bytes"] / end["in"]["pkts"]
    assert mean < 1600 if effect else mean > 1600 or "near" in off
    assert end["device_errors"] == 0


def test_tcp_to_oneself_arrives_intact(net):
    shape = Shape(net, "--on", "tap:lo,v0")
    for address in ("127.0.0.1", "::1", NEAR, NEAR6):
        assert transfer(net, net, address)
    end = shape.end()
    assert end["in"]["bytes"] >= 64 * MEGABYTE
    assert end["device_errors"] == 0


def test_several_workers_share_the_traffic(net):
    shape = Shape(net, "--on", "tap:v0", "--workers", "3")
    assert ping_to(net, FAR, count=20) == 20
    assert transfer(net, net.far, FAR)
    assert transfer(net.far, net, NEAR6)
    shape.end()


UDP_ECHO = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 5001))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data, peer)
"""
# With destination options in front of the datagrams where asked.
UDP_CLIENT = """
import random, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.settimeout(5)
if sys.argv[2] == "options":
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS,
                 bytes([0, 0, 1, 4, 0, 0, 0, 0]))
ok = 0
for size in (0, 1, 512, 1452, 1472, 1473, 3000, 20000, 60000):
    data = random.Random(size).randbytes(size)
    s.sendto(data, (sys.argv[1], 5001))
    ok += s.recv(65536) == data
print(ok)
"""


@pytest.mark.parametrize("effect", [[], ["--loss", "0.0001%"]])
@pytest.mark.parametrize("address,options", [(FAR, "plain"), (FAR6, "plain"),
                                             (FAR6, "options")])
def test_datagrams_of_all_sizes_pass(net, effect, address, options):
    echo = net.far.start(PYTHON, "-c", UDP_ECHO, address)
    assert echo.stdout.readline() == "ready\n"
    shape = Shape(net, "--on", "tap:v0", *effect)
    done = net.run(PYTHON, "-c", UDP_CLIENT, address, options)
    assert done.stdout == "9\n", done.stderr
    shape.end()
    echo.kill()
    echo.communicate()


# A batch of datagrams in one superpacket (UDP_SEGMENT).
UDP_SEGMENTS = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.setsockopt(socket.IPPROTO_UDP, 103, 1000)
data = b"".join(bytes([i]) * 1000 for i in range(30))
s.sendto(data, (sys.argv[1], 5001))
print(sorted(s.recv(65536) for _ in range(30)) == [bytes([i]) * 1000
                                                   for i in range(30)])
"""


@pytest.mark.parametrize("effect", [[], ["--loss", "0.0001%"]])
def test_batches_of_datagrams_pass(net, effect):
    echo = net.far.start(PYTHON, "-c", UDP_ECHO, FAR)
    assert echo.stdout.readline() == "ready\n"
    shape = Shape(net, "--on", "tap:v0", "--filter", "udp", *effect)
    done = net.run(PYTHON, "-c", UDP_SEGMENTS, FAR)
    assert done.stdout == "True\n", done.stderr
    end = shape.end()
    assert (end["in"]["pkts"] == 60) == bool(effect)
    echo.kill()
    echo.communicate()


# --- Effects ----------------------------------------------------------------

def rtt_ms(host):
    """The shortest of five."""
    done = host.run("ping", "-n", "-q", "-c", "5", "-i", "0.05", FAR)
    return float(done.stdout.split("= ")[1].split("/")[0])


def test_delays_local_output_and_input(net):
    shape = Shape(net, "--on", "tap:v0", "--filter", "icmp", "--delay", "30ms")
    assert rtt_ms(net) >= 60
    shape.end()


def test_holds_local_tcp_without_stopping_it(net):
    """Held where NFQUEUE holds it, ten packets of it take longer than this."""
    shape = Shape(net, "--on", "tap:v0", "--filter", "outbound and tcp",
                  "--delay", "20ms")
    assert transfer(net, net.far, FAR, 64 * MEGABYTE)
    assert shape.end()["in"]["bytes"] >= 64 * MEGABYTE


def test_delivers_what_is_held_at_the_end(net):
    shape = Shape(net, "--on", "tap:v0", "--filter", "outbound and icmp",
                  "--delay", "1h")
    pinger = net.start("ping", "-n", "-c", "3", "-i", "0.05", "-W",
                       str(PATIENCE), FAR)
    until = time.monotonic() + PATIENCE
    while json.loads(shape.process.stdout.readline())["queued"]["pkts"] < 3:
        assert time.monotonic() < until
    end = shape.end()
    assert end["delivered"] == end["in"]
    assert "3 received" in pinger.communicate(timeout=PATIENCE)[0]


def test_loses_what_it_is_told_to(net):
    shape = Shape(net, "--on", "tap:v0", "--filter", "icmp and inbound",
                  "--loss", "100%")
    assert ping(net, 3) == 0
    end = shape.end()
    assert end["dropped"]["loss"]["pkts"] == end["in"]["pkts"] == 3


CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 5555), 20)
except OSError as e:
    print(type(e).__name__)
"""


@pytest.mark.parametrize("filter,way", [("tcp.DstPort == 5555 and outbound",
                                         "out"),
                                        ("tcp.DstPort == 5555 and inbound",
                                         "in")])
@pytest.mark.parametrize("version", [4, 6])
def test_rejects_connections_both_ways(net, filter, way, version):
    near_address, far_address = ((NEAR, FAR), (NEAR6, FAR6))[version == 6]
    shape = Shape(net, "--on", "tap:v0", "--filter", filter, "--reject")
    client, address = ((net, far_address) if way == "out" else
                       (net.far, near_address))
    server = net.far if client is net else net
    listener = server.start(
        PYTHON, "-c", "import socket, time\n"
        f"s = socket.create_server(('{address}', 5555), "
        f"family=socket.AF_INET{'6' if version == 6 else ''})\n"
        "print('ready', flush=True)\ntime.sleep(1000)")
    assert listener.stdout.readline() == "ready\n"
    done = client.run(PYTHON, "-c", CONNECT, address)
    listener.kill()
    listener.communicate()
    assert done.stdout == "ConnectionRefusedError\n"
    end = shape.end()
    assert end["dropped"]["reject"]["pkts"] == end["injected_pkts"] == 1


def test_rejects_connections_to_oneself(net):
    shape = Shape(net, "--on", "tap:lo", "--filter", "tcp.DstPort == 5555",
                  "--reject")
    for address in ("127.0.0.1", "::1"):
        done = net.run(PYTHON, "-c", CONNECT, address)
        assert done.stdout == "ConnectionRefusedError\n"
    assert shape.end()["injected_pkts"] == 2


# --- Faults -----------------------------------------------------------------

def test_a_killed_shaper_leaves_nothing_behind(net):
    shape = Shape(net, "--on", "tap:v0", "--filter", "icmp", "--delay", "1h")
    assert ping(net, 2) == 0
    assert len(taps(net)) == 1
    shape.process.kill()
    shape.process.communicate()
    assert ping(net, 3) == 3
    assert taps(net) == []
    shape = Shape(net, "--on", "tap:v0", "--filter", "icmp")
    assert ping(net, 3) == 3
    assert shape.end()["in"]["pkts"] == 6


def test_traffic_flows_past_a_shaper_that_hangs(net):
    shape = Shape(net, "--on", "tap:v0", "--filter", "icmp")
    shape.process.send_signal(signal.SIGSTOP)
    # Those that it was still trusted with may be lost.
    assert answers_in_time(net)
    assert ping(net, 20) == 20
    shape.process.send_signal(signal.SIGCONT)
    until = time.monotonic() + PATIENCE
    while ping_is_counted(net, shape) == 0:
        assert time.monotonic() < until
    shape.end()


def ping_is_counted(net, shape):
    assert ping(net) == 1
    return json.loads(shape.process.stdout.readline())["in"]["pkts"]


def test_nothing_passes_a_shaper_that_hangs_and_fails_closed(net):
    shape = Shape(net, "--on", "tap:v0", "--filter", "icmp", "--fail-closed")
    assert ping(net, 3) == 3
    shape.process.send_signal(signal.SIGSTOP)
    assert ping(net, 5) == 0
    # IPv6 is not its business.
    assert ping_to(net, FAR6, count=3) == 3
    shape.process.send_signal(signal.SIGCONT)
    assert answers_in_time(net)
    assert shape.end()["kernel_dropped_pkts"] > 0


@pytest.mark.parametrize("name,words", [("v0", "interface v0 was removed"),
                                        ("nsp0",
                                         "interface nsp0 was taken down or "
                                         "removed")])
def test_ends_when_an_interface_is_removed(net, name, words):
    shape = Shape(net, "--on", "tap:v0")
    assert ping(net, 3) == 3
    assert net.run("ip", "link", "delete", name).returncode == 0
    out, _ = shape.process.communicate(timeout=PATIENCE)
    end = json.loads(out.splitlines()[-1])
    assert words in json.dumps(end)
    assert shape.process.returncode == 1
    assert taps(net) == []


def test_goes_on_when_one_of_several_interfaces_is_removed(net):
    assert net.run("ip", "link", "add", "w0", "type", "veth", "peer", "name",
                   "w1").returncode == 0
    shape = Shape(net, "--on", "tap:v0,w0")
    assert net.run("ip", "link", "delete", "w0").returncode == 0
    assert ping(net, 3) == 3
    assert shape.end()["result"] == "stopped"


def test_survives_an_interface_that_flaps_and_changes_its_mtu(net):
    shape = Shape(net, "--on", "tap:v0")
    for mtu in ("1400", "9000", "1500"):
        for host, name in ((net, "v0"), (net.far, "v1")):
            assert host.run("ip", "link", "set", name, "mtu",
                            mtu).returncode == 0
        assert transfer(net, net.far, FAR, 4 * MEGABYTE)
        assert transfer(net.far, net, NEAR, 4 * MEGABYTE)
    assert net.run("ip", "link", "set", "v0", "down").returncode == 0
    assert net.run("ping", "-c", "1", "-W", "1", FAR).returncode != 0
    assert net.run("ip", "link", "set", "v0", "up").returncode == 0
    assert answers_in_time(net)
    assert shape.end()["result"] == "stopped"


def refusal(host, where):
    done = host.run(NSP, "shape", "--json", "--on", where)
    return done.returncode, json.loads(done.stdout)["error"]


def test_refuses_what_it_cannot_do_with_the_cure(net):
    status, error = refusal(net, "tap:nowhere")
    assert (status, error["category"]) == (1, "no-interface")
    assert "'nowhere'" in error["message"]
    assert net.run("ip", "tuntap", "add", "mode", "tun", "t0").returncode == 0
    status, error = refusal(net, "tap:t0")
    assert (status, error["category"]) == (3, "no-ethernet")
    assert "nfqueue" in error["hint"]
    shape = Shape(net, "--on", "tap:v0")
    status, error = refusal(net, "tap:lo,v0")
    assert (status, error["category"]) == (1, "interface-taken")
    assert "v0" in error["message"]
    assert ping(net, 3) == 3
    shape.end()
    assert taps(net) == []


def test_takes_all_interfaces_where_none_is_named(net):
    shape = Shape(net, "--on", "tap", "--filter", "icmp")
    assert ping(net, 2) == 2
    assert ping_to(net, "127.0.0.1", count=2) == 2
    assert shape.end()["in"]["pkts"] == 8
