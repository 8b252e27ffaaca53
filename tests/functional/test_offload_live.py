"""Rules that the kernel decides on the tap device: the same packets meet the same
fate, and the same counters, with and without."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

from live_hosts import (FAR, NEEDS_NETWORK, PATIENCE, answers_in_time,
                        is_found, is_silent, near, stop)  # noqa: F401
from live_traffic import PYTHON, UDP_ECHO, ask

NSP = os.environ["NSP"]


def can_take_packets():
    done = subprocess.run([NSP, "doctor", "--backend", "tap"],
                          capture_output=True, check=False)
    return done.returncode == 0


pytestmark = [
    NEEDS_NETWORK,
    pytest.mark.skipif(not can_take_packets(), reason="no eBPF programs here"),
]

# A delay of what this host sends makes 'nsp run' take it with the tap.
HELD = '  - { name: held, match: "udp.DstPort == 7777", delay: 1ms }\n'

SENDER = """
import socket, sys, json
v4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
v6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
v4.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER: fragments are fine.
for line in sys.stdin:
    for to, port, size, count, tos in json.loads(line):
        s = v6 if ":" in to else v4
        if s is v4:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        for i in range(count):
            s.sendto(bytes([port & 255]) + bytes(size - 1) if size else b"",
                     (to, port))
    print("sent", flush=True)
"""

# Behind all that any processor still has to deliver.
LAST = """
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for cpu in os.sched_getaffinity(0):
    os.sched_setaffinity(0, {cpu})
    s.sendto(b"last", (sys.argv[1], 9999))
"""

LISTENER = """
import json, os, select, socket, sys
ports = json.loads(sys.argv[1])
socks = {}
for port in ports:
    for family, any_ in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((any_, port))
        socks[s] = (port, family == socket.AF_INET6)
print("up", flush=True)
got, last = {}, len(os.sched_getaffinity(0))
while last > 0 or select.select(list(socks), [], [], 0)[0]:
    for s in select.select(list(socks), [], [])[0]:
        data = s.recv(65536)
        port, v6 = socks[s]
        if port == 9999:
            last -= 1
            continue
        key = "%d%s/%d" % (port, "v6" if v6 else "", len(data))
        got[key] = got.get(key, 0) + 1
print(json.dumps(sorted(got.items())), flush=True)
"""

V6 = "fd00:78::2"
TRAFFIC = [  # To, port, payload bytes, packets, TOS.
    (FAR, 53, 0, 5, 0), (FAR, 53, 10, 5, 0), (FAR, 53, 1400, 3, 0),
    (FAR, 54, 100, 7, 0), (FAR, 55, 3, 4, 0x2e << 2), (FAR, 56, 3000, 3, 0),
    (FAR, 7777, 20, 6, 0), (FAR, 80, 1, 9, 0), (FAR, 81, 1, 2, 0),
    (V6, 53, 10, 5, 0), (V6, 54, 1, 6, 0), (V6, 7777, 10, 3, 0),
    (V6, 80, 500, 4, 0),
]
PORTS = sorted({row[1] for row in TRAFFIC} | {9999})

POLICIES = {
    "drops": """
  - { name: dns, match: "udp.DstPort == 53", action: drop }
  - { name: v6, match: "ipv6 and udp.DstPort == 54", action: drop }
""" + HELD + """
  - { name: rest, match: "udp", action: pass }
""",
    "counts": """
  - { name: all, match: "udp", continue: true, count: true }
  - { name: small, match: "udp.PayloadLength < 20", continue: true, count: true }
  - { name: dns, match: "udp.DstPort == 53", action: drop }
  - { name: ef, match: "ip.Dscp == 46", action: pass }
""" + HELD,
    "a user-space rule first": HELD + """
  - { name: marked, match: "udp.DstPort == 80", dscp: 10 }
  - { name: web, match: "udp.DstPort in {80..81}", action: drop }
  - { name: big, match: "length > 1000", action: drop }
""",
    "what the kernel cannot tell": HELD + """
  - { name: never, match: "random8 > 255 or udp.DstPort == 81", action: drop }
  - { name: words, match: "udp.Payload[0] == 54", action: drop }
  - { name: frags, match: "fragment", action: drop }
""",
    "a set": """
  - { name: ours, match: "udp and remoteAddr in @many", action: drop }
  - { name: theirs, match: "udp and remoteAddr in @others", action: pass }
""" + HELD,
    "one way": """
  - { name: out, match: "udp.DstPort == 53", direction: outbound, action: drop }
  - { name: in, match: "udp.DstPort == 54", direction: inbound, action: drop }
  - { name: log, match: "udp.DstPort == 55", log: 1000 }
""" + HELD,
    "reject and limit": HELD + """
  - { name: no, match: "udp.DstPort == 80", action: reject }
  - { name: few, match: "udp.DstPort == 54", limit: 1gbit }
  - { name: dns, match: "udp.DstPort == 53", action: drop }
""",
}


# Of seven packets with 128 bytes each, four conform: what the bucket earns
# meanwhile is not enough for one more.
POLICIES["limits"] = """
  - { name: all, match: "udp", continue: true, count: true }
  - { name: bytes, match: "udp.DstPort == 54 and udp.PayloadLength == 100",
      limit: { rate: 8bit, burst: 600b } }
  - { name: pkts, match: "udp.DstPort == 80", limit: { rate: 1pps, burst: 20p } }
""" + HELD


def policy_text(rules):
    many = ", ".join(f"10.{i}.0.0/16" for i in range(50, 120))
    return f"""
version: 1
intercept: {{ on: [output] }}
sets:
  many: {{ prefixes: [{many}, "fd00:78::/64"] }}
  others: {{ prefixes: [192.0.2.0/24] }}
rules:
{rules}
"""


class Run:
    def __init__(self, host, folder, text, *options):
        self.path = folder / "policy.yaml"
        self.path.write_text(text)
        self.socket = folder / "control.sock"
        self.host = host
        self.process = host.start(NSP, "run", "--json", "--control",
                                  str(self.socket), *options, str(self.path))
        line = self.process.stdout.readline()
        assert line and json.loads(line)["type"] == "running", (
            line, self.process.stderr.read())

    def reload(self, text):
        self.path.write_text(text)
        done = self.host.run(NSP, "reload", "--control", str(self.socket))
        assert done.returncode == 0, done.stderr

    def status(self):
        done = self.host.run(NSP, "status", "--control", str(self.socket))
        return json.loads(done.stdout)

    def decided(self):
        return self.status()["kernel_decided_pkts"]

    def wait_for_hits(self, expected):
        """Until as many packets have met the rules that 'expected' names."""
        until = time.monotonic() + PATIENCE
        hits = {}
        while any(hits.get(name) != count for name, count in expected.items()):
            assert time.monotonic() < until, hits
            hits = {rule["name"]: rule["hit"]["pkts"]
                    for rule in self.status()["rules"]}

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, err
        return json.loads(out.splitlines()[-1])


def make_quiet(near):
    for host, own in ((near, "fd00:78::1"), (near.far, V6)):
        dev = "v0" if host is near else "v1"
        assert host.run("ip", "address", "add", f"{own}/64", "dev", dev,
                        "nodad").returncode == 0
    assert answers_in_time(near)
    assert answers_in_time(near, V6)


def listen(far):
    listener = far.start(PYTHON, "-c", LISTENER, json.dumps(PORTS))
    assert listener.stdout.readline() == "up\n"
    return listener


def send(near, rows):
    """From sockets of their own: all flows are new."""
    done = near.run(PYTHON, "-c", SENDER, input=json.dumps(rows))
    assert done.returncode == 0, done.stderr


class Sender:
    """Whose flows go on from one send() to the next."""

    def __init__(self, near):
        self.process = near.start(PYTHON, "-c", SENDER, stdin=subprocess.PIPE)

    def send(self, rows):
        self.process.stdin.write(json.dumps(rows) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "sent\n"

    def close(self):
        self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0


def what_arrived(near, listener):
    """Once nothing more is to come."""
    done = near.run(PYTHON, "-c", LAST, FAR)
    assert done.returncode == 0, done.stderr
    out, err = listener.communicate(timeout=PATIENCE)
    assert listener.returncode == 0, err
    return json.loads(out)


def fates(near, folder, rules, *options):
    """What arrives of TRAFFIC, and the counters of all rules."""
    listener = listen(near.far)
    run = Run(near, folder, policy_text(rules), *options)
    send(near, TRAFFIC)
    end = run.end()
    arrived = what_arrived(near, listener)
    counters = {
        rule["name"]: [rule[key] for key in ("hit", "in", "delivered",
                                             "dropped", "queued")
                       if key in rule]
        for rule in end["rules"]}
    for rule in counters.values():
        for value in rule:
            if isinstance(value, dict):
                value.pop("last_hit_ns", None)
    assert end["in"]["pkts"] == end["delivered"]["pkts"] + sum(
        drop["pkts"] for drop in end["dropped"].values())
    assert end["in"]["bytes"] == end["delivered"]["bytes"] + sum(
        drop["bytes"] for drop in end["dropped"].values())
    return arrived, counters, end


@pytest.mark.parametrize("name", POLICIES)
def test_the_same_packets_have_the_same_fate(near, tmp_path, name):
    make_quiet(near)
    with_, counted, end = fates(near, tmp_path, POLICIES[name])
    without, expected, plain = fates(near, tmp_path, POLICIES[name],
                                     "--no-offload")
    closed, closed_counted, closed_end = fates(near, tmp_path, POLICIES[name],
                                               "--fail-closed")
    assert with_ == without == closed
    assert counted == expected == closed_counted
    assert closed_end["kernel_decided_pkts"] > 0
    assert plain["kernel_decided_pkts"] == 0
    assert end["kernel_decided_pkts"] > 0
    assert any(rule[0]["pkts"] for rule in counted.values())


def test_large_sends_have_the_same_fate(near, tmp_path):
    """TCP in superpackets, whose payload lies in pages of its own."""
    make_quiet(near)
    text = policy_text(HELD + """
  - { name: web, match: "tcp.DstPort == 8080", action: pass }
  - { name: other, match: "tcp.DstPort == 8081", action: drop }
""")
    run = Run(near, tmp_path, text)
    server = near.far.start(PYTHON, "-c", """
import socket
s = socket.create_server(("", 8080))
print("up", flush=True)
c = s.accept()[0]
n = 0
while data := c.recv(1 << 20):
    n += len(data)
print(n, flush=True)
""")
    assert server.stdout.readline() == "up\n"
    client = near.run(PYTHON, "-c", f"""
import socket
s = socket.create_connection(("{FAR}", 8080))
s.sendall(bytes(8000000))
s.close()
try:
    socket.create_connection(("{FAR}", 8081), 0.2)
except TimeoutError:
    print("timeout")
""")
    assert client.stdout == "timeout\n", client.stderr
    assert server.stdout.readline() == "8000000\n"
    end = run.end()
    web = next(r for r in end["rules"] if r["name"] == "web")
    assert web["delivered"]["bytes"] > 8000000
    assert next(r for r in end["rules"]
                if r["name"] == "other")["dropped"]["pkts"] >= 1
    # But for what came before the rules were there.
    assert end["kernel_decided_pkts"] > 0.9 * end["in"]["pkts"]


def test_a_reload_leaves_no_gap_and_keeps_counters(near, tmp_path):
    """While policies change, what all of them drop never arrives."""
    make_quiet(near)
    listener = listen(near.far)
    shut = '  - { name: shut, match: "udp.DstPort == 53", action: drop }\n'
    texts = [
        policy_text(HELD + shut),
        policy_text(shut + HELD),
        policy_text('  - { name: extra, match: "udp", continue: true }\n' +
                    shut + HELD),
        policy_text(HELD + '  - { name: ef, match: "udp.DstPort == 55" }\n' +
                    shut),
    ]
    run = Run(near, tmp_path, texts[0])
    rows = [(FAR, 53, 10, 50, 0)] * 400
    sender = threading.Thread(target=send, args=(near, rows))
    sender.start()
    for i in range(12):
        run.reload(texts[(i + 1) % len(texts)])
    sender.join()
    end = run.end()
    arrived = what_arrived(near, listener)
    assert arrived == []
    rule = next(r for r in end["rules"] if r["name"] == "shut")
    assert rule["in"]["pkts"] == rule["dropped"]["pkts"] == 50 * 400
    assert end["in"]["pkts"] == end["delivered"]["pkts"] + sum(
        drop["pkts"] for drop in end["dropped"].values())
    assert end["kernel_decided_pkts"] > 0


def test_what_a_host_needs_is_spared_in_the_kernel_too(near, tmp_path):
    """A rule that drops all leaves neighbour discovery alone."""
    make_quiet(near)
    run = Run(near, tmp_path, policy_text(HELD + """
  - { name: all, action: drop }
"""))
    near.run("ip", "-6", "neigh", "flush", "all")
    assert is_silent(near, address=V6)
    send(near, [(FAR, 53, 10, 5, 0)])
    assert is_found(near, V6)
    end = run.end()
    assert end["kernel_decided_pkts"] > 0
    assert end["rules"][1]["dropped"]["pkts"] >= 6


def test_a_stopped_process_still_has_its_drops(near, tmp_path):
    """What the kernel decides does not wait for the process."""
    make_quiet(near)
    listener = listen(near.far)
    run = Run(near, tmp_path, policy_text(POLICIES["drops"]))
    stop(run.process)
    send(near, [(FAR, 53, 10, 20, 0), (FAR, 54, 10, 20, 0)])
    run.process.send_signal(signal.SIGCONT)
    end = run.end()
    assert what_arrived(near, listener) == [["54/10", 20]]
    assert end["rules"][0]["dropped"]["pkts"] == 20


@pytest.mark.parametrize("options", [(), ("--no-offload",)])
def test_a_limit_lets_its_burst_through_and_then_its_rate(near, tmp_path,
                                                          options):
    """Four packets, and one more for each second that has passed since."""
    make_quiet(near)
    listener = listen(near.far)
    run = Run(near, tmp_path, policy_text("""
  - { name: few, match: "udp.DstPort == 80", limit: { rate: 1pps, burst: 4p } }
""" + HELD), *options)
    began = time.monotonic()
    send(near, [(FAR, 80, 10, 50, 0)])
    seconds = time.monotonic() - began
    end = run.end()
    arrived = dict(what_arrived(near, listener))["80/10"]
    assert 4 <= arrived <= 4 + seconds + 1
    assert end["rules"][0]["dropped"]["pkts"] == 50 - arrived
    assert end["dropped"]["limit"]["pkts"] == 50 - arrived
    assert (end["kernel_decided_pkts"] >= 50) == (options == ())


def test_a_bucket_is_one_for_kernel_and_engine_and_outlives_reloads(
        near, tmp_path):
    """What the kernel took of 600 bytes the engine does not have, nor has a
    policy that comes after: by turns a rule before the limit has the engine
    decide."""
    make_quiet(near)
    listener = listen(near.far)
    few = ('  - { name: few, match: "udp.DstPort == 80",'
           ' limit: { rate: 8bit, burst: 600b } }\n')
    seen = '  - { name: seen, match: "udp", log: 1, continue: true }\n'
    run = Run(near, tmp_path, policy_text(few + HELD))
    for text in (seen + few + HELD, few + HELD, few, seen + few):
        send(near, [(FAR, 80, 100, 1, 0)])
        run.reload(policy_text(text))
    send(near, [(FAR, 80, 100, 3, 0)])
    end = run.end()
    assert what_arrived(near, listener) == [["80/100", 4]]
    few = next(r for r in end["rules"] if r["name"] == "few")
    assert few["delivered"]["pkts"] == 4
    assert few["dropped"]["pkts"] == 3
    assert end["kernel_decided_pkts"] >= 3


def many_rules(*rules):
    """Of which the kernel is given not even all of the filler."""
    filler = "".join(
        f'  - {{ name: f{i}, match: "udp.DstPort == {20000 + i} and'
        f' ip.SrcAddr == 10.9.0.{i}", action: drop }}\n'
        for i in range(80))
    return HELD + filler + "".join(rules)


SHUT = '  - { name: shut, match: "udp.DstPort == 53", action: drop }\n'
OPEN = '  - { name: open, match: "udp.DstPort == 80" }\n'
WORDS = """
  - { name: short, match: "udp.DstPort == 81 and udp.PayloadLength < 20",
      action: drop }
"""


def fates_of_flows(near, tmp_path, *options):
    """What arrives, and the packets and bytes of each rule."""
    listener = listen(near.far)
    run = Run(near, tmp_path, policy_text(many_rules(SHUT, OPEN, WORDS)),
              *options)
    sender = Sender(near)
    for i in range(10):
        sender.send([(FAR, 53, 10, 20, 0), (FAR, 80, 10, 20, 0),
                     (FAR, 81, 10 + i, 20, 0), (FAR, 81, 40, 20, 0),
                     (FAR, 54, 7, 20, 0), (V6, 53, 3, 20, 0),
                     (V6, 80, 1000, 20, 0), (FAR, 55, 3000, 5, 0)])
        # The flows of the next round are known.
        run.wait_for_hits({"shut": 40 * (i + 1), "open": 40 * (i + 1),
                           "short": 20 * (i + 1)})
    sender.close()
    end = run.end()
    arrived = what_arrived(near, listener)
    for unit in "pkts", "bytes":
        assert end["in"][unit] == end["delivered"][unit] + sum(
            drop[unit] for drop in end["dropped"].values())
    assert (end["kernel_decided_pkts"] > 0) == ("--no-offload" not in options)
    rules = {rule["name"]: rule for rule in end["rules"]}
    acted = [[rules[name][key]["pkts"]
              for key in ("hit", "in", "delivered", "dropped")]
             for name in ("shut", "open", "short")]
    assert [hits for hits, *_ in acted] == [400, 400, 200]
    return arrived, acted, [rules[name]["in"]["bytes"]
                            for name in ("shut", "open", "short")]


def test_flows_that_the_engine_decided_have_the_same_fate(near, tmp_path):
    """A rule that drops, one that passes, one that asks for more than a flow
    knows, and none."""
    make_quiet(near)
    assert (fates_of_flows(near, tmp_path) ==
            fates_of_flows(near, tmp_path, "--no-offload") ==
            fates_of_flows(near, tmp_path, "--fail-closed"))


def test_a_reload_voids_what_flows_were_told(near, tmp_path):
    """What is dropped by one policy and passes by the next does so from the
    first packet behind the reload on, whatever became of its flow before."""
    make_quiet(near)
    listener = listen(near.far)
    sender = Sender(near)

    def send_more(count):
        sender.send([(FAR, 53, 10, count, 0)])

    run = Run(near, tmp_path, policy_text(many_rules(SHUT)))
    passed = dropped = 0
    for _ in range(3):
        before, until = run.decided(), time.monotonic() + PATIENCE
        while run.decided() == before:
            assert time.monotonic() < until
            send_more(40)
            dropped += 40
        run.reload(policy_text(many_rules(SHUT.replace("drop", "pass"))))
        send_more(50)
        passed += 50
        run.reload(policy_text(many_rules(SHUT)))
    send_more(50)
    end = run.end()
    sender.close()
    assert what_arrived(near, listener) == [["53/10", passed]]
    shut = next(r for r in end["rules"] if r["name"] == "shut")
    assert shut["dropped"]["pkts"] == dropped + 50
    assert shut["delivered"]["pkts"] == passed


# Flows to two ports, of packets with headers of its own: a line says the first
# source port, the last and how many of each.
FLOWS_SENDER = f"""
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
for line in sys.stdin:
    first, last, count = map(int, line.split())
    for port in range(first, last):
        for to in 53, 80:
            for _ in range(count):
                s.sendto(struct.pack("!HHHH", port, to, 8, 0), ("{FAR}", 0))
    print("sent", flush=True)
"""
FLOWS_KEPT = 32768
SOURCES = range(10_000, 60_000, 125)  # As many at once as the device has room for.


def arrived_unheard(far):
    """Datagrams for ports where nobody listens."""
    names, values = (line.split() for line in
                     far.run("cat", "/proc/net/snmp").stdout.splitlines()
                     if line.startswith("Udp:"))
    return int(values[names.index("NoPorts")])


def test_more_flows_than_the_kernel_keeps_have_their_fate_all_the_same(
        near, tmp_path):
    """Those that it has forgotten, too."""
    make_quiet(near)
    before = arrived_unheard(near.far)
    run = Run(near, tmp_path, policy_text(many_rules(SHUT, OPEN)))
    sender = near.start(PYTHON, "-c", FLOWS_SENDER, stdin=subprocess.PIPE)
    sent = 0

    def send_chunk(first, count):
        sender.stdin.write(f"{first} {first + SOURCES.step} {count}\n")
        sender.stdin.flush()
        assert sender.stdout.readline() == "sent\n"
        run.wait_for_hits({"shut": sent + SOURCES.step * count,
                           "open": sent + SOURCES.step * count})
        return SOURCES.step * count

    for first in SOURCES:
        sent += send_chunk(first, 6)
    decided = run.decided()
    for first in reversed(SOURCES):  # Those that it was told of last, first.
        sent += send_chunk(first, 1)
    decided = run.decided() - decided
    assert FLOWS_KEPT // 2 < decided <= FLOWS_KEPT  # Of three times as many.
    sender.communicate(timeout=PATIENCE)
    rules = {rule["name"]: rule for rule in run.end()["rules"]}
    assert rules["shut"]["dropped"]["pkts"] == sent
    assert rules["open"]["delivered"]["pkts"] == sent
    assert arrived_unheard(near.far) - before == sent


ASKED = '  - {{ name: open, match: "udp.DstPort == 5001"{} }}\n'


@pytest.mark.parametrize("rules", [
    ASKED.format("") + HELD,
    ASKED.format(", limit: 1gbit") + HELD,
    HELD,
    many_rules(ASKED.format("")),
], ids=["a rule", "a limit", "no rule", "a flow"])
def test_what_passes_in_the_kernel_ends_with_a_process_that_fails_closed(
        near, tmp_path, rules):
    """And begins again with it."""
    make_quiet(near)
    echo = near.far.start(PYTHON, "-c", UDP_ECHO, FAR)
    assert echo.stdout.readline() == "ready\n"
    run = Run(near, tmp_path, policy_text(rules), "--fail-closed")
    until = time.monotonic() + PATIENCE
    before = run.decided()
    while run.decided() < before + 20:
        assert time.monotonic() < until
        ask(near, FAR, 20)
    stop(run.process)
    until = time.monotonic() + PATIENCE
    while ask(near, FAR):
        assert time.monotonic() < until
    assert ask(near, FAR, 5) == 0
    run.process.send_signal(signal.SIGCONT)
    until = time.monotonic() + PATIENCE
    while not ask(near, FAR):
        assert time.monotonic() < until
    assert run.end()["kernel_dropped_pkts"] >= 6
    echo.kill()
    echo.communicate()
