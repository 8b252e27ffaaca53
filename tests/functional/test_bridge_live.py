"""'nsp shape --on bridge:p0,p1' on live packets: two hosts that nothing else
joins reach each other unharmed, effects act both ways, the wire outlives the
process or is cut, as asked for, and nothing is left behind.

    near 10.78.0.1 v0 ---- p0 middle p1 ---- v1 10.78.0.2 far
          fd78::1                                  fd78::2
"""

import json
import signal
import time

import pytest

from live_hosts import (FAR, FAR6, NEAR, NEAR6, NEEDS_NETWORK, PATIENCE, Host,
                        answered, answers_in_time, do, is_found, is_silent,
                        lose_news, parted as net, ping, start_pings, stop,
                        works_here)  # noqa: F401
from live_traffic import (CONNECT, MEGABYTE, PYTHON, UDP_ECHO,
                          UDP_SEGMENTS, rtt_ms, transfer)
from test_run_live import Run
from test_shape_live import NSP, Shape

PORTS = ("p0", "p1")

pytestmark = [
    NEEDS_NETWORK,
    pytest.mark.skipif(not works_here("bridge"),
                       reason="'nsp doctor --backend bridge' finds things "
                       "missing"),
]


def bridge(net, *options, kernel=False):
    """A shaper that joins the hosts; all packets come to it unless the kernel
    may decide."""
    if not kernel:
        options = ("--no-offload", *options)
    return Shape(net.middle, "--on", "bridge:" + ",".join(net.ports), *options)


def joined(net, *options, kernel=False):
    shape = bridge(net, *options, kernel=kernel)
    assert answers_in_time(net)
    return shape


def traces(net):
    """What is left of a bridge at the ports."""
    links = net.middle.run("ip", "-details", "link").stdout
    found = [word for word in ("prog/xdp", "nspb") if word in links]
    for port in net.ports:
        link = net.middle.run("ip", "link", "show", port).stdout
        found += [word for word in ("PROMISC",) if word in link]
    found += [line for line in
              net.middle.run("tc", "qdisc").stdout.splitlines()
              if "clsact" in line]
    return found


# --- Everything passes ------------------------------------------------------

def test_joins_hosts_and_leaves_nothing_behind(net):
    assert is_silent(net)  # Nothing else joins them.
    shape = joined(net)
    assert ping(net, address=FAR6) == 1
    shape.end()
    assert traces(net) == []
    assert is_silent(net)

def test_counts_what_the_filter_matches_and_nothing_else(net):
    shape = joined(net)
    shape.end()
    shape = bridge(net, "--filter", "icmp")
    assert ping(net, 5) == 5
    assert ping(net, 5, FAR6) == 5
    end = shape.end()
    assert end["shaped"]["in"] == {"pkts": 10, "bytes": 840}
    assert end["matched_pkts"] == 10


def test_batches_of_datagrams_pass(net):
    echo = net.far.start(PYTHON, "-c", UDP_ECHO, FAR)
    assert echo.stdout.readline() == "ready\n"
    shape = joined(net, "--filter", "udp")
    done = net.run(PYTHON, "-c", UDP_SEGMENTS, FAR)
    assert done.stdout == "True\n", done.stderr
    assert shape.end()["shaped"]["in"]["pkts"] == 60
    echo.kill()
    echo.communicate()


def test_several_workers_share_several_queues(net):
    for host, name in ((net, "v0"), (net.far, "v1"), (net.middle, "p0"),
                       (net.middle, "p1")):
        done = host.run(PYTHON, "-c", CHANNELS, name, "2")
        assert done.returncode == 0, done.stderr
    shape = joined(net, "--workers", "2")
    assert ping(net, 20, FAR) == 20
    assert transfer(net, net.far, FAR)
    assert transfer(net.far, net, NEAR6)
    shape.end()
    shape = joined(net)  # One worker serves both.
    assert transfer(net, net.far, FAR)
    shape.end()


# For how long the AF_XDP sockets of a process look for frames themselves, in us.
BUSY = """
import ctypes, os, pathlib, socket, sys
PIDFD_GETFD = 438
AF_XDP = 44
PREFER_BUSY_POLL, BUSY_POLL = 69, 46
pid = int(sys.argv[1])
process = os.pidfd_open(pid)
for file in pathlib.Path(f"/proc/{pid}/fd").iterdir():
    if not os.readlink(file).startswith("socket:"):
        continue
    fd = ctypes.CDLL(None).syscall(PIDFD_GETFD, process, int(file.name), 0)
    s = socket.socket(AF_XDP, socket.SOCK_RAW, 0, fileno=fd)
    if s.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == AF_XDP:
        print(s.getsockopt(socket.SOL_SOCKET, PREFER_BUSY_POLL) and
              s.getsockopt(socket.SOL_SOCKET, BUSY_POLL))
"""


@pytest.mark.parametrize("options,said", [([], "0"), (["--busy-poll"], "20")])
def test_busy_workers_look_for_frames_themselves(net, tmp_path, options, said):
    shape = joined(net, *options)
    done = net.middle.run(PYTHON, "-c", BUSY, str(shape.process.pid))
    assert done.stdout.splitlines() == [said, said], done.stderr
    shape.end()
    run = Run(net.middle, tmp_path, "version: 1\n"
              "intercept: { bridge: [p0, p1] }\n", *options)
    done = net.middle.run(PYTHON, "-c", BUSY, str(run.process.pid))
    assert done.stdout.splitlines() == [said, said], done.stderr
    run.end()


# ETHTOOL_SCHANNELS by SIOCETHTOOL: so many receive and send queues.
CHANNELS = """
import array, fcntl, socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def ask(command, value):
    fcntl.ioctl(s, 0x8946, struct.pack("16sQ8x", sys.argv[1].encode(),
                                       value.buffer_info()[0]))
value = array.array("I", [0x3C] + 8 * [0])
ask(0x3C, value)
value[0] = 0x3D
value[5] = value[6] = int(sys.argv[2])
ask(0x3D, value)
"""

# Frames that are no IP, with and without tags, to a station that is not there.
FRAMES = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
to, sender = bytes.fromhex("020000000099"), bytes.fromhex("020000000001")
s.send(to + sender + bytes.fromhex("88b5") + b"plain" * 12)
s.send(to + sender + bytes.fromhex("8100002a88b5") + b"tagged" * 10)
s.send(bytes.fromhex("0180c2000000") + sender + bytes.fromhex("0027424203")
       + b"bpdu" * 12)
s.send(bytes.fromhex("0180c200000e") + sender + bytes.fromhex("88cc")
       + b"lldp" * 12)
s.send(bytes.fromhex("0180c2000002") + sender + bytes.fromhex("8809")
       + b"lacp" * 12)
s.send(bytes.fromhex("0180c2000001") + sender + bytes.fromhex("8808")
       + b"stop" * 12)
"""
LISTEN = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((sys.argv[1], 3))
print("ready", flush=True)
left = {b"plain", b"tagged", b"bpdu", b"lldp", b"lacp", b"stop"}
lost = {word.encode() for word in sys.argv[2:]}
try:
    while left:
        # What comes may be late; what is lost is not waited for as long.
        s.settimeout(1 if left <= lost else %d)
        data = s.recv(2048)
        left -= {word for word in left if 3 * word in data}
except socket.timeout:
    pass
print(*sorted(word.decode() for word in left))
""" % PATIENCE


@pytest.mark.parametrize("options,lost", [([], ""), (["--drop"],
                                                     "plain tagged")])
def test_frames_that_are_no_ip_pass_and_link_control_always_does(net, options,
                                                                 lost):
    shape = bridge(net, *options)
    listener = net.far.start(PYTHON, "-c", LISTEN, "v1", *lost.split())
    assert listener.stdout.readline() == "ready\n"
    done = net.run(PYTHON, "-c", FRAMES, "v0")
    assert done.returncode == 0, done.stderr
    assert listener.communicate(timeout=2 * PATIENCE)[0] == lost + "\n"
    shape.end()


# --- Effects ----------------------------------------------------------------

def test_delays_both_ways(net):
    shape = joined(net, "--filter", "icmp", "--delay", "30ms")
    assert rtt_ms(net) >= 60
    shape.end()


def test_limits_the_rate(net):
    shape = joined(net, "--filter", "tcp", "--rate", "80mbit", "--queue",
                   "100ms")
    began = time.monotonic()
    assert transfer(net, net.far, FAR, 4 * MEGABYTE)
    assert time.monotonic() - began >= 4 * MEGABYTE * 8 / 80e6
    shape.end()


def test_delivers_what_is_held_at_the_end(net):
    joined(net).end()
    shape = bridge(net, "--filter", "icmp", "--delay", "1h")
    pinger = net.start("ping", "-n", "-c", "3", "-i", "0.05", "-W", "1", FAR)
    shape.wait_until(lambda said: said["queued"]["pkts"] == 3)
    end = shape.end()
    assert end["shaped"]["delivered"] == end["shaped"]["in"]
    pinger.communicate(timeout=PATIENCE)


def test_loses_what_it_is_told_to(net):
    joined(net).end()
    shape = bridge(net, "--filter", "icmp", "--loss", "100%")
    assert is_silent(net, 3)
    end = shape.end()
    assert end["dropped"]["loss"]["pkts"] == end["shaped"]["in"]["pkts"] == 3


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("way", ["there", "back"])
def test_rejects_connections_both_ways(net, version, way):
    client, address = {
        ("there", 4): (net, FAR), ("there", 6): (net, FAR6),
        ("back", 4): (net.far, NEAR), ("back", 6): (net.far, NEAR6),
    }[way, version]
    shape = joined(net, "--filter", "tcp.DstPort == 5555", "--reject")
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




@pytest.mark.parametrize("port,reaches", [("p0", True), ("p1", False)])
def test_filters_know_the_interface_a_packet_came_in_at(net, port, reaches):
    """Echo requests come in at p0, from near."""
    joined(net).end()
    shape = bridge(net, "--filter", f"icmp.Type == 8 and ifName == \"{port}\"")
    assert ping(net, 3) == 3
    assert shape.end()["matched_pkts"] == (3 if reaches else 0)


POLICY = """
version: 1
intercept: {{ bridge: [p0, p1] }}
impairments:
  slow: {{ delay: {delay} }}
rules:
  - {{ name: all, match: "true", capture: all.pcapng, continue: true }}
  - {{ name: ping, match: icmp, impair: slow }}
  - {{ name: web, match: tcp.DstPort == 5555, action: reject }}
"""


def test_runs_a_policy_and_reloads_it(net, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.format(delay="20ms"))
    run = net.middle.start(NSP, "run", "--json", "--control", "",
                           str(policy))
    assert json.loads(run.stdout.readline())["type"] == "running"
    assert answers_in_time(net)
    assert rtt_ms(net) >= 40
    policy.write_text(POLICY.format(delay="60ms"))
    run.send_signal(signal.SIGHUP)
    assert json.loads(run.stdout.readline())["type"] == "reloaded"
    assert rtt_ms(net) >= 120
    assert net.run(PYTHON, "-c", CONNECT, FAR).stdout == (
        "ConnectionRefusedError\n")
    policy.write_text(POLICY.format(delay="60ms").replace("p0, p1", "p1, p0"))
    run.send_signal(signal.SIGHUP)
    assert "'intercept' has changed" in run.stderr.readline()
    run.send_signal(signal.SIGTERM)
    out = run.communicate(timeout=PATIENCE)[0]
    rules = json.loads(out.splitlines()[-1])["rules"]
    assert rules[1]["in"]["pkts"] > 0
    assert rules[2]["dropped"]["pkts"] == 1
    assert traces(net) == []
    capture = (tmp_path / "all.pcapng").read_bytes()
    assert b"\x08\x06\x00\x01\x08\x00" in capture  # ARP, with its type.
    section_bytes = int.from_bytes(capture[4:8], "little")
    link_type = capture[section_bytes + 8:section_bytes + 10]
    assert link_type == b"\x01\x00"  # Ethernet.


ALL_BUT = """
version: 1
intercept: {{ bridge: [p0, p1] }}
rules:
  {spared}
  - {{ match: "true", action: drop }}
"""

# As in nsp-policy(5).
NEIGHBOURS = """
  - { match: "not ip and not ipv6", action: pass }
  - { match: "icmpv6.Type >= 133 and icmpv6.Type <= 137", action: pass }
"""


@pytest.mark.parametrize("spared,found", [("", False), (NEIGHBOURS, True)])
def test_rules_act_on_what_the_hosts_need_unless_one_in_front_names_it(
        net, tmp_path, spared, found):
    """The hosts are others: a rule for all is one for ARP and discovery, too."""
    joined(net).end()
    for address in FAR, FAR6:
        net.run("ip", "neigh", "del", address, "dev", "v0")
    run = Run(net.middle, tmp_path, ALL_BUT.format(spared=spared.strip()))
    for address in FAR, FAR6:
        assert is_silent(net, 1, address)
        assert is_found(net, address) == found
    run.process.send_signal(signal.SIGTERM)
    assert run.process.communicate(timeout=PATIENCE)[0]


# --- Faults -----------------------------------------------------------------

def test_hosts_stay_joined_when_the_process_is_killed(net):
    shape = joined(net, "--filter", "icmp")
    pinger = start_pings(net, enough=50)
    shape.wait_until(lambda said: said["matched_pkts"] >= 20)
    shape.process.kill()
    shape.process.communicate()
    assert answered(pinger) >= 50  # How many are lost is for bench/ to measure.
    # In the kernel, with all offloads: what it takes over no longer is user
    # space's.
    assert transfer(net, net.far, FAR)
    assert transfer(net.far, net, NEAR6)
    # The next one takes over and cleans up.
    shape = bridge(net, "--filter", "icmp")
    assert ping(net, 5) == 5
    assert shape.end()["matched_pkts"] == 10
    assert traces(net) == []


def test_nothing_passes_after_the_process_is_killed_if_it_fails_closed(net):
    shape = joined(net, "--filter", "icmp", "--fail-closed")
    shape.process.kill()
    shape.process.communicate()
    assert is_silent(net, 5)
    assert is_silent(net, 2, FAR6)
    shape = joined(net)
    assert ping(net, 5) == 5
    shape.end()
    assert traces(net) == []


def leftovers(host, port):
    """What is at an interface that bridges put there."""
    link = host.run("ip", "-details", "link", "show", port).stdout
    return ([word for word in ("prog/xdp", "PROMISC") if word in link] +
            [word for word in ("clsact",)
             if word in host.run("tc", "qdisc", "show", "dev", port).stdout])


@pytest.mark.parametrize("options", [[], ["--fail-closed"]])
@pytest.mark.parametrize("kept", PORTS)
def test_another_bridge_takes_away_what_a_dead_one_has_at_its_other_port(
        net, kept, options):
    """Whose frames would otherwise go on past it, or end there. What another
    bridge has that lives stays."""
    middle = net.middle
    for a, b in ("x0", "x1"), ("x2", "x3"):
        do(middle, f"ip link add {a} type veth peer name {b}")
        for name in a, b:
            do(middle, f"ip link set {name} up")
    dead = joined(net, *options)
    dead.process.kill()
    dead.process.communicate()
    lost = [port for port in PORTS if port != kept][0]
    other = Shape(middle, "--on", "bridge:x0,x2")
    whole = leftovers(middle, "x0")
    assert len(whole) == 3
    assert leftovers(middle, lost) == whole
    shape = Shape(middle, "--on", f"bridge:{kept},x1")
    assert leftovers(middle, lost) == []
    assert leftovers(middle, kept) == whole
    assert is_silent(net, 3)  # The ways of the two part.
    assert [leftovers(middle, port) for port in ("x0", "x2")] == [whole] * 2
    shape.end()
    other.end()
    for port in (*PORTS, "x0", "x1", "x2"):
        assert leftovers(middle, port) == []


def test_traffic_flows_past_a_process_that_hangs(net):
    shape = joined(net, "--filter", "icmp")
    pinger = start_pings(net, enough=50)
    shape.wait_until(lambda said: said["matched_pkts"] >= 20)
    stop(shape.process)
    # Those that it was still trusted with wait for it.
    passed = answered(pinger)
    assert ping(net, 20) == 20
    assert transfer(net, net.far, FAR)
    shape.process.send_signal(signal.SIGCONT)
    until = time.monotonic() + PATIENCE
    before = json.loads(shape.process.stdout.readline())["matched_pkts"]
    while (ping(net) and json.loads(
            shape.process.stdout.readline())["matched_pkts"] == before):
        assert time.monotonic() < until
    shape.end()
    assert passed >= 50  # All but those.


def last_words(shape, words):
    out, err = shape.process.communicate(timeout=PATIENCE)
    assert words in out.splitlines()[-1]
    assert shape.process.returncode == 1
    return out, err


@pytest.mark.parametrize("port", PORTS)
def test_survives_interfaces_that_flap(net, port):
    shape = joined(net)
    for _ in range(2):
        do(net.middle, f"ip link set {port} down")
        assert is_silent(net)
        do(net.middle, f"ip link set {port} up")
        assert answers_in_time(net)
        assert transfer(net, net.far, FAR, 4 * MEGABYTE)
    assert shape.end()["result"] == "stopped"
    assert traces(net) == []


def set_mtu(net, mtu):
    for host, name in ((net, "v0"), (net.middle, "p0"), (net.middle, "p1"),
                       (net.far, "v1")):
        do(host, f"ip link set {name} mtu {mtu}")


@pytest.fixture(params=[3600, 9000, 65535])
def large(request, net):
    """Hosts with frames that fit no page, and the largest ping that fits one."""
    set_mtu(net, request.param)
    net.largest = request.param - 48
    return net


def exchange_frames(net):
    """Small ones, pings of one large frame, and TCP's."""
    assert ping(net, 5) == 5
    for address in (FAR, FAR6):
        assert ping(net, 5, address, size=net.largest) == 5
    assert transfer(net, net.far, FAR)
    assert transfer(net.far, net, NEAR6)


def test_frames_larger_than_a_page_cross(large):
    shape = joined(large)
    exchange_frames(large)
    end = shape.end()
    assert end["delivered"] == end["in"]
    assert end["kernel_dropped_pkts"] == 0


def test_frames_larger_than_a_page_meet_their_effects(large):
    shape = joined(large, "--filter", "icmp", "--delay", "10ms", "--duplicate",
                   "100%")
    done = large.run("ping", "-n", "-q", "-c", "3", "-s", str(large.largest),
                     FAR)
    assert " 3 received, +" in done.stdout, done.stdout
    assert rtt_ms(large) >= 20
    shape.process.send_signal(signal.SIGTERM)
    out, _ = shape.process.communicate(timeout=PATIENCE)
    assert json.loads(out.splitlines()[-1])["duplicated"]["pkts"] > 6
    shape = joined(large, "--filter", "icmp and length > 3000", "--drop",
                   kernel=True)
    assert ping(large, 3) == 3
    assert ping(large, 3, size=large.largest, patience_s=1) == 0
    assert shape.end()["dropped"]["rule"]["pkts"] == 3


def test_frames_larger_than_a_page_cross_in_the_kernel(large):
    """Past one that hangs, and one that was killed."""
    shape = joined(large, "--filter", "icmp")
    stop(shape.process)
    assert answers_in_time(large)
    exchange_frames(large)
    shape.process.kill()
    shape.process.communicate()
    exchange_frames(large)
    joined(large).end()
    assert traces(large) == []


def wait_until_refused(net, shape):
    """A port does not take frames; it takes a while until that is known."""
    until = time.monotonic() + PATIENCE
    while True:
        ping(net, size=1400, patience_s=1)
        line = json.loads(shape.process.stdout.readline())
        if line["dropped"]["tx-failed"]["pkts"] > 0:
            return
        assert time.monotonic() < until


def test_refuses_frames_that_the_other_side_has_no_room_for(net):
    shape = joined(net)
    for host, name in ((net.middle, "p1"), (net.far, "v1")):
        do(host, f"ip link set {name} mtu 1200")
    assert ping(net, 2, FAR, size=1000) == 2
    wait_until_refused(net, shape)
    shape.end()


def test_counts_what_it_cannot_send_to_a_port_that_is_down(net):
    """None of it is sent once the port is up again."""
    shape = joined(net)
    do(net.middle, "ip link set p1 down")
    wait_until_refused(net, shape)
    do(net.middle, "ip link set p1 up")
    assert answers_in_time(net)
    shape.end()


@pytest.mark.parametrize("options", [[], ["--busy-poll"]])
def test_ends_when_an_interface_is_removed(net, options):
    shape = joined(net, *options)
    do(net.middle, "ip link delete p1")
    last_words(shape, "interface p1 was removed")


@pytest.mark.parametrize("options", [[], ["--busy-poll"]])
def test_ends_when_news_of_a_removal_is_lost(net, options):
    shape = joined(net, *options)
    lose_news(net.middle, shape.process,
              lambda: do(net.middle, "ip link delete p1"))
    last_words(shape, "interface p1 was removed")


def test_goes_on_after_news_was_lost(net):
    """With what has become of the ports, by the news or by their list."""
    shape = joined(net)
    lose_news(net.middle, shape.process,
              lambda: do(net.middle, "ip link set p1 mtu 1400"))
    wait_until_refused(net, shape)
    assert answers_in_time(net)
    shape.end()


def test_ends_when_the_far_namespace_goes(net):
    shape = joined(net)
    net.far.close()
    last_words(shape, "interface p1 was removed")


@pytest.mark.parametrize("options", [
    ["--no-offload"], ["--fail-closed"], ["--fail-closed", "--no-offload"],
    ["--drop"]])
def test_an_interface_that_is_moved_away_works_there(net, options):
    """It keeps the program, which no longer does a thing."""
    shape = Shape(net.middle, "--on", "bridge:p0,p1", *options)
    if "--drop" not in options:
        assert answers_in_time(net)
    elsewhere = Host([*net.middle.enter, "unshare", "--net"])
    try:
        do(net.middle, f"ip link set p1 netns {elsewhere.keeper.pid}")
        _, err = last_words(shape,
                            "p1 was moved to another network namespace")
        assert "there: ip link set p1 promisc off xdp off" in err
        do(elsewhere, f"ip address add {NEAR}/24 dev p1")
        do(elsewhere, "ip link set p1 up")
        assert answers_in_time(elsewhere)
        do(elsewhere, "ip link set p1 promisc off xdp off")
        link = elsewhere.run("ip", "link", "show", "p1").stdout
        assert "xdp" not in link and "PROMISC" not in link
        assert "clsact" not in elsewhere.run("tc", "qdisc").stdout
    finally:
        elsewhere.close()


def refusal(host, where, *options):
    done = host.run(NSP, "shape", "--json", "--on", where, *options)
    return done.returncode, json.loads(done.stdout)["error"]


def test_refuses_what_it_cannot_do_with_the_cure(net):
    middle = net.middle
    status, error = refusal(middle, "bridge:p0,nowhere")
    assert (status, error["category"]) == (1, "no-interface")
    assert "'nowhere'" in error["message"]
    status, error = refusal(middle, "bridge:p0,p0")
    assert (status, error["category"]) == (2, "interfaces")
    do(middle, "ip tuntap add mode tun t0")
    status, error = refusal(middle, "bridge:p0,t0")
    assert (status, error["category"]) == (3, "no-ethernet")
    status, error = refusal(middle, "bridge:p0,lo")
    assert (status, error["category"]) == (3, "no-ethernet")
    assert "loopback interface lo cannot be joined" in error["message"]
    status, error = refusal(middle, "bridge:p0,p1", "--workers", "2")
    assert (status, error["category"]) == (3, "queues")
    assert "ethtool" in error["hint"]
    assert net.run(PYTHON, "-c", CHANNELS, "v0", "2").returncode == 0
    status, error = refusal(middle, "bridge:p0,p1")
    assert (status, error["category"]) == (3, "queues")
    assert "p0" in error["message"]
    assert net.run(PYTHON, "-c", CHANNELS, "v0", "1").returncode == 0
    do(middle, "ip link add br0 type bridge")
    do(middle, "ip link set p0 master br0")
    status, error = refusal(middle, "bridge:p0,p1")
    assert (status, error["category"]) == (1, "interface-taken")
    do(middle, "ip link set p0 nomaster")
    assert traces(net) == []
    shape = joined(net)
    status, error = refusal(middle, "bridge:p0,p1")
    assert (status, error["category"]) == (1, "interface-taken")
    assert ping(net, 3) == 3
    shape.end()
    assert traces(net) == []
