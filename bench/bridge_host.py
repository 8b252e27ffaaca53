"""The bridge device between the router's two interfaces: a section of run.py, in
the network that it builds, whose hosts get addresses of one network besides.
Needs root, since eBPF does not work in user namespaces.

Small packets under a policy of a thousand rules, beside a program that only
moves frames; TCP with all offloads on; then what it costs to be there: time
added to a ping, processor time without traffic. And the first two once more
through macvlans, whose driver has no XDP: beside a program that joins them by
packet sockets alone."""

import json
import operator
import statistics
import tempfile
import time

from hosts import (Program, alone, bulk_gbitps, by_turns, idle_percent,
                   macvlans, median_of, on, ping_us, possible, processor_seconds, run,
                   write_rules)

CLIENT, SERVER = "10.80.0.1", "10.80.0.2"
PORTS = "to1", "to2"
WARM_SECONDS = 0.5
SMALL_SECONDS = 1
SMALL_ROUNDS = 3


def rx_pkts(host, interface):
    link = json.loads(run(host, "ip", "-s", "-j", "link", "show", interface))
    return link[0]["stats64"]["rx"]["packets"]


def flood_kpps(args, host, interface):
    """What comes in at an interface while the client floods."""
    flood = on("client", *alone(0, args.build / "bench" / "frame_flood", "eth0",
                                round(SMALL_SECONDS + 2 * WARM_SECONDS)))
    time.sleep(WARM_SECONDS)
    began, before = time.monotonic(), rx_pkts(host, interface)
    time.sleep(SMALL_SECONDS)
    rate = (rx_pkts(host, interface) - before) / (time.monotonic() - began)
    flood.communicate()
    return rate / 1e3


def busy_percent(args, policy, *options):
    """What 'nsp' takes of a processor under small packets."""
    seconds = args.seconds + 1
    with Program("router", args.build / "nsp", "run", "--json", "--control",
                 "", *options, policy) as program:
        began = processor_seconds(program.process.pid)
        on("client", args.build / "bench" / "frame_flood", "eth0",
           seconds).communicate()
        spent = processor_seconds(program.process.pid) - began
    return spent / seconds * 100


def measure_small(args, table, policy):
    mover = args.build / "bench" / "bridge_reference", *PORTS
    ours = (args.build / "nsp", "run", "--json", "--no-offload", "--control", "",
            policy)
    got = by_turns(SMALL_ROUNDS * args.rounds, {
        "mover": lambda: Program("router", *alone(-1, *mover)),
        "ours": lambda: Program("router", *alone(-1, *ours)),
    }, lambda: flood_kpps(args, "server", "eth0"))
    ratio = median_of(got, "ours", "mover", operator.truediv)
    table.add("bridge, 1,000 rules, 60 B, kpps, mover",
              "%.0f" % statistics.median(got["ours"]),
              "%.0f" % statistics.median(got["mover"]), "%.2f" % ratio,
              ">= 0.9", ratio >= 0.9)
    told, all_ = (statistics.median(busy_percent(args, policy, *options)
                                    for _ in range(args.rounds))
                  for options in ((), ("--no-offload",)))
    table.add("  its processor, %, 64 flows told to the kernel, none",
              "%.0f" % told, "%.0f" % all_)


def measure_stack(args, table, ports):
    mover = args.build / "bench" / "packet_reference", *ports
    with tempfile.TemporaryDirectory() as folder:
        policy = write_rules(folder, "bridge: [%s, %s]" % ports)
        ours = (args.build / "nsp", "run", "--json", "--no-offload", "--control",
                "", policy)
        ways = {
            "mover": lambda: Program("router", *alone(-1, *mover)),
            "ours": lambda: Program("router", *alone(-1, *ours)),
        }
        for name, unit, measure in (
                ("60 B, kpps", "%.0f",
                 lambda: flood_kpps(args, "server", "eth0")),
                ("TCP, Gbit/s", "%.2f",
                 lambda: bulk_gbitps(args.seconds, server=SERVER))):
            got = by_turns(args.rounds, ways, measure)
            ratio = median_of(got, "ours", "mover", operator.truediv)
            table.add("bridge in the stack, 1,000 rules, %s, mover" % name,
                      unit % statistics.median(got["ours"]),
                      unit % statistics.median(got["mover"]), "%.2f" % ratio,
                      ">= 0.9", ratio >= 0.9)


def nsp(args, *options):
    return Program("router", args.build / "nsp", "shape", "--json", "--on",
                   "bridge:%s,%s" % PORTS, *options)


def measure_presence(args, table):
    with nsp(args):
        table.add("bridge, TCP, decided in the kernel, Gbit/s",
                  "%.2f" % bulk_gbitps(args.seconds, server=SERVER))
    with nsp(args, "--no-offload") as program:
        table.add("bridge, TCP, all offloads on, Gbit/s",
                  "%.2f" % bulk_gbitps(args.seconds, server=SERVER))
        table.add("bridge, a ping, p50, us", "%.0f" % ping_us(SERVER))
        percent = idle_percent(program)
    table.add("bridge, idle, % of a processor", "%.2f" % percent, "", "",
              "<= 0.5", percent <= 0.5)


def measure_bridge(args, table):
    if not possible(args, "bridge"):
        table.add("bridge", "not possible here")
        return
    for host, address in ("client", CLIENT), ("server", SERVER):
        run(host, "ip", "address", "add", address + "/24", "dev", "eth0")
    with tempfile.TemporaryDirectory() as folder:
        measure_small(args, table, write_rules(folder, "bridge: [%s, %s]" % PORTS))
    measure_presence(args, table)
    with macvlans() as ports:
        measure_stack(args, table, ports)
