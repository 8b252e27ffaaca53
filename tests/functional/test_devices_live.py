"""What every device owes, asked of each: all kinds of traffic pass unharmed and
are counted, one policy means the same fates, and faults are survived.

On 'bridge' the process joins two hosts that nothing else joins, and on 'stack'
it does by interfaces whose driver has no XDP; on the others it runs on the near
one:

    near 10.78.0.1 v0 ---------------- v1 10.78.0.2 far
    near 10.78.0.1 v0 --- p0 p1 ------ v1 10.78.0.2 far
    near 10.78.0.1 v0 - p0 m0 m1 p1 -- v1 10.78.0.2 far
          fd78::1                            fd78::2
"""

import json
import os
import signal
import time

import pytest

from live_hosts import (FAR, FAR6, NEAR, NEAR6, NEEDS_NETWORK, PATIENCE,
                        add_macvlans, answered, answers_in_time, is_silent, near, parted,
                        ping, start_pings, stop, stopped, straight,
                        works_here)  # noqa: F401
from live_traffic import (CONNECTIONS, MANY, MEGABYTE, OFFLOADS_OFF, PYTHON,
                          UDP_CLIENT, UDP_ECHO, ask, transfer)
from test_bridge_live import CHANNELS
from test_run_live import Run, rule
from test_shape_live import NSP, Shape

pytestmark = NEEDS_NETWORK

# How each is chosen, by options of 'nsp shape' and in a policy. This host's
# packets are taken with 'nfqueue' alone unless some are held on their way out;
# then with two devices at once. The kernel decides nothing itself.
DEVICES = {
    "nfqueue": (["--on", "host"], "on: [host]", ""),
    "tap": (["--on", "tap:v0", "--no-offload"], "tap: [v0]", ""),
    "host": (["--on", "host", "--delay", "1us"], "on: [host]",
             "  - { name: late, match: 'icmp or arp', delay: 1us }"),
    "bridge": (["--on", "bridge:p0,p1", "--no-offload"], "bridge: [p0, p1]",
               ""),
    "stack": (["--on", "bridge:m0,m1", "--no-offload"], "bridge: [m0, m1]",
              ""),
}
PORTS_OF = {"bridge": ["p0", "p1"], "stack": ["p0", "p1", "m0", "m1"]}


class Wire:
    """Two hosts and the device between them, which all packets meet."""

    def __init__(self, name, near):
        self.name, self.near, self.far = name, near, near.far
        self.options, self.intercept, self.last_rule = DEVICES[name]
        self.ports = [(near.middle, port) for port in PORTS_OF.get(name, [])]
        self.runs_at = near.middle if self.ports else near

    def shape(self, *options):
        shape = Shape(self.runs_at, *self.options, *options)
        assert answers_in_time(self.near)
        return shape

    def run(self, folder, rules, offload=False):
        options = [] if offload else ["--no-offload"]
        run = Run(self.runs_at, folder, self.policy(rules), *options)
        assert answers_in_time(self.near)
        return run

    def policy(self, rules):
        if self.ports:  # Frames that cross have no direction.
            rules = rules.replace("direction: inbound,", "")
        else:
            rules += WRONG_WAY
        return (f"version: 1\nintercept: {{ {self.intercept} }}\n"
                f"{rules}{self.last_rule}")

    def ends(self):
        return (self.near, "v0"), (self.far, "v1")


def of_device(name, request):
    if name != "nfqueue":
        device = "bridge" if name in PORTS_OF else "tap"
        if not works_here(device):
            pytest.skip(f"'nsp doctor --backend {device}' finds things missing")
    near = request.getfixturevalue("parted" if name in PORTS_OF else "straight")
    if name == "stack":
        add_macvlans(near)
    return Wire(name, near)


@pytest.fixture(params=DEVICES)
def wire(request):
    return of_device(request.param, request)


def do(host, command):
    done = host.run(*command.split())
    assert done.returncode == 0, done.stderr


# --- Everything passes ------------------------------------------------------

def test_pings_of_all_sizes_pass(wire):
    """Fragments, too. One by one: a socket has no room for two of the largest."""
    shape = wire.shape()
    for address in (FAR, FAR6):
        for size in (0, 56, 1472, 1473, 4000, 60000):
            for _ in range(3):
                assert ping(wire.near, address=address, size=size) == 1
    end = shape.end()
    assert end["delivered"] == end["in"]
    assert end["in"]["pkts"] >= 72


@pytest.mark.parametrize("off", ["", "near", "far", "near far"])
def test_tcp_arrives_intact_both_ways(wire, off):
    for role, (host, name) in zip(("near", "far"), wire.ends()):
        if role in off.split():
            done = host.run(PYTHON, "-c", OFFLOADS_OFF, name)
            assert done.returncode == 0, done.stderr
    shape = wire.shape()
    for address in (FAR, FAR6):
        assert transfer(wire.near, wire.far, address, 4 * MEGABYTE)
    for address in (NEAR, NEAR6):
        assert transfer(wire.far, wire.near, address, 4 * MEGABYTE)
    end = shape.end()
    assert end["in"]["bytes"] >= 16 * MEGABYTE
    assert end["device_errors"] == 0


@pytest.mark.parametrize("address,options", [(FAR, "plain"), (FAR6, "plain"),
                                             (FAR6, "options")])
def test_datagrams_of_all_sizes_pass(wire, address, options):
    """In fragments, and behind extension headers."""
    echo = wire.far.start(PYTHON, "-c", UDP_ECHO, address)
    assert echo.stdout.readline() == "ready\n"
    shape = wire.shape()
    done = wire.near.run(PYTHON, "-c", UDP_CLIENT, address, options)
    assert done.stdout == "9\n", done.stderr
    assert shape.end()["device_errors"] == 0
    echo.kill()
    echo.communicate()


def test_thousands_of_connections_at_once(wire):
    shape = wire.shape()
    server = wire.far.start(PYTHON, "-c", MANY, "server", FAR)
    assert server.stdout.readline() == "ready\n"
    done = wire.near.run(PYTHON, "-c", MANY, "client", FAR)
    assert done.stdout == f"{CONNECTIONS}\n", done.stderr
    server.communicate(timeout=PATIENCE)
    end = shape.end()
    assert end["delivered"] == end["in"]


# --- One policy, the same fates ---------------------------------------------

# Where packets have a direction, rules for one are no business of those that go
# the other way.
RULES = """
rules:
  - { name: seen, match: "udp or icmp", continue: true, count: true }
  - { name: lost, match: "udp.DstPort == 6001", action: drop }
  - { name: third, match: "udp.DstPort == 6002", loss: { model: nth, n: 3 } }
  - { name: marked, match: "udp.DstPort == 6003", ttl: 9, dscp: 46 }
  - { name: short, match: "udp.DstPort == 6004 and udp.PayloadLength < 275",
      action: drop }
  - { name: answers, match: "udp.SrcPort == 6005", loss-pattern: "011" }
  - { name: waits, match: "udp.SrcPort == 6008", direction: inbound, delay: 5ms }
  - { name: unheard, match: "udp.SrcPort == 6009", direction: inbound,
      action: drop }
  - { name: large, match: "udp.DstPort == 6011", action: drop }
  - { name: cut, match: "udp.DstPort == 6006",
      tamper: { truncate: 128b, checksum: repair } }
  - { name: shut, match: "tcp.DstPort == 6007", action: reject }
"""
WRONG_WAY = """
  - { name: no-answer, match: "udp.DstPort == 6010", direction: inbound,
      action: drop }
  - { name: not-asked, match: "udp.SrcPort == 6010", direction: outbound,
      action: drop }
"""
SIZES = {**{port: list(range(50, 601, 50))
            for port in (*range(6001, 6007), 6008, 6009)},
         6010: [3000], 6011: [3000]}  # Fragments on a wire.
# How many answers the sender has of those that all are answered.
ANSWERED_BY = {6005: 4, 6008: 12, 6009: 0, 6010: 1}
ENOUGH = 6100

# What a process sends from one processor and then another may change its order.
PINNED = """
import os
every = os.sched_getaffinity(0)
os.sched_setaffinity(0, {min(every)})
"""

# Hears datagrams at some ports until one from each processor at the last port
# says so; prints what came, in order of addresses and ports: sizes, the hop limit
# they came with, and the traffic class. Answers have the headers of what they
# answer.
HEAR = f"""{PINNED}
import selectors, socket
V4, V6 = socket.IPPROTO_IP, socket.IPPROTO_IPV6
TOLD = {{V4: (12, socket.IP_RECVTOS),
         V6: (socket.IPV6_RECVHOPLIMIT, socket.IPV6_RECVTCLASS,
              socket.IPV6_RECVHOPOPTS, socket.IPV6_RECVDSTOPTS)}}
wait = selectors.DefaultSelector()
for address in ("{FAR}", "{FAR6}"):
    for port in {[*SIZES, ENOUGH]}:
        level = V6 if ":" in address else V4
        s = socket.socket(socket.AF_INET6 if level == V6 else socket.AF_INET,
                          socket.SOCK_DGRAM)
        for option in TOLD[level]:
            s.setsockopt(level, option, 1)
        s.bind((address, port))
        wait.register(s, selectors.EVENT_READ, (address, port))
print("ready", flush=True)
heard, left = [], len(every)
while left > 0 or wait.select(0):
    for key, _ in wait.select():
        data, aux, _, peer = key.fileobj.recvmsg(4096, 500)
        if key.data[1] == {ENOUGH}:
            left -= 1
            continue
        told = {{(level, what): value for level, what, value in aux}}
        limit = told.get((V4, socket.IP_TTL)) or told[V6, socket.IPV6_HOPLIMIT]
        tos = told.get((V4, socket.IP_TOS)) or told[V6, socket.IPV6_TCLASS]
        heard.append((*key.data, len(data), limit[0], tos[0]))
        if key.data[1] in {ANSWERED_BY}:
            key.fileobj.sendmsg([data], [(level, what, value)
                                         for level, what, value in aux
                                         if level == V6 and what in
                                         (socket.IPV6_HOPOPTS,
                                          socket.IPV6_DSTOPTS)], 0, peer)
print(sorted(heard))
"""
# Sends over IPv4, IPv6, and behind extension headers; what a datagram holds would
# be the ports of one to be lost, if a later fragment had any. Prints how many
# answers came from each port.
SAY = f"""{PINNED}
import socket
OPTIONS = [(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS,
            bytes([0, 0, 1, 4, 0, 0, 0, 0])),
           (socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS,
            bytes([0, 1, 30, 12, *bytes(12)]))]
answers, sockets = {{}}, []
for address, options in (("{FAR}", []), ("{FAR6}", []), ("{FAR6}", OPTIONS)):
    for port, sizes in {SIZES}.items():
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                          socket.SOCK_DGRAM)
        for size in sizes:
            s.sendmsg([(6001).to_bytes(2, "big") * (size // 2)], options, 0,
                      (address, port))
        s.settimeout({PATIENCE})
        for _ in range({ANSWERED_BY}.get(port, 0)):
            answers[port] = answers.get(port, 0) + (len(s.recv(4096)) > 0)
        sockets.append((port, s))
    if options:
        continue
    try:
        socket.create_connection((address, 6007), {PATIENCE})
    except ConnectionRefusedError:
        print("refused")
for port, s in sockets:
    s.setblocking(False)
    try:
        while s.recv(4096):
            answers[port] = answers.get(port, 0) + 1
    except BlockingIOError:
        pass
print(sorted(answers.items()))
"""
SAID = f"refused\nrefused\n{[(6005, 12), (6008, 36), (6010, 3)]}\n"
SAY_ENOUGH = f"""
import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for cpu in os.sched_getaffinity(0):
    os.sched_setaffinity(0, {{cpu}})
    s.sendto(b"", ("{FAR}", {ENOUGH}))
"""


def arrives(port, i, size, header_bytes):
    """With what size, hop limit and traffic class, if datagram 'i' to a port does."""
    if (port in (6001, 6011) or (port == 6002 and i % 3 == 2) or
            (port == 6004 and size < 275)):
        return None
    if port == 6006:
        size = min(size, 128 - header_bytes)
    return (size, 9, 46 << 2) if port == 6003 else (size, 64, 0)


HEADERS = ((FAR, 28), (FAR6, 48), (FAR6, 48 + 24))
HEARD = sorted((address, port, *arrives(port, i, size, header_bytes))
               for address, header_bytes in HEADERS
               for port, sizes in SIZES.items()
               for i, size in enumerate(sizes)
               if arrives(port, i, size, header_bytes))


def counted(port, dropped, below=1000):
    """What a rule counts that matches datagrams of fewer bytes, and drops some of
    those that came by each header."""
    sizes = [size for size in SIZES[port] if size < below]
    return {"hit": len(HEADERS) * len(sizes),
            "hit_bytes": sum(size + header_bytes for _, header_bytes in HEADERS
                             for size in sizes),
            "delivered": len(HEADERS) * (len(sizes) - dropped),
            "dropped": len(HEADERS) * dropped}


COUNTED = {"lost": counted(6001, 12), "third": counted(6002, 4),
           "marked": counted(6003, 0), "short": counted(6004, 5, below=275),
           "answers": counted(6005, 8), "waits": counted(6008, 0),
           "unheard": counted(6009, 12), "cut": counted(6006, 0)}
NOTHING = {"hit": 0, "hit_bytes": 0, "delivered": 0, "dropped": 0}


def fates(wire, folder, offload):
    """What arrives, and how often each rule did what, but for what tries again
    when an answer is late. A packet may overtake those of other flows, so the
    far end is told that it has heard all by itself, once nothing is held."""
    hear = wire.far.start(PYTHON, "-c", HEAR)
    assert hear.stdout.readline() == "ready\n", hear.stderr.read()
    run = wire.run(folder, RULES, offload)
    # What waits for a neighbour to be found may be overtaken then.
    assert answers_in_time(wire.near, FAR6)
    done = wire.near.run(PYTHON, "-c", SAY)
    assert done.stdout == SAID, done.stdout + done.stderr
    until = time.monotonic() + PATIENCE
    while any(rule(run.status(), name)["hit"]["pkts"] < COUNTED[name]["hit"]
              for name in ("answers", "unheard")):
        assert time.monotonic() < until
    end, _ = run.end()
    wire.far.run(PYTHON, "-c", SAY_ENOUGH)
    heard = hear.communicate(timeout=PATIENCE)[0]
    return heard, {r["name"]: {"hit": r["hit"]["pkts"],
                               "hit_bytes": r["hit"]["bytes"],
                               "delivered": r["delivered"]["pkts"],
                               "dropped": r["dropped"]["pkts"]}
                   for r in end["rules"]}


@pytest.mark.parametrize("name,offload", [
    ("nfqueue", False), *((name, offload) for name in DEVICES if name != "nfqueue"
                          for offload in (False, True))])
def test_one_policy_means_the_same_fates(name, offload, request, tmp_path):
    """On each device, on their way out and in, whoever decides."""
    wire = of_device(name, request)
    heard, found = fates(wire, tmp_path, offload)
    assert heard == f"{HEARD}\n"
    assert {name: found[name] for name in COUNTED} == COUNTED
    if not wire.ports:
        assert found["no-answer"] == found["not-asked"] == NOTHING


# --- Faults -----------------------------------------------------------------

def test_survives_interfaces_that_flap_and_change_their_mtu(wire):
    shape = wire.shape()
    # Also above that at the start, with and without room for such frames.
    for mtu in (1400, 1500, 1600, 3000):
        for host, name in [*wire.ports, *wire.ends()]:
            do(host, f"ip link set {name} mtu {mtu}")
        assert answers_in_time(wire.near)
        assert any(ping(wire.near, size=mtu - 28, patience_s=1)
                   for _ in range(PATIENCE))
        assert transfer(wire.near, wire.far, FAR, 4 * MEGABYTE)
        assert transfer(wire.far, wire.near, NEAR, 4 * MEGABYTE)
    for host, name in [(wire.near, "v0"), *wire.ports]:
        do(host, f"ip link set {name} down")
        assert is_silent(wire.near)
        do(host, f"ip link set {name} up")
        assert answers_in_time(wire.near)
    assert transfer(wire.near, wire.far, FAR, MEGABYTE)
    assert shape.end()["result"] == "stopped"


def test_outlives_the_namespace_of_the_other_end_or_says_why_not(wire):
    """Those that have no other interface left end with it."""
    shape = wire.shape()
    wire.far.close()
    if wire.name in ("nfqueue", "host"):
        do(wire.near, "ping -c 1 127.0.0.1")
        assert shape.end()["result"] == "stopped"
    else:
        out, _ = shape.process.communicate(timeout=PATIENCE)
        assert "was removed" in out.splitlines()[-1]
        assert shape.process.returncode == 1


# More datagrams than any queue between the kernel and a process has room for.
# What waits there counts against its socket, so there are many of these.
FLOOD = f"""
import resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
all_ = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(1000)]
for s in all_:
    s.setblocking(False)
sent = 0
for i in range(150_000):
    try:
        all_[i % len(all_)].sendto(b"flood", ("{FAR}", 9))
        sent += 1
    except PermissionError:  # A rule has dropped it.
        sent += 1
    except OSError:
        pass
print(sent)
"""


ASKED = 9


@pytest.mark.parametrize("closed", [False, True])
def test_goes_on_after_its_queues_have_overflowed(wire, closed):
    """With a worker that is stopped in the middle of it; where each datagram went
    is known."""
    shape = wire.shape("--filter", "udp",
                       *(["--fail-closed"] if closed else []))
    stop(shape.process)
    done = wire.near.run(PYTHON, "-c", FLOOD)
    assert done.returncode == 0, done.stderr
    shape.process.send_signal(signal.SIGCONT)
    assert answers_in_time(wire.near)
    echo = wire.far.start(PYTHON, "-c", UDP_ECHO, FAR)
    assert echo.stdout.readline() == "ready\n"
    assert ask(wire.near, FAR, ASKED, PATIENCE) == ASKED
    echo.kill()
    echo.communicate()
    end = shape.end()
    assert end["result"] == "stopped"
    # Only root may read what the kernel says of netfilter's queues; what they let
    # by when full nobody counts.
    if wire.name == "nfqueue" and (not closed or os.geteuid() != 0):
        return
    assert (end["kernel_dropped_pkts"] if closed else end["passed_by_pkts"]) > 0
    others = (end["matched_pkts"] + end["passed_by_pkts"] +
              end["kernel_dropped_pkts"] - int(done.stdout) - 2 * ASKED)
    # Elsewhere packets of all kinds are dropped, or pass by, and not these alone.
    assert others == 0 if wire.name == "tap" else 0 <= others < 100


# Of a hundred, so many are answered. How long an end takes is the kernel's, and the machine's.
ANSWERED = 50


def test_pings_survive_the_end_of_a_process_and_the_next_one(wire):
    shape = wire.shape("--filter", "icmp")
    pings = start_pings(wire.near, enough=ANSWERED)
    shape.wait_until(lambda said: said["matched_pkts"] >= 20)
    shape.process.kill()
    shape.process.communicate()
    assert answered(pings) >= ANSWERED
    pings = start_pings(wire.near, enough=ANSWERED)
    shape = wire.shape("--filter", "icmp")
    assert answered(pings) >= ANSWERED
    assert shape.end()["matched_pkts"] > 0


def passes_by(wire):
    """Whether the kernel asks for signs of life before packets are given to the
    device; a netfilter queue has them until the process ends, where it cannot."""
    if wire.name not in ("nfqueue", "host"):
        return True
    done = wire.near.run(NSP, "doctor", "--json", "--backend", "nfqueue")
    return any(item["feature"] == "signs-of-life" and item["state"] == "ok"
               for group in json.loads(done.stdout)["groups"]
               for item in group["items"])


def test_pings_survive_a_process_that_hangs_for_a_while(wire):
    """Those that it was still trusted with wait for it; later ones pass by."""
    shape = wire.shape("--filter", "icmp")
    pings = start_pings(wire.near, enough=ANSWERED)
    shape.wait_until(lambda said: said["matched_pkts"] >= 20)
    stop(shape.process)
    if passes_by(wire):
        assert answers_in_time(wire.near)
        assert ping(wire.near, 3) == 3
    else:
        ping(wire.near, 3, patience_s=1)
    shape.process.send_signal(signal.SIGCONT)
    assert answered(pings) >= ANSWERED
    shape.end()


def test_pings_survive_a_thread_that_hangs(wire):
    """Whichever it is, a worker of two or one that serves them."""
    if not passes_by(wire):
        pytest.skip("rules cannot ask for signs of life here")
    for host, end in [*wire.ends(), *wire.ports]:
        if wire.name == "bridge":
            done = host.run(PYTHON, "-c", CHANNELS, end, "2")
            assert done.returncode == 0, done.stderr
    shape = wire.shape("--workers", "2")
    threads = [int(tid) for tid in os.listdir(f"/proc/{shape.process.pid}/task")]
    assert len(threads) > 2
    for tid in threads:
        with stopped(tid):
            assert answers_in_time(wire.near)
            assert ping(wire.near, 3) == 3
    assert answers_in_time(wire.near)
    assert transfer(wire.near, wire.far, FAR, 4 * MEGABYTE)
    assert shape.end()["passed_by_pkts"] > 0


def test_nothing_passes_once_it_is_told_to_fail_closed(wire):
    shape = wire.shape("--filter", "icmp", "--fail-closed")
    stop(shape.process)
    assert is_silent(wire.near, 3)
    shape.process.send_signal(signal.SIGCONT)
    assert answers_in_time(wire.near)
    shape.end()


@pytest.mark.parametrize("name", ["nfqueue", "bridge"])
def test_nothing_passes_after_the_process_is_killed_if_it_fails_closed(name, request):
    """Until the next one; after that has ended in order, all is as it was."""
    wire = of_device(name, request)
    shape = wire.shape("--filter", "icmp or icmpv6", "--fail-closed")
    shape.process.kill()
    shape.process.communicate()
    assert is_silent(wire.near, 3)
    assert is_silent(wire.near, 2, FAR6)
    shape = wire.shape("--filter", "icmp or icmpv6", "--fail-closed")
    assert ping(wire.near, 3) == 3
    assert shape.end()["matched_pkts"] >= 6
    # What a bridge joined is parted then.
    assert is_silent(wire.near, 3) if wire.ports else ping(wire.near, 3) == 3


@pytest.mark.parametrize("name", ["tap", "host"])
def test_nothing_passes_once_one_that_fails_closed_was_killed(name, request):
    """Until the next one starts; neither that nor an end in order leaves
    anything behind."""
    wire = of_device(name, request)
    shape = wire.shape("--filter", "icmp", "--fail-closed")
    shape.process.kill()
    shape.process.communicate()
    assert is_silent(wire.near, 3)
    for options in [], ["--fail-closed"]:
        shape = wire.shape("--filter", "icmp", *options)
        assert ping(wire.near, 3) == 3
        assert shape.end()["matched_pkts"] >= 6
        assert ping(wire.near, 3) == 3
        assert "clsact" not in wire.near.run("tc", "qdisc").stdout


def test_one_without_a_tap_opens_what_one_with_a_tap_has_closed(request):
    wire = of_device("host", request)
    shape = wire.shape("--filter", "icmp", "--fail-closed")
    shape.process.kill()
    shape.process.communicate()
    assert is_silent(wire.near, 3)
    shape = Shape(wire.near, "--on", "host", "--filter", "icmp")
    assert ping(wire.near, 3) == 3
    shape.end()
    assert ping(wire.near, 3) == 3
    assert "clsact" not in wire.near.run("tc", "qdisc").stdout


@pytest.mark.parametrize("name", ["bridge", "stack"])
def test_a_bridge_takes_off_what_a_killed_tap_left_at_its_ports(name, request):
    wire = of_device(name, request)
    for _, port in wire.ports[-2:]:
        shape = Shape(wire.runs_at, "--on", f"tap:{port}", "--fail-closed")
        shape.process.kill()
        shape.process.communicate()
        assert "clsact" in wire.runs_at.run("tc", "qdisc").stdout
    shape = wire.shape()
    assert ping(wire.near, 3) == 3
    shape.end()
    assert "clsact" not in wire.runs_at.run("tc", "qdisc").stdout


@pytest.mark.parametrize("name", ["nfqueue", "tap", "host"])
def test_what_the_filter_does_not_match_stays_in_the_kernel(name, request):
    wire = of_device(name, request)
    shape = wire.shape("--filter", "tcp")
    assert ping(wire.near, 5) == 5
    assert transfer(wire.near, wire.far, FAR, MEGABYTE)
    end = shape.end()
    # The kernel cannot tell of all IPv6 extension headers.
    assert end["matched_pkts"] > 0
    assert end["in"]["pkts"] < end["matched_pkts"] + 10


def test_pings_survive_reloads(wire, tmp_path):
    run = wire.run(tmp_path, RULES)
    pings = start_pings(wire.near)
    for i in range(10):
        run.path.write_text(wire.policy(RULES.replace("6001", str(7001 + i))))
        done = run.ask("reload")
        assert (done.returncode, done.stderr) == (0, "")
    assert answered(pings) == 100
    end, _ = run.end()
    assert rule(end, "seen")["hit"]["pkts"] >= 200
