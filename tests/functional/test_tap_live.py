"""'nsp shape --on tap' on live packets: everything a host sends and receives
goes through unharmed, effects act both ways, and nothing is left behind.

The network of live_hosts.py; 'near' is where nsp runs:

    near 10.78.0.1 v0 ---- v1 10.78.0.2 far
          fd78::1            fd78::2
"""

import json
import signal
import time

import pytest

from live_hosts import (FAR, FAR6, NEAR, NEAR6, NEEDS_NETWORK, PATIENCE,
                        answers_in_time, do, is_silent, lose_news, near, ping, straight as net,
                        works_here)  # noqa: F401
from live_traffic import (CONNECT, MEGABYTE, OFFLOADS_OFF, PYTHON, UDP_CLIENT,
                          UDP_ECHO, UDP_SEGMENTS, rtt_ms, transfer)
from test_run_live import Run, rule
from test_shape_live import NSP, Shape

pytestmark = [
    NEEDS_NETWORK,
    pytest.mark.skipif(not works_here("tap"),
                       reason="'nsp doctor --backend tap' finds things missing"),
]


def taps(host):
    """TAPs of ours that are there."""
    lines = host.run("ip", "-o", "link").stdout.splitlines()
    return [line for line in lines if line.split(": ")[1].startswith("nsp")]


TAPPED = """
version: 1
intercept: { tap: WHERE }
rules:
  - { name: replies, match: "inbound and icmp.Type == 0", action: drop }
  - { name: others, action: pass }
"""


@pytest.mark.parametrize("where", ["v0", "[v0]", "all"])
def test_a_policy_asks_for_it_and_the_kernel_decides(net, tmp_path, where):
    run = Run(net, tmp_path, TAPPED.replace("WHERE", where))
    assert len(taps(net)) == 1
    assert is_silent(net, 3)
    replies = rule(run.status(), "replies")
    assert replies["dropped"]["pkts"] == 3
    for other in "tap: v1", "tap: [v0, lo]", "on: [host]":
        run.path.write_text(TAPPED.replace("tap: WHERE", other))
        done = run.ask("reload")
        assert done.returncode == 1 and "'intercept' has changed" in done.stderr
    assert is_silent(net, 3)
    run.path.write_text(TAPPED.replace("WHERE", where).replace("drop", "pass"))
    assert run.ask("reload").returncode == 0
    assert ping(net, 3) == 3
    run.end()
    assert taps(net) == []


# --- Everything passes ------------------------------------------------------

def test_counts_what_the_filter_matches_and_nothing_else(net):
    shape = Shape(net, "--on", "tap:v0", "--filter", "icmp")
    assert ping(net, 5) == 5
    assert ping(net, 5, FAR6) == 5
    end = shape.end()
    assert end["in"] == {"pkts": 10, "bytes": 840}
    assert end["matched_pkts"] == 10


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", NEAR,
                                     NEAR6])
def test_loopback_is_seen_once(net, address):
    shape = Shape(net, "--on", "tap:lo,v0", "--filter", "icmp or icmpv6.Type "
                  "== 128 or icmpv6.Type == 129")
    assert ping(net, 4, address) == 4
    assert shape.end()["in"]["pkts"] == 8  # Requests and replies.


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
    assert ping(net, 20, FAR) == 20
    assert transfer(net, net.far, FAR)
    assert transfer(net.far, net, NEAR6)
    shape.end()


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
    shape.wait_until(lambda said: said["queued"]["pkts"] == 3)
    end = shape.end()
    assert end["delivered"] == end["in"]
    assert "3 received" in pinger.communicate(timeout=PATIENCE)[0]


def test_loses_what_it_is_told_to(net):
    shape = Shape(net, "--on", "tap:v0", "--filter", "icmp and inbound",
                  "--loss", "100%")
    assert is_silent(net, 3)
    end = shape.end()
    assert end["dropped"]["loss"]["pkts"] == end["in"]["pkts"] == 3


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
    assert is_silent(net, 2)
    assert len(taps(net)) == 1
    shape.process.kill()
    shape.process.communicate()
    assert ping(net, 3) == 3
    assert taps(net) == []
    shape = Shape(net, "--on", "tap:v0", "--filter", "icmp")
    assert ping(net, 3) == 3
    assert shape.end()["in"]["pkts"] == 6


@pytest.mark.parametrize("what,words", [
    ("delete v0", "interface v0 was removed"),
    ("delete nsp0", "interface nsp0 was removed"),
    ("set nsp0 down", "interface nsp0 was taken down")])
def test_ends_when_an_interface_is_removed(net, what, words):
    shape = Shape(net, "--on", "tap:v0")
    assert ping(net, 3) == 3
    assert net.run("ip", "link", *what.split()).returncode == 0
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


@pytest.mark.parametrize("comes_back", [False, True])
def test_drops_what_it_holds_of_an_interface_that_was_removed(net, comes_back):
    """And counts it as dropped, also where another has its name and place."""
    add_link(net, "w0", "10.81.0.1", "10.81.0.2")
    assert answers_in_time(net, "10.81.0.2")
    shape = Shape(net, "--on", "tap:v0,w0", "--filter", "outbound and icmp and "
                  "ip.DstAddr == 10.81.0.2", "--delay", "1h")
    pinger = net.start("ping", "-n", "-c", "3", "-i", "0.05", "10.81.0.2")
    shape.wait_until(lambda said: said["queued"]["pkts"] == 3)
    pinger.kill()
    pinger.communicate()
    do(net, "ip link delete w0")
    assert "interface w0 was removed" in shape.process.stderr.readline()
    if comes_back:
        add_link(net, "w0", "10.81.0.1", "10.81.0.2")
        wait_until_taken(net, "10.81.0.2")
    end, _ = end_with_warnings(shape)
    assert end["in"]["pkts"] == end["matched_pkts"] > 2
    assert end["dropped"]["tx-failed"]["pkts"] == 3
    assert end["delivered"]["pkts"] == end["in"]["pkts"] - 3


def add_link(net, name, address, far_address):
    """One more between the hosts."""
    far_name = name.replace("w", "x")
    for host, command in (
            (net, f"ip link add {name} type veth peer name {far_name} netns "
             f"{net.far.keeper.pid}"),
            (net.far, f"ip address add {far_address}/24 dev {far_name}"),
            (net.far, f"ip link set {far_name} up"),
            (net, f"ip address add {address}/24 dev {name}"),
            (net, f"ip link set {name} up")):
        done = host.run(*command.split())
        assert done.returncode == 0, done.stderr


def wait_until_taken(net, address):
    """Pings are dropped where they are taken, and answered elsewhere."""
    until = time.monotonic() + PATIENCE
    while not is_silent(net, address=address):
        assert time.monotonic() < until


@pytest.mark.parametrize("options", [[], ["--no-offload"]])
def test_takes_interfaces_that_come_up_later(net, options):
    """By the rules in force, and again when they come back."""
    shape = Shape(net, "--on", "tap", "--filter", "icmp and ip.DstAddr in "
                  "{10.81.0.2, 10.82.0.2}", "--drop", *options)
    for _ in range(2):
        add_link(net, "w0", "10.81.0.1", "10.81.0.2")
        wait_until_taken(net, "10.81.0.2")
        add_link(net, "w1", "10.82.0.1", "10.82.0.2")
        wait_until_taken(net, "10.82.0.2")
        assert ping(net, 2) == 2
        for name in "w0", "w1":
            assert net.run("ip", "link", "delete", name).returncode == 0
    add_link(net, "w2", "10.83.0.1", "10.83.0.2")
    assert answers_in_time(net, "10.83.0.2")
    out, err = end_with_warnings(shape)
    assert out["dropped"]["rule"]["pkts"] >= 4
    assert err == 2 * ("nsp: warning: tap: interface w0 was removed\n"
                       "nsp: warning: tap: interface w1 was removed\n")


def end_with_warnings(shape, patience_s=PATIENCE):
    shape.process.send_signal(signal.SIGINT)
    out, err = shape.process.communicate(timeout=patience_s)
    return json.loads(out.splitlines()[-1]), err


def test_takes_a_named_interface_that_comes_back_and_no_other(net):
    add_link(net, "w0", "10.81.0.1", "10.81.0.2")
    shape = Shape(net, "--on", "tap:v0,w0", "--filter", "icmp", "--drop")
    assert net.run("ip", "link", "delete", "w0").returncode == 0
    add_link(net, "w1", "10.82.0.1", "10.82.0.2")
    assert answers_in_time(net, "10.82.0.2")
    add_link(net, "w0", "10.81.0.1", "10.81.0.2")
    wait_until_taken(net, "10.81.0.2")
    assert answers_in_time(net, "10.82.0.2")
    assert "is not taken" not in end_with_warnings(shape)[1]


def test_makes_up_for_news_that_was_lost(net):
    """Of an interface that came, and of one that went."""
    shape = Shape(net, "--on", "tap", "--filter",
                  "icmp and ip.DstAddr == 10.81.0.2", "--drop")
    lose_news(net, shape.process,
              lambda: add_link(net, "w0", "10.81.0.1", "10.81.0.2"))
    wait_until_taken(net, "10.81.0.2")
    lose_news(net, shape.process, lambda: do(net, "ip link delete w0"))
    add_link(net, "w0", "10.81.0.1", "10.81.0.2")
    wait_until_taken(net, "10.81.0.2")
    assert end_with_warnings(shape)[1].count("interface w0 was removed") == 1


@pytest.mark.parametrize("what,words", [
    ("delete v0", "interface v0 was removed"),
    ("set nsp0 down", "interface nsp0 was taken down")])
def test_ends_when_news_of_a_removal_is_lost(net, what, words):
    shape = Shape(net, "--on", "tap:v0")
    lose_news(net, shape.process, lambda: do(net, f"ip link {what}"))
    out, _ = shape.process.communicate(timeout=PATIENCE)
    assert words in out.splitlines()[-1]
    assert shape.process.returncode == 1


@pytest.mark.parametrize("before", [False, True])
def test_warns_once_of_interfaces_that_cannot_be_taken(net, before):
    """Be they up before, or come up later."""
    def bring_up():
        do(net, "ip tuntap add mode tun t0")
        do(net, "ip link set t0 up")

    if before:
        bring_up()
    shape = Shape(net, "--on", "tap", "--filter", "icmp", "--drop")
    if not before:
        bring_up()
    for command in ("ip link set t0 mtu 1400", "ip link set t0 down",
                    "ip link set t0 up"):
        do(net, command)
    add_link(net, "w0", "10.81.0.1", "10.81.0.2")
    wait_until_taken(net, "10.81.0.2")  # By then it was told of t0.
    assert end_with_warnings(shape)[1] == (
        "nsp: warning: tap: interface t0 is not taken: its packets have no "
        "Ethernet header; the nfqueue backend takes them\n")


def test_warns_of_interfaces_that_there_is_no_room_for(net):
    pairs = "".join(f"link add a{i} type veth peer name b{i}\n"
                    f"link set a{i} up\nlink set b{i} up\n" for i in range(33))
    done = net.run("ip", "-batch", "-", input=pairs)
    assert done.returncode == 0, done.stderr
    shape = Shape(net, "--on", "tap", "--filter", "icmp", "--drop")
    # Two programs are taken off each of 64, for which the kernel has processors
    # pass by one at a time: on a busy machine that takes more than a minute.
    err = end_with_warnings(shape, 4 * PATIENCE)[1]  # Of lo, v0 and 66 more.
    assert err.count("is not taken: as many as can be taken are; name those "
                     "that matter\n") == 4


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
    assert ping(net, 2, "127.0.0.1") == 2
    assert shape.end()["in"]["pkts"] == 8
