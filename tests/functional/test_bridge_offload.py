"""Rules that a bridge's programs decide in the kernel: the same packets have the
same fate as in the process, while rules change, too, and afterwards nothing is
left.

The network of test_bridge_live.py.
"""

import json
import signal
import time

import pytest

from live_hosts import (FAR, FAR6, NEAR6, PATIENCE, answered, answers_in_time,
                        add_macvlans, assert_only_warnings, is_silent, parted,
                        ping, start_pings, stop)  # noqa: F401
from live_traffic import (CONNECT, PYTHON, UDP_CLIENT, UDP_ECHO, ask,
                          transfer)
from test_bridge_live import bridge, joined, pytestmark, traces  # noqa: F401
from test_shape_live import NSP

FILTERS = ["icmp", "udp.DstPort == 5001", "tcp.Syn", "ipv6 and udp",
           "ip.Length > 1000", "fragment", "icmpv6.Type == 128",
           "udp.PayloadLength > 1400 or tcp.PayloadLength == 0", "icmp or tcp.DstPort == 5555"]


@pytest.fixture(params=["driver", "stack"])
def net(request, parted):
    """Hosts that are joined by drivers, or in the stack."""
    if request.param == "stack":
        add_macvlans(parted)
    return parted


def fates(net, filter, kernel):
    """What of the same traffic matches, and that the rest passes."""
    echo = net.far.start(PYTHON, "-c", UDP_ECHO, FAR)
    echo6 = net.far.start(PYTHON, "-c", UDP_ECHO, FAR6)
    assert echo.stdout.readline() == echo6.stdout.readline() == "ready\n"
    shape = bridge(net, "--filter", filter, kernel=kernel)
    for address in (FAR, FAR6):
        assert ping(net, 3, address, size=3000) == 3
        assert net.run(PYTHON, "-c", UDP_CLIENT, address,
                       "options" if ":" in address else "plain"
                       ).stdout == "9\n"
        assert "Refused" in net.run(PYTHON, "-c", CONNECT, address).stdout
    end = shape.end()
    for process in (echo, echo6):
        process.kill()
        process.communicate()
    assert end["delivered"] == end["in"]
    return end["matched_pkts"], end["shaped"]["in"]["bytes"], end["in"]["pkts"]


@pytest.mark.parametrize("filter", FILTERS)
def test_fates_are_the_same_in_the_kernel_and_here(net, filter):
    joined(net).end()
    pushed, here = (fates(net, filter, kernel) for kernel in (True, False))
    assert pushed[:2] == here[:2] and pushed[0] > 0
    assert pushed[2] == pushed[0]  # The rest did not come.
    assert here[2] > here[0]


RULES = """
version: 1
intercept: {{ bridge: [{ports[0]}, {ports[1]}] }}
rules:
  - {{ name: seen, match: "icmp or icmpv6", continue: true }}
  - {{ name: held, match: "icmp.Type == 0", delay: {delay} }}
  - {{ name: here, match: "port-only" }}
  - {{ name: lost, match: "udp.PayloadLength == 512", action: drop }}
  - {{ name: mail, match: "tcp.DstPort == 5555", action: {action} }}
  - {{ name: udp, match: "udp and not fragment" }}
""".replace('"port-only"', "'ifName == \"{ports[0]}\" and tcp'")


def start_rules(net, tmp_path, *options, **values):
    policy = tmp_path / "policy.yaml"
    policy.write_text(RULES.format(ports=net.ports,
                                   **{"delay": "1ms", "action": "reject",
                                      **values}))
    run = net.middle.start(NSP, "run", "--json", "--control", "", *options,
                           str(policy))
    assert json.loads(run.stdout.readline())["type"] == "running"
    return run, policy


def end_rules(run):
    run.send_signal(signal.SIGTERM)
    out, err = run.communicate(timeout=PATIENCE)
    assert_only_warnings(err)
    end = json.loads(out.splitlines()[-1])
    assert end["in"]["pkts"] == (end["delivered"]["pkts"] +
                                 sum(drop["pkts"]
                                     for drop in end["dropped"].values()))
    return end


LOST = f"""
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.settimeout({PATIENCE})
for size in (512, 100, 512, 1000):
    s.sendto(bytes(size), (sys.argv[1], 5001))
print(len(s.recv(2000)), len(s.recv(2000)))
"""


def decide(net, tmp_path, *options):
    echo = [net.far.start(PYTHON, "-c", UDP_ECHO, address)
            for address in (FAR, FAR6)]
    assert all(e.stdout.readline() == "ready\n" for e in echo)
    joined(net).end()
    run, _ = start_rules(net, tmp_path, *options)
    for address in (FAR, FAR6):
        assert ping(net, 5, address) == 5
        assert net.run(PYTHON, "-c", LOST, address).stdout == "100 1000\n"
        done = net.run(PYTHON, "-c", CONNECT, address)
        assert done.stdout == "ConnectionRefusedError\n"
    end = end_rules(run)
    for process in echo:
        process.kill()
        process.communicate()
    rules = {r["name"]: (r["hit"], r["in"], r["delivered"],
                         r["dropped"]) for r in end["rules"]
             if r["name"] != "seen"}  # Neighbours are looked for, too.
    return rules, end["kernel_decided_pkts"]


def test_rules_decide_alike_in_the_kernel_and_here(net, tmp_path):
    pushed, by_kernel = decide(net, tmp_path)
    here, none = decide(net, tmp_path, "--no-offload")
    closed, by_closed = decide(net, tmp_path, "--fail-closed")
    assert by_kernel > 0 and none == 0 and by_closed > 0
    assert pushed == here == closed
    assert pushed["lost"][0]["pkts"] == 4


LARGE = """
version: 1
intercept: {{ bridge: [{ports[0]}, {ports[1]}] }}
rules:
{filler}
  - {{ name: lost, match: "udp.DstPort == 5001 and udp.SrcPort == 6001",
      action: drop }}
  - {{ name: udp, match: "udp.DstPort == 5001 or udp.SrcPort == 5001" }}
"""

ASK_OFTEN = f"""
import socket, sys
s, lost = (socket.socket(socket.getaddrinfo(sys.argv[1], 1)[0][0],
                         socket.SOCK_DGRAM) for _ in range(2))
s.settimeout({PATIENCE})
lost.bind(("", 6001))
for i in range(100):
    lost.sendto(bytes(10), (sys.argv[1], 5001))
    s.sendto(bytes(100), (sys.argv[1], 5001))
    assert len(s.recv(2000)) == 100
"""


def test_flows_decide_alike_in_the_kernel_and_here(net, tmp_path):
    """More rules than the kernel is given: it is told of flows."""
    filler = "\n".join(f'  - {{ name: f{i}, match: "tcp.DstPort == {i + 6000}",'
                       ' action: drop }' for i in range(300))
    policy = tmp_path / "policy.yaml"
    policy.write_text(LARGE.format(ports=net.ports, filler=filler))
    echo = [net.far.start(PYTHON, "-c", UDP_ECHO, address)
            for address in (FAR, FAR6)]
    assert all(e.stdout.readline() == "ready\n" for e in echo)
    joined(net).end()
    for options in (), ("--no-offload",), ("--fail-closed",):
        run = net.middle.start(NSP, "run", "--json", "--control", "",
                               *options, str(policy))
        assert json.loads(run.stdout.readline())["type"] == "running"
        for address in (FAR, FAR6):
            done = net.run(PYTHON, "-c", ASK_OFTEN, address)
            assert done.returncode == 0, done.stderr
        end = end_rules(run)
        rules = {rule["name"]: rule for rule in end["rules"]}
        assert rules["lost"]["dropped"] == {"pkts": 200,
                                            "bytes": 100 * (38 + 58)}
        assert rules["udp"]["delivered"]["pkts"] == 400
        assert (end["kernel_decided_pkts"] >
                0) == ("--no-offload" not in options)
    for process in echo:
        process.kill()
        process.communicate()


def test_rules_in_the_kernel_change_without_a_gap(net, tmp_path):
    joined(net).end()
    run, policy = start_rules(net, tmp_path)
    pinger = start_pings(net)
    for i in range(10):
        policy.write_text(RULES.format(ports=net.ports,
                                       delay=f"{i}ms" if i else "1us",
                                       action="drop" if i % 2 else "pass"))
        run.send_signal(signal.SIGHUP)
        assert json.loads(run.stdout.readline())["type"] == "reloaded"
    assert answered(pinger) == 100
    end_rules(run)
    assert traces(net) == []


def test_rules_in_the_kernel_end_with_the_process(net):
    shape = bridge(net, "--filter", "icmp", "--drop", kernel=True)
    assert is_silent(net, 3)
    shape.process.kill()
    shape.process.communicate()
    assert answers_in_time(net)
    assert ping(net, 10) == 10
    joined(net).end()
    assert traces(net) == []


def test_what_does_not_match_crosses_with_all_offloads_on(net):
    shape = bridge(net, "--filter", "icmp", "--drop", kernel=True)
    assert transfer(net, net.far, FAR)
    assert transfer(net.far, net, NEAR6)
    assert is_silent(net, 3)
    assert shape.end()["in"]["pkts"] == 3


def passes_until(answers):
    """Returns when what passed in the kernel does so no more."""
    until = time.monotonic() + PATIENCE
    while answers():
        assert time.monotonic() < until


def test_what_rules_let_pass_ends_with_a_process_that_fails_closed(net,
                                                                   tmp_path):
    echo = net.far.start(PYTHON, "-c", UDP_ECHO, FAR)
    assert echo.stdout.readline() == "ready\n"
    run, _ = start_rules(net, tmp_path, "--fail-closed")
    assert answers_in_time(net)
    assert ask(net, FAR, 20, PATIENCE) == 20
    stop(run)
    passes_until(lambda: ask(net, FAR))
    assert ask(net, FAR, 5) == 0
    run.send_signal(signal.SIGCONT)
    assert answers_in_time(net)
    assert ask(net, FAR, 5, PATIENCE) == 5
    end = end_rules(run)
    assert end["kernel_decided_pkts"] >= 50
    assert end["kernel_dropped_pkts"] >= 6
    echo.kill()
    echo.communicate()


def test_what_does_not_match_ends_with_a_process_that_fails_closed(net):
    shape = bridge(net, "--filter", "udp.DstPort == 9", "--fail-closed",
                   kernel=True)
    assert answers_in_time(net)
    stop(shape.process)
    passes_until(lambda: not is_silent(net))
    assert is_silent(net, 3)
    shape.process.send_signal(signal.SIGCONT)
    assert answers_in_time(net)
    assert json.loads(shape.process.stdout.readline())["in"]["pkts"] == 0
    shape.process.kill()
    shape.process.communicate()
    assert is_silent(net, 3)
    joined(net).end()
    assert traces(net) == []
