"""'nsp shape' and 'nsp run' where they pick the devices themselves: each packet
is met once, whatever device takes it.

    far 10.78.0.2 v1 ---- v0 10.78.0.1 near 10.79.0.1 w0 ---- w1 10.79.0.2 beyond

'near' is where nsp runs, and a router between the others.
"""

import json
import os
import shutil
import subprocess
import time

import pytest

from live_hosts import (FAR, NEAR, PATIENCE, Host, answers_in_time,
                        assert_only_warnings, do, is_silent, near, ping)  # noqa: F401
from live_traffic import CONNECT, MEGABYTE, PYTHON, transfer
from test_run_live import Run, rule
from test_shape_live import NSP, Shape, tables
from test_tap_live import pytestmark, taps  # noqa: F401

BEYOND = "10.79.0.2"


@pytest.fixture
def net(near):
    beyond = Host([*near.enter, "unshare", "--net"])
    for host, command in (
            (near, "ip link add w0 type veth peer name w1 netns "
             f"{beyond.keeper.pid}"),
            (near, "ip link set w0 up"),
            (near, "ip address add 10.79.0.1/24 dev w0"),
            (beyond, "ip link set lo up"), (beyond, "ip link set w1 up"),
            (beyond, f"ip address add {BEYOND}/24 dev w1"),
            (beyond, "ip route add 10.78.0.0/24 via 10.79.0.1"),
            (near.far, "ip route add 10.79.0.0/24 via 10.78.0.1")):
        done = host.run(*command.split())
        assert done.returncode == 0, done.stderr
    near.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    near.beyond = beyond
    assert answers_in_time(near)
    assert answers_in_time(near.far, BEYOND)
    yield near
    beyond.close()


# Sends numbered datagrams to a port of 'address' and prints how many come back.
UDP_ASK = f"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout({PATIENCE})
got = set()
for i in range(int(sys.argv[3])):
    s.sendto(bytes([i]) * 100, (sys.argv[1], int(sys.argv[2])))
    got.add(s.recv(2048)[0])
print(len(got))
"""
UDP_ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, address = s.recvfrom(2048)
    s.sendto(data, address)
"""


class Echo:
    def __init__(self, host, address, port):
        self.process = host.start(PYTHON, "-c", UDP_ECHO, address, str(port))
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def ask(host, address, port, count):
    done = host.run(PYTHON, "-c", UDP_ASK, address, str(port), str(count))
    return int(done.stdout or 0)


# --- What is picked ---------------------------------------------------------

HELD_OUTPUT = {"output": "tap", "output_without_ethernet": "nfqueue"}
BOTH = {"input": "nfqueue", **HELD_OUTPUT}


@pytest.mark.parametrize("options,devices", [
    (["--loss", "1%"], {"input": "nfqueue", "output": "nfqueue"}),
    (["--delay", "1ms"], BOTH),
    (["--delay", "1ms", "--direction", "inbound"],
     {"input": "nfqueue", "output": "nfqueue"}),
    (["--rate", "1gbit", "--on", "output"], HELD_OUTPUT),
    (["--rate", "1gbit", "--on", "forward"], {"forward": "nfqueue"}),
])
def test_takes_what_the_policy_needs_and_no_more(net, options, devices):
    shape = Shape(net, *options)
    assert shape.start["devices"] == devices
    assert bool(taps(net)) == ("tap" in devices.values())
    if os.geteuid() == 0:
        assert bool(tables(net)) == ("nfqueue" in devices.values())
    assert ping(net, 2) == 2
    shape.end()
    assert (taps(net), tables(net)) == ([], "")


def test_meets_each_packet_once_and_holds_both_ways(net):
    with Echo(net.far, FAR, 5001), Echo(net, "127.0.0.1", 5002):
        shape = Shape(net, "--filter", "udp.SrcPort == 5001 or udp.DstPort == "
                      "5001 or udp.SrcPort == 5002 or udp.DstPort == 5002",
                      "--delay", "20ms")
        began = time.monotonic()
        assert ask(net, FAR, 5001, 5) == 5
        assert time.monotonic() - began >= 5 * 0.04  # There and back.
        assert ask(net, "127.0.0.1", 5002, 5) == 5
        end = shape.end()
    assert end["shaped"]["in"]["pkts"] == 20
    assert end["delivered"] == end["in"]


def test_holds_local_tcp_both_ways_without_stopping_it(net):
    shape = Shape(net, "--filter", "tcp", "--delay", "20ms")
    assert transfer(net, net.far, FAR, 32 * MEGABYTE)
    assert transfer(net.far, net, NEAR, 32 * MEGABYTE)
    assert shape.end()["in"]["bytes"] >= 64 * MEGABYTE


def test_answers_are_not_met_by_the_other_device(net):
    """An answer to what leaves comes in by the tap's way, where nfqueue takes
    packets, and one to what comes in leaves where the tap does."""
    shape = Shape(net, "--filter", "tcp.DstPort == 5555 or tcp.SrcPort == 5555",
                  "--reject")
    assert taps(net) == []
    shape.end()
    path = net_policy(net, """
      - { name: slow, match: "udp.DstPort == 9 and outbound", delay: 1ms }
      - { name: no, match: "tcp.DstPort == 5555 or tcp.SrcPort == 5555",
          action: reject }
    """, "input, output")
    run = Run(net, path.parent, path.read_text())
    assert run.start["devices"] == BOTH
    for client, address in (net, FAR), (net.far, NEAR), (net, "127.0.0.1"):
        done = client.run(PYTHON, "-c", CONNECT, address)
        assert done.stdout == "ConnectionRefusedError\n"
    last, _ = run.end()
    assert rule(last, "no")["dropped"]["pkts"] == 3
    assert rule(last, "no")["hit"]["pkts"] == 3


def net_policy(net, rules, on):
    folder = net.folder
    path = folder / "policy.yaml"
    path.write_text("version: 1\nintercept: { on: [%s] }\nrules:\n%s" %
                    (on, rules))
    return path


@pytest.fixture(autouse=True)
def folder(net, tmp_path):
    net.folder = tmp_path


# --- A policy file ----------------------------------------------------------

EXAMPLE = """
version: 1
intercept: { on: [input, output, forward] }        # or: bridge: [eth0, eth1]
sets:
  office: { prefixes: [10.0.0.0/8], file: office.txt }
classes:
  calls: { rate: 5mbit, queue: 50ms }
  bulk:  { rate: 40mbit }
impairments:
  bad-wifi: { delay: 40ms, jitter: { sd: 15ms }, loss: { model: gilbert-elliott, p: 1%, burst: 3 } }
rules:
  - { name: no-telnet, match: "tcp.DstPort == 23", action: reject }
  - { name: calls, match: "udp.DstPort in {3478..3481}", class: calls }
  - { name: lab, match: "remoteAddr in @office", impair: bad-wifi, when: { days: mon-fri, hours: "08:00-18:00" } }
default: { action: pass }
"""

TELNET = CONNECT.replace("5555", "23")


def test_enforces_a_policy_on_all_three_ways_at_once(net, tmp_path):
    (tmp_path / "office.txt").write_text("192.0.2.0/24\n")
    run = Run(net, tmp_path, EXAMPLE)
    assert run.start["devices"] == {**BOTH, "forward": "nfqueue"}
    with Echo(net.far, FAR, 3478), Echo(net, NEAR, 3479), \
            Echo(net.beyond, BEYOND, 3480):
        assert ask(net, FAR, 3478, 10) == 10          # output
        assert ask(net.far, NEAR, 3479, 10) == 10     # input
        assert ask(net.far, BEYOND, 3480, 10) == 10   # forward
    for client, address in (net, FAR), (net.far, NEAR), (net.far, BEYOND):
        done = client.run(PYTHON, "-c", TELNET, address)
        assert done.stdout == "ConnectionRefusedError\n"
    last, err = run.end()
    assert_only_warnings(err)
    assert rule(last, "calls")["hit"]["pkts"] == 30
    assert rule(last, "calls")["delivered"]["pkts"] == 30
    assert last["classes"][0]["sent"]["pkts"] == 30
    assert rule(last, "no-telnet")["dropped"]["pkts"] == 3
    assert taps(net) == []


HELD = """
      - { name: slow, match: "udp and outbound", delay: 1ms }
"""
PASSED = """
      - { name: seen, match: "udp and outbound" }
"""
MARKED = """
      - { name: marked, match: "udp and outbound", mark: 5 }
"""


def test_a_reload_that_needs_another_device_is_refused_with_the_reason(net):
    run = Run(net, net.folder, net_policy(net, PASSED, "host").read_text())
    net_policy(net, HELD, "host")
    done = run.ask("reload")
    assert done.returncode == 3
    assert "rule slow would hold packets at output" in done.stderr
    assert run.status()["reloads"] == 0
    net_policy(net, MARKED, "host")
    assert run.ask("reload").returncode == 0
    run.end()


def test_a_reload_keeps_the_device_that_can_do_more(net):
    run = Run(net, net.folder, net_policy(net, HELD, "host").read_text())
    net_policy(net, PASSED, "host")
    assert run.ask("reload").returncode == 0
    net_policy(net, MARKED, "host")
    done = run.ask("reload")
    assert done.returncode == 3
    assert "rule marked" in done.stderr and "lose their mark" in done.stderr
    net_policy(net, HELD, "host")
    assert run.ask("reload").returncode == 0
    with Echo(net.far, FAR, 5001):
        assert ask(net, FAR, 5001, 5) == 5
    last, _ = run.end()
    assert rule(last, "slow")["delivered"]["pkts"] == 5


def test_packets_of_both_devices_are_captured_alike(net):
    if not shutil.which("tcpdump"):
        pytest.skip("no tcpdump")
    path = net.folder / "a.pcapng"
    net_policy(net, """
      - { name: all, match: "udp", delay: 1ms, capture: a.pcapng, log: 100 }
    """, "host")
    run = Run(net, net.folder, (net.folder / "policy.yaml").read_text())
    with Echo(net.far, FAR, 5001):
        assert ask(net, FAR, 5001, 3) == 3
    run.process.terminate()
    out, err = run.process.communicate(timeout=PATIENCE)
    assert run.process.returncode == 0, err
    logs = [d for d in map(json.loads, out.splitlines()) if d["type"] == "log"]
    assert [d["bytes"] for d in logs] == [128] * 6
    done = subprocess.run(["tcpdump", "-n", "-v", "-r", str(path)], text=True,
                          capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0 and "link-type RAW" in done.stderr
    assert done.stdout.count(f"> {FAR}.5001: ") == 3
    assert done.stdout.count(f"{FAR}.5001 > ") == 3


# --- Interfaces without Ethernet headers ------------------------------------

# A tunnel's other end, which sends every packet back to whom it came from: a ping
# as its answer.
TUNNEL = """
import fcntl, os, struct, sys
fd = os.open("/dev/net/tun", os.O_RDWR)
IFF_TUN, IFF_NO_PI, TUNSETIFF = 1, 0x1000, 0x400454ca
fcntl.ioctl(fd, TUNSETIFF,
            struct.pack("16sH22x", sys.argv[1].encode(), IFF_TUN | IFF_NO_PI))
print("ready", flush=True)
while True:
    p = bytearray(os.read(fd, 65536))
    if p[0] >> 4 != 4:
        continue
    p[12:16], p[16:20] = p[16:20], p[12:16]
    if p[9] == 1:
        p[20] = 0
        sum = struct.unpack("!H", p[22:24])[0] + 0x0800
        p[22:24] = struct.pack("!H", (sum & 0xffff) + (sum >> 16))
    else:
        p[20:22], p[22:24] = p[22:24], p[20:22]
    os.write(fd, p)
"""
THERE = "10.80.0.2"


class Tunnel:
    """A TUN of 'host' that is up while this lives."""

    def __init__(self, host, name="t0"):
        self.process = host.start(PYTHON, "-c", TUNNEL, name)
        assert self.process.stdout.readline() == "ready\n", \
            self.process.stderr.read()
        do(host, f"ip address add 10.80.0.1/24 dev {name}")
        host.run("sh", "-c",
                 f"echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6")
        do(host, f"ip link set {name} up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


TUNNELLED = """
      - { name: noping, match: "outbound and icmp", action: drop }
      - { name: slow, match: "outbound and udp.DstPort == 5001", delay: 20ms }
"""


@pytest.mark.parametrize("on", ["host", "output"])
@pytest.mark.parametrize("later", [False, True])
def test_what_leaves_by_a_tunnel_meets_the_rules_once(net, on, later):
    """Also by one that comes up when packets are taken, which nobody is told."""
    def start():
        return Run(net, net.folder, net_policy(net, TUNNELLED, on).read_text())

    run = start() if later else None
    with Tunnel(net), Echo(net.far, FAR, 5001), Echo(net, "127.0.0.1", 5001):
        run = run or start()
        assert run.start["devices"] == {
            **({"input": "nfqueue"} if on == "host" else {}),
            "output": "tap", "output_without_ethernet": "nfqueue"}
        for address in THERE, FAR, "127.0.0.1":
            assert is_silent(net, 3, address)
            began = time.monotonic()
            assert ask(net, address, 5001, 5) == 5
            assert time.monotonic() - began >= 5 * 0.02
    last, err = run.end()
    assert_only_warnings(err)
    assert "t0" not in err
    assert rule(last, "noping")["dropped"]["pkts"] == 9
    assert rule(last, "noping")["hit"]["pkts"] == 9
    assert rule(last, "slow")["delivered"]["pkts"] == 15
    assert rule(last, "slow")["hit"]["pkts"] == 15
    assert (taps(net), tables(net)) == ([], "")


# Sends a datagram and prints two answers.
UDP_TWICE = f"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout({PATIENCE})
s.sendto(b"a", (sys.argv[1], 5001))
print(s.recv(2048) + s.recv(2048))
"""


def test_answers_and_copies_leave_by_the_tunnel_that_their_packet_did(net):
    path = net_policy(net, """
      - { name: twice, match: "outbound and udp", duplicate: 100%, delay: 1ms }
      - { name: no, match: "outbound and tcp", action: reject }
    """, "host")
    run = Run(net, path.parent, path.read_text())
    with Tunnel(net):
        done = net.run(PYTHON, "-c", UDP_TWICE, THERE)
        assert done.stdout == "b'aa'\n", done.stderr
        done = net.run(PYTHON, "-c", CONNECT, THERE)
        assert done.stdout == "ConnectionRefusedError\n"
        run.process.terminate()
        out, err = run.process.communicate(timeout=PATIENCE)
        links = net.run("cat", "/proc/net/dev").stdout.splitlines()
    assert_only_warnings(err)
    last = json.loads(out.splitlines()[-1])
    assert rule(last, "no")["dropped"]["pkts"] == 1
    assert rule(last, "twice")["hit"]["pkts"] == 1
    sent = next(link for link in links if "t0:" in link).split(":")[1].split()[9]
    assert sent == "2"


def test_says_nothing_of_interfaces_that_one_of_the_devices_takes(net):
    with Tunnel(net):
        for options in ["--delay", "1ms"], ["--loss", "1%"]:
            done = net.run(NSP, "shape", "--for", "10ms", "--quiet", *options)
            assert done.returncode == 0, done.stderr
            assert "t0" not in done.stderr


# --- Fragments ---------------------------------------------------------------

# Sends a datagram of three fragments, and gets one of two.
UDP_LONG = f"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout({PATIENCE})
s.sendto(bytes(4000), (sys.argv[1], 5001))
print(len(s.recv(4096)))
"""


@pytest.mark.parametrize("on,match,count", [
    ("output", "fragment", 0),
    ("output", "ip.Length > 4000", 1),
    ("input", "fragment", 0),
    ("input", "ip.Length > 2000", 1),
    ("tap:v0", "outbound and fragment", 3),
    ("tap:v0", "inbound and fragment", 2),
    ("tap:v0", "ip.Length > 2000", 0),
])
def test_packets_are_whole_on_nfqueue_and_fragments_on_tap(net, on, match, count):
    with Echo(net.far, FAR, 5001):
        shape = Shape(net, "--on", on, "--filter", match)
        done = net.run(PYTHON, "-c", UDP_LONG, FAR)
        assert done.stdout == "2048\n", done.stderr
        assert shape.end()["matched_pkts"] == count


# --- Faults -----------------------------------------------------------------

def test_without_the_privilege_nothing_is_half_taken(net):
    host = Host(["unshare", "--user", "--map-root-user", "--net"])
    enter = ["nsenter", "--target", str(host.keeper.pid), "--net", "--user",
             "--preserve-credentials"]
    subprocess.run([*enter, "ip", "link", "set", "lo", "up"], check=True)
    done = subprocess.run([*enter, NSP, "shape", "--json", "--delay", "5ms"],
                          capture_output=True, text=True, timeout=PATIENCE,
                          check=False)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["category"]) == (3, "privilege")
    assert "takes the tap device" in error["message"]
    assert "CAP_BPF" in error["hint"]
    assert taps(host) == [] and tables(host) == ""
    done = subprocess.run([*enter, NSP, "shape", "--json", "--delay", "5ms",
                           "--direction", "inbound", "--for", "10ms"],
                          capture_output=True, text=True, timeout=PATIENCE,
                          check=False)
    assert done.returncode == 0, done.stdout
    host.close()


def test_kill_leaves_nothing_behind(net):
    shape = Shape(net, "--filter", "icmp", "--delay", "1h")
    assert is_silent(net, 2)
    shape.process.kill()
    shape.process.communicate()
    assert answers_in_time(net)
    assert (taps(net), tables(net)) == ([], "")
