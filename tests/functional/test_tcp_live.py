"""Effects on the kernel's own TCP: connections through a router on which nsp
runs, over IPv4 and IPv6, and what the two ends make of them.

    client 10.79.1.2 ---- 10.79.1.1 near 10.79.2.1 ---- 10.79.2.2 server
           fd79:1::2      fd79:1::1      fd79:2::1      fd79:2::2
"""

import hashlib
import json
import os
import pathlib

import pytest

import tcp_peer
from live_hosts import NEEDS_NETWORK, PATIENCE, Host, unshare
from test_shape_live import Shape

PEER = pathlib.Path(__file__).with_name("tcp_peer.py")
PORT = 5000
SERVER = {4: "10.79.2.2", 6: "fd79:2::2"}
HEADERS = {4: 40, 6: 60}
TIMESTAMPS = 12
VOID_MS = 3000  # Until who sends into the void gives up.
MEGABYTE = 1 << 20

pytestmark = NEEDS_NETWORK


def do(host, *commands):
    for command in commands:
        done = host.run(*command.split())
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def router():
    router = Host(unshare("--net"))
    ends = []
    for net, name in ((1, "client"), (2, "server")):
        end = Host([*router.enter, "unshare", "--net"])
        setattr(router, name, end)
        ends.append(end)
        do(router, f"ip link add r{net} type veth peer name e0 netns "
           f"{end.keeper.pid}", f"ip link set r{net} up",
           f"ip address add 10.79.{net}.1/24 dev r{net}",
           f"ip address add fd79:{net}::1/64 dev r{net} nodad")
        do(end, "ip link set lo up", "ip link set e0 up",
           f"ip address add 10.79.{net}.2/24 dev e0",
           f"ip address add fd79:{net}::2/64 dev e0 nodad",
           f"ip route add default via 10.79.{net}.1",
           f"ip -6 route add default via fd79:{net}::1")
        # What a path taught is not for the next test.
        assert end.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/"
                       "tcp_no_metrics_save").returncode == 0
    for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        assert router.run("sh", "-c",
                          f"echo 1 > /proc/sys/net/{path}").returncode == 0
    yield router
    for end in (*ends, router):
        end.close()


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def family(request, router):
    """With nothing known of the path between the two."""
    for end in (router.client, router.server):
        do(end, "ip route flush cache", "ip -6 route flush cache")
    return request.param


class Peer:
    """A process at one of the ends."""

    def __init__(self, host, role, family, *arguments):
        self.process = host.start("/usr/bin/python3", PEER, role,
                                  SERVER[family], str(PORT),
                                  *map(str, arguments))

    def report(self):
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        assert self.process.stdout.readline() == "listening\n"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def serve(router, role, family):
    return Peer(router.server, role, family)


def client(router, role, family, *arguments):
    peer = Peer(router.client, role, family, *arguments)
    out, err = peer.process.communicate(timeout=3 * PATIENCE)
    assert peer.process.returncode == 0, err
    return json.loads(out)


def forward(router, *options):
    return Shape(router, "--on", "forward", "--filter", "tcp", *options)


def assert_came(report, count):
    assert report["error"] is None
    assert report["bytes"] == count
    assert report["digest"] == hashlib.sha256(
        tcp_peer.data_of(count)).hexdigest()


# --- Connections that break off -----------------------------------------------

def test_a_reset_connection_is_reset_at_both_ends(router, family):
    with serve(router, "echo", family) as server:
        shape = Shape(router, "--on", "forward", "--filter",
                      "tcp.PayloadLength > 0 and tcp.DstPort == 5000",
                      "--tcp-rst", "100%,ends=both")
        seen = client(router, "ask", family, 1)
        assert seen == {"error": "ConnectionResetError", "answers": 0}
        assert server.report()["error"] == "ConnectionResetError"
        end = shape.end()
    assert end["injected_pkts"] == 2
    assert sum(drop["pkts"] for drop in end["dropped"].values()) == 1


@pytest.mark.parametrize("ends, at_client, at_server", [
    ("sender", "ConnectionResetError", None),
    ("receiver", "TimeoutError", "ConnectionResetError"),
])
def test_one_end_alone_is_told(router, family, ends, at_client, at_server):
    with serve(router, "echo", family) as server:
        shape = Shape(router, "--on", "forward", "--filter",
                      "tcp.PayloadLength > 0 and tcp.DstPort == 5000",
                      "--tcp-rst", f"100%,ends={ends}")
        # The other sends into the void.
        seen = client(router, "ask", family, 1, VOID_MS)
        assert seen["error"] == at_client
        if at_server:
            assert server.report()["error"] == at_server
        shape.end()


def test_one_reset_hits_one_connection(router, family):
    with serve(router, "echo", family):
        shape = Shape(router, "--on", "forward", "--filter",
                      "tcp.PayloadLength > 0", "--tcp-rst",
                      "100%,ends=both,once=true")
        seen = client(router, "ask", family, 3)
        assert seen == {"error": "ConnectionResetError", "answers": 0}
        assert client(router, "ask", family, 3) == {"error": None,
                                                    "answers": 3}
        shape.end()


def test_nothing_passes_after_a_cutoff(router, family):
    cut = 100000
    with serve(router, "sink", family) as server:
        shape = Shape(router, "--on", "forward", "--filter",
                      "tcp.DstPort == 5000", "--cutoff", f"{cut}b")
        seen = client(router, "send", family, 3 * MEGABYTE, VOID_MS)
        assert seen["error"] == "TimeoutError"
        end = shape.end()
        assert server.process.poll() is None
    # Up to the packet that reaches it, one by one.
    assert cut <= end["shaped"]["delivered"]["bytes"] < cut + 1500
    assert end["dropped"]["cut-off"]["pkts"] > 0


@pytest.mark.parametrize("hold", ["true", "false"])
def test_a_stalled_transfer_ends_well(router, family, hold):
    with serve(router, "sink", family) as server:
        shape = Shape(router, "--on", "forward", "--filter",
                      "tcp.DstPort == 5000", "--cutoff",
                      f"bytes=300kb,stall=400ms,hold={hold}")
        seen = client(router, "send", family, 2 * MEGABYTE)
        assert seen["error"] is None
        assert_came(server.report(), 2 * MEGABYTE)
        end = shape.end()
    lost = end["dropped"]["cut-off"]["pkts"]
    assert (lost == 0) == (hold == "true")


# --- Sizes --------------------------------------------------------------------

@pytest.mark.parametrize("clamp", [1300, 1400])
def test_path_mtu_discovery_finds_the_clamp(router, family, clamp):
    with serve(router, "sink", family) as server:
        shape = forward(router, "--mtu-clamp", str(clamp))
        seen = client(router, "send", family, 2 * MEGABYTE)
        assert seen["error"] is None
        assert_came(server.report(), 2 * MEGABYTE)
        end = shape.end()
    assert seen["pmtu"] == clamp
    assert seen["snd_mss"] == clamp - HEADERS[family] - TIMESTAMPS
    assert end["injected_pkts"] > 0


def test_a_black_hole_swallows_what_is_too_big(router, family):
    with serve(router, "sink", family) as server:
        shape = forward(router, "--mtu-clamp", "1300,excess=drop")
        seen = client(router, "send", family, MEGABYTE, VOID_MS)
        assert seen["error"] == "TimeoutError"
        assert seen["pmtu"] == 1500
        assert server.process.poll() is None
        end = shape.end()
    assert end["injected_pkts"] == 0
    # No segment of full size came through.
    assert end["shaped"]["delivered"]["bytes"] < 1300 * 100


@pytest.mark.parametrize("mss", [600, 1000])
def test_segments_obey_a_clamped_mss(router, family, mss):
    with serve(router, "sink", family) as server:
        shape = forward(router, "--mss", str(mss))
        seen = client(router, "send", family, MEGABYTE)
        assert_came(server.report(), MEGABYTE)
        shape.end()
    assert seen["error"] is None
    assert seen["snd_mss"] == mss - TIMESTAMPS


# --- Windows and acknowledgements ---------------------------------------------

@pytest.mark.parametrize("clamp", [8000, 40000, None])
def test_no_more_is_in_flight_than_a_clamped_window(router, family, clamp):
    options = ["--window-clamp", str(clamp)] if clamp else []
    with serve(router, "sink", family) as server:
        # So long a way that the window is what holds the sender back.
        shape = forward(router, "--delay", "10ms", *options)
        seen = client(router, "send", family, MEGABYTE)
        assert seen["error"] is None
        assert_came(server.report(), MEGABYTE)
        shape.end()
    assert seen["scaled"]
    if clamp:
        assert seen["in_flight"] <= clamp
        assert seen["window"] <= clamp
        assert seen["in_flight"] > clamp / 2
    else:
        assert seen["in_flight"] > 40000


def test_acknowledgements_wait_and_data_does_not(router, family):
    with serve(router, "echo", family):
        shape = forward(router, "--ack-delay", "1h")
        # What an answer brings along is no mere acknowledgement.
        assert client(router, "ask", family, 20) == {"error": None,
                                                     "answers": 20}
        end = shape.end()
    assert end["delivered"]["pkts"] == end["in"]["pkts"]


def test_a_sender_learns_late_of_data_that_came(router, family):
    with serve(router, "sink", family):
        shape = Shape(router, "--on", "forward", "--filter",
                      "tcp.SrcPort == 5000", "--ack-delay", "1h")
        seen = client(router, "send", family, 1000, VOID_MS)
        assert seen["error"] == "TimeoutError"
        assert seen["in_flight"] == 1000
        assert seen["total_retrans"] > 0
        shape.end()


# --- Opening connections ------------------------------------------------------

def test_lost_syns_are_sent_again(router, family):
    with serve(router, "echo", family):
        shape = forward(router, "--syn-drop", "first-n:1")
        assert client(router, "ask", family, 3) == {"error": None,
                                                    "answers": 3}
        assert client(router, "ask", family, 3) == {"error": None,
                                                    "answers": 3}
        end = shape.end()
    assert end["dropped"]["syn-loss"]["pkts"] == 1


def test_without_syns_no_connection_comes_about(router, family):
    with serve(router, "echo", family):
        shape = forward(router, "--syn-drop", "100%")
        assert client(router, "ask", family, 1, VOID_MS, VOID_MS) == {
            "error": "TimeoutError", "answers": 0}
        end = shape.end()
    assert end["shaped"]["in"]["pkts"] == end["dropped"]["syn-loss"]["pkts"] > 0
