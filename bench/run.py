#!/usr/bin/python3
"""Measures NetShaper beside a peer in the same run, and prints a table.

Live figures run between three network namespaces of their own (client, router,
server), which vanish with this process; no root is needed where user namespaces
are allowed. What is compared takes turns, A B A B, and medians are printed.

    tcp      bulk TCP through the router's NFQUEUE: nsp, a batched-GSO loop
             without an engine, a loop that answers packet by packet; nsp again
             under a thousand rules
    engine   parse, one filter and pass in memory, one core; beside it libpcap's
             filter machine alone
    rate     a rate limit under 20 % overload; beside it the kernel's tbf
    delay    a fixed delay at 1,000 packets/s, beyond the untouched path, asleep
             and with --busy-poll; beside it how late a bare wait ends, by
             ppoll() and by reading the clock
    kill     a ping's first answer after kill -9 of a shaper that holds packets
    faults   pings lost when a shaper is killed, hangs, starts or reloads, on each
             device. As root only
    tap      local TCP through a TAP at the client's interface: held, beside what
             its window lets through; beside a bare reflector; what it adds
             to a ping; idle; the same where nsp picks the devices ("host").
             As root only
    bridge   small packets between two interfaces under a thousand rules; beside
             a program that only moves frames; TCP; idle. As root only
    offload  small packets that rules decide in the bridge's programs; beside
             the least programs that do the same. As root only
    filter   one filter on parsed packets; beside it libpcap's filter machine,
             and a plain walk of the tests in order
    prefix   a set of a million prefixes; beside it a binary search
    policy   10,000 rules: the classifier beside DPDK's, the flow cache, and a
             policy that takes the place of another under load
    rules    live: datagrams behind many rules beside nftables with these rules
             in a row, and none lost when 10,000 rules are read anew
    modules  ns per operation of other modules

Rates and errors of 'rate' count IP bytes from the first to the last arrival in
the window, stamped by the receiving kernel.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from bridge_host import measure_bridge
from fault_pings import measure_faults
from hosts import (SERVER, AwakeProcessors, Untouched, bulk_gbitps, medians,
                   on, write_rules)
from kill_recovery import measure_kill
from offload_host import measure_offload
from policy_figures import measure_policy
from policy_live import measure_policy_live
from tap_host import measure_tap

TOP = pathlib.Path(__file__).resolve().parents[1]
PORT = 9
IP_UDP_BYTES = 28
INSIDE = "NSP_BENCH_INSIDE"

# --- The network ----------------------------------------------------------


def enter_private_namespaces():
    """Starts this program again where nothing outside can be touched."""
    if os.environ.get(INSIDE):
        return
    os.environ[INSIDE] = "1"
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    inside = ["unshare", *user, "--mount", "--net", "sh", "-c",
              'mount -t tmpfs none /run && exec "$@"', "sh",
              sys.executable, *sys.argv]
    os.execvp(inside[0], inside)


def sh(command):
    subprocess.run(command, shell=True, check=True)


def build_network():
    for host in "client", "router", "server":
        sh(f"ip netns add {host} && ip -n {host} link set lo up")
    for side, host in (1, "client"), (2, "server"):
        sh(f"ip link add to{side} netns router type veth"
           f" peer name eth0 netns {host}")
        sh(f"ip -n router addr add 10.79.{side}.1/24 dev to{side}"
           f" && ip -n router link set to{side} up"
           f" && ip -n {host} addr add 10.79.{side}.2/24 dev eth0"
           f" && ip -n {host} link set eth0 up"
           f" && ip -n {host} route add default via 10.79.{side}.1")
    sh("ip netns exec router sh -c"
       " 'echo 1 > /proc/sys/net/ipv4/ip_forward'")
    sh(f"ip netns exec client ping -c 1 -W 5 -q {SERVER} >/dev/null")


class Intercept:
    """A program that answers an NFQUEUE of the router, while 'with' lasts."""

    def __init__(self, *command):
        self.command = command

    def __enter__(self):
        self.process = on("router", *self.command,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        until = time.monotonic() + 10
        while not self.queues():
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit("bench: %s: %s" % (
                    self.command[0], self.process.stderr.read()))
            time.sleep(0.02)
        time.sleep(0.2)  # The rules follow the queue.
        return self

    def queues(self):
        path = f"/proc/{self.process.pid}/net/netfilter/nfnetlink_queue"
        try:
            return [line.split() for line in open(path)]
        except OSError:
            return []

    def __exit__(self, kind, value, trace):
        packets = sum(int(queue[7]) for queue in self.queues())
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(10)
        if kind is None and (packets == 0 or
                             status not in (0, -signal.SIGINT)):
            raise SystemExit("bench: %s: %d packets seen, exit status %d: %s" % (
                self.command[0], packets, status,
                self.process.stderr.read()))


class Tbf:
    """The kernel's token bucket on the router's way to the server."""

    def __init__(self, bitps):
        self.bitps = bitps

    def __enter__(self):
        sh(f"tc -n router qdisc add dev to2 root tbf rate {self.bitps}bit"
           f" burst {max(3000, self.bitps // 8 // 250)} latency 100ms")
        return self

    def __exit__(self, *_):
        sh("tc -n router qdisc del dev to2 root")


# --- Traffic --------------------------------------------------------------


def udp_flow(args, rate_pps, payload_bytes, seconds):
    """Arrivals as (arrival ns, sending ns, number, IP bytes)."""
    program = args.build / "bench" / "udp_flow"
    receiver = on("server", program, "receive", PORT, seconds)
    receiver.stdout.readline()
    sender = on("client", program, "send", SERVER, PORT, rate_pps,
                payload_bytes, seconds + 2)
    lines = receiver.communicate()[0].splitlines()
    sender.terminate()
    if sender.wait() not in (0, -signal.SIGTERM) or receiver.returncode:
        raise SystemExit("bench: udp_flow failed")
    if len(lines) < 2:
        raise SystemExit("bench: nothing arrives")
    return [tuple(map(int, line.split(","))) for line in lines]


# --- Figures --------------------------------------------------------------


class Table:
    def __init__(self):
        self.rows = []

    def add(self, figure, ours, peer="", ratio="", target="", met=None):
        self.rows.append({"figure": figure, "ours": ours, "peer": peer,
                          "ratio": ratio, "target": target, "met": met})
        print("  %-34s %s%s" % (figure, ours, f"  peer {peer}" if peer else ""),
              file=sys.stderr, flush=True)

    def text(self):
        heads = ["figure", "ours", "peer", "ratio", "target", "met"]
        words = {True: "met", False: "NOT MET", None: ""}
        lines = [heads] + [[row[h] if h != "met" else words[row["met"]]
                            for h in heads] for row in self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(6)]
        return "\n".join("  ".join(
            cell.ljust(width) if i in (0, 5) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths))).rstrip()
            for line in lines)


def nsp(args, *options):
    return Intercept(args.build / "nsp", "shape", "--on", "forward", "--quiet",
                     *options)


def measure_tcp(args, table):
    with tempfile.TemporaryDirectory() as folder:
        measure_tcp_under(args, table, write_rules(folder, "on: [forward]"))


def measure_tcp_under(args, table, policy):
    reference = args.build / "bench" / "nfqueue_reference"
    ways = {
        "ours": lambda: nsp(args, "--filter", "tcp"),
        "rules": lambda: Intercept(args.build / "nsp", "run", "--quiet",
                                   "--control", "", policy),
        "batched": lambda: Intercept(reference, "--batched"),
        "one": lambda: Intercept(reference, "--one"),
        "untouched": Untouched,
    }
    median = medians(args, ways, lambda: bulk_gbitps(args.seconds))
    for way, peer, title, floor in (
            ("ours", "batched", "bulk TCP, Gbit/s, to batched-GSO loop", 0.9),
            ("rules", "batched", "  under 1,000 rules, to the same", 0.9),
            ("ours", "one", "bulk TCP, Gbit/s, to packet by packet", 5.0)):
        ratio = median[way] / median[peer]
        table.add(title, "%.2f" % median[way],
                  "%.2f" % median[peer], "%.2f" % ratio, ">= %.1f" % floor,
                  ratio >= floor)
    table.add("bulk TCP, Gbit/s, to no interception",
              "%.2f" % median["ours"], "%.2f" % median["untouched"],
              "%.2f" % (median["ours"] / median["untouched"]))


def named_figures(args, program):
    """What a program prints as "name value unit" lines."""
    out = subprocess.run([args.build / "bench" / program], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return {line.split()[0]: float(line.split()[1])
            for line in out.splitlines()}


def measure_engine(args, table):
    ns = named_figures(args, "bench_engine")
    mpps = 1e3 / ns["engine-pass"]
    table.add("parse + filter + pass, 64 B, Mpps", "%.1f" % mpps,
              "%.1f" % (1e3 / ns["libpcap-filter"]),
              "%.2f" % (mpps * ns["libpcap-filter"] / 1e3), ">= 15", mpps >= 15)
    table.add("  parsing, ns a packet", "%.1f" % ns["stage-parse"])
    table.add("  filter, ns a packet", "%.1f" % ns["stage-filter"],
              "%.1f" % ns["libpcap-filter"])
    table.add("  engine and device, ns a packet", "%.1f" % (
        ns["engine-pass"] - ns["stage-parse"] - ns["stage-filter"]))


def rate_error_percent(args, bitps, counted_header_bytes, payload_bytes):
    """Error of the rate at which overload comes through, in percent. None when
    this machine was too busy to offer more than the rate."""
    ip_bytes = payload_bytes + IP_UDP_BYTES
    arrivals = udp_flow(args, 1.2 * bitps / 8 / ip_bytes, payload_bytes,
                        args.rate_seconds + 1)
    since = arrivals[0][0] + 10**9  # The queue is full by then.
    window = [a for a in arrivals if a[0] >= since]
    spent_s = (window[-1][0] - window[0][0]) / 1e9
    offered = (window[-1][2] - window[0][2]) * (ip_bytes + counted_header_bytes)
    if offered * 8 / spent_s < 1.02 * bitps:
        return None
    counted = sum(a[3] + counted_header_bytes for a in window[1:])
    return (counted * 8 / spent_s / bitps - 1) * 100


def measure_rate(args, table):
    for mbitps, payload in (1, 472), (20, 1172), (200, 1472):
        bitps = mbitps * 10**6
        ways = [(lambda: nsp(args, "--filter", "udp", "--rate",
                             f"{mbitps}mbit"), 0),
                (lambda: Tbf(bitps), 14)]
        errors = [[], []]
        for _ in range(max(1, args.rounds // 2)):
            for got, (way, header) in zip(errors, ways):
                with way():
                    got.append(rate_error_percent(args, bitps, header,
                                                  payload))
        if None in errors[0] + errors[1]:
            table.add(f"rate error at {mbitps} Mbit/s, %, tbf",
                      "sender too slow", target="<= 0.2", met=False)
            continue
        ours, peer = map(statistics.median, errors)
        table.add(f"rate error at {mbitps} Mbit/s, %, tbf", "%+.4f" % ours,
                  "%+.4f" % peer, "", "<= 0.2", abs(ours) <= 0.2)


def delays_us(arrivals):
    return [(arrived - sent) / 1e3 for arrived, sent, _, _ in arrivals[50:]]


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def stolen_jiffies():
    """Time that the machine's host gave to others, and all time."""
    fields = [int(word) for word in
              pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    return fields[7], sum(fields[:8])


def timer_lateness_us(args, seconds, *options):
    out = subprocess.run([args.build / "bench" / "timer_lateness",
                          str(seconds), *options], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return [int(line) / 1e3 for line in out.split()]


DELAY_ROUNDS = 16  # Short ones, as the host's own work comes and goes.
DELAY_PPS = 1000
DELAY_WAYS = {"": ((), (), ((0.5, 50), (0.99, 300))),
              ", busy": (("--busy-poll",), ("--busy",), ((0.5, 5), (0.99, 50)))}


class DelayRound:
    """Delays of the untouched path, of ours one way or the other, with how much
    time the host of this machine took away meanwhile, and of a bare wait that
    way."""

    def __init__(self, args, ms):
        with AwakeProcessors():
            self.untouched = delays_us(self.flow(args))
        self.ours, self.bare, self.stolen = {}, {}, {}
        for way, (options, bare_options, _) in DELAY_WAYS.items():
            with nsp(args, "--filter", "udp", "--delay", f"{ms}ms", *options):
                stolen_before, all_before = stolen_jiffies()
                self.ours[way] = delays_us(self.flow(args))
                stolen, all_ = stolen_jiffies()
            self.stolen[way] = (100 * (stolen - stolen_before) /
                                (all_ - all_before))
            with AwakeProcessors():
                self.bare[way] = timer_lateness_us(args, args.delay_seconds,
                                                   *bare_options)

    @staticmethod
    def flow(args):
        return udp_flow(args, DELAY_PPS, 172, args.delay_seconds)


def add_delay_error(table, rounds, ms, way, share, most):
    ours, path, bare = (
        statistics.median(percentile(delays, share) for delays in of_rounds)
        for of_rounds in zip(*((one.ours[way], one.untouched, one.bare[way])
                               for one in rounds)))
    error = ours - ms * 1000 - path
    table.add("delay error at %d ms%s, p%d, us" % (ms, way, share * 100),
              "%+.0f" % error, "%+.0f" % bare, "", "+-%d" % most,
              abs(error) <= most)


def measure_delay(args, table):
    """Percentiles of the shaped path less the same percentiles of the untouched
    one, measured by turns: what is left is the engine's error, not the path's.
    Beside it, how late a bare wait ends in a process with nothing else to do: one
    asleep, or awake, which is what ticks of the kernel and the host leave to the
    best of programs.
    No packet may leave before its time: p1 of the shaped path, with the path's
    own delay still in it, is at least what was asked. Where the machine is itself
    a guest, packets are late by the time that its host takes away, too, so each
    round's figures are printed beside that."""
    for ms in 1, 10, 100:
        rounds = [DelayRound(args, ms) for _ in range(DELAY_ROUNDS)]
        for way, (_, _, limits) in DELAY_WAYS.items():
            add_delay_way(table, rounds, ms, way, limits)


def add_delay_way(table, rounds, ms, way, limits):
    for share, most in limits:
        add_delay_error(table, rounds, ms, way, share, most)
    early = min(percentile(one.ours[way], 0.01) for one in rounds) - ms * 1000
    table.add("delay beyond %d ms%s, p1, us" % (ms, way), "%+.0f" % early, "",
              "", ">= 0", early >= 0)
    table.add("  p99, us, each round", " ".join(
        "%.0f" % (percentile(one.ours[way], 0.99) - ms * 1000)
        for one in rounds))
    table.add("  time stolen by the host, %, each round", " ".join(
        "%.1f" % one.stolen[way] for one in rounds))


def columns_of(args, program):
    """The lines of a program's output, cut where there are two blanks."""
    out = subprocess.run([args.build / "bench" / program], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]


FILTER_TARGETS_NS = {"outbound and tcp": 3, "8 mixed tests": 10,
                     "255 ports": 12}


def measure_filter(args, table):
    """Our burst against each peer. libpcap parses as it goes: with our parser's
    time beside it, the ratio is printed too, without a target."""
    *lines, compiling = columns_of(args, "bench_filter")[1:]
    for what, *figures in lines:
        single, burst, parsed, libpcap, walk = map(float, figures)
        most = FILTER_TARGETS_NS.get(what)
        table.add(f"{what}, ns, to libpcap", "%.2f" % burst, "%.2f" % libpcap,
                  "%.1f" % (libpcap / burst), ">= 3.0", libpcap >= 3 * burst)
        table.add("  to a walk of the tests", "%.2f" % burst, "%.2f" % walk,
                  "%.1f" % (walk / burst), f"<= {most} ns" if most else "",
                  burst <= most if most else None)
        table.add("  one at a time, to libpcap", "%.2f" % single,
                  "%.2f" % libpcap, "%.1f" % (libpcap / single))
        table.add("  parsing included, to libpcap", "%.2f" % parsed,
                  "%.2f" % libpcap, "%.1f" % (libpcap / parsed))
    what, ours, libpcap = compiling[0], *map(float, compiling[1:])
    table.add(f"{what}, us, to libpcap", "%.1f" % ours, "%.1f" % libpcap,
              "%.1f" % (libpcap / ours), "<= 20 us", ours <= 20)


def measure_prefix(args, table):
    """A million prefixes, asked for a million different addresses, beside a
    binary search in the same ranges."""
    for line in columns_of(args, "bench_prefix")[2:]:
        family, prefixes = line[0].split()
        if prefixes != "1000000":
            continue
        one, _, burst, search, filtered, mib, _, load_ms = map(float,
                                                               line[6:])
        table.add(f"1,000,000 {family} prefixes, ns", "%.1f" % burst,
                  "%.1f" % search, "%.1f" % (search / burst), "<= 40 ns",
                  burst <= 40)
        table.add("  one at a time", "%.1f" % one, "%.1f" % search,
                  "%.1f" % (search / one))
        table.add("  in a filter, ns a packet", "%.1f" % filtered,
                  "%.1f" % search, "%.1f" % (search / filtered), "<= 40 ns",
                  filtered <= 40)
        table.add("  memory, MiB", "%.1f" % mib, "", "", "<= 64 MiB",
                  mib <= 64)
        table.add("  loading from text, CPU s", "%.2f" % (load_ms / 1e3), "", "",
                  "<= 1 s", load_ms <= 1000)


SIMULATED_PKTS = 1000000
SIMULATED_POLICY = """version: 1
rules:
  - { name: link, rate: 1700mbit, queue: 10ms, delay: 1ms, loss: 1% }
"""
SIMULATE_RUNS = 3  # Of each round.


def simulated_ns(args, folder, *options):
    """Processor time of 'nsp simulate' for a packet, threads together."""
    def spent():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    since = spent()
    subprocess.run([args.build / "nsp", "simulate", folder / "policy.yaml",
                    "--in", folder / "in.pcap", "--quiet", *options],
                   check=True)
    return (spent() - since) * 1e9 / SIMULATED_PKTS


def measure_simulate(args, table):
    """The engine alone, from memory, the median of runs, which differ by a third;
    then the same with files, whose reading and writing is most of it."""
    runs = [named_figures(args, "bench_simulate")
            for _ in range(SIMULATE_RUNS * args.rounds)]
    figures = {name: statistics.median(run[name] for run in runs)
               for name in runs[0]}
    for name, ns in figures.items():
        met = 1e3 / ns >= 5 if name == "simulate-loss-rate-delay" else None
        table.add(f"{name}, Mpps", "%.1f" % (1e3 / ns), "", "",
                  ">= 5" if met is not None else "", met)
    many, few = (figures[f"simulate-held-{n}"] for n in (1000000, 1000))
    table.add("ns a packet, 1,000,000 held, to 1000", "%.0f" % many,
              "%.0f" % few, "%.2f" % (many / few), "<= 2", many <= 2 * few)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "policy.yaml").write_text(SIMULATED_POLICY, encoding="ascii")
        data = struct.pack("!BBHHHBBH4s4sHHHH", 0x45, 0, 200, 0, 0, 64, 17, 0,
                           b"\x0a\0\0\1", b"\x0a\0\0\2", 9, 9, 180, 0)
        data += bytes(200 - len(data))
        with open(folder / "in.pcap", "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535,
                                   101))
            for us in range(SIMULATED_PKTS):
                file.write(struct.pack("<IIII", us // 10**6, us % 10**6,
                                       len(data), len(data)) + data)
        ways = {"from a file": [], "  and into one, with comments":
                ["--out", folder / "out.pcapng"]}
        for title, options in ways.items():
            ns = statistics.median(simulated_ns(args, folder, *options)
                                   for _ in range(args.rounds))
            table.add(f"{title}, ns a packet", "%.0f" % ns)


def measure_modules(args, table):
    del table  # Nothing to compare with: printed as they are.
    for program in sorted((args.build / "bench").glob("bench_*")):
        if program.is_file() and program.name not in (
                "bench_classifier", "bench_engine", "bench_filter",
                "bench_flow_cache", "bench_prefix", "bench_reload",
                "bench_simulate"):
            print(f"{program.name}:", flush=True)
            subprocess.run([program], check=True)


SECTIONS = {"engine": measure_engine, "filter": measure_filter,
            "prefix": measure_prefix, "simulate": measure_simulate,
            "modules": measure_modules,
            "policy": measure_policy, "rules": measure_policy_live,
            "tcp": measure_tcp, "rate": measure_rate, "delay": measure_delay,
            "kill": measure_kill, "faults": measure_faults, "tap": measure_tap,
            "bridge": measure_bridge, "offload": measure_offload}
LIVE = {"rules", "tcp", "rate", "delay", "kill", "faults", "tap", "bridge",
        "offload"}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default="build")
    parser.add_argument("--only", default=",".join(SECTIONS), metavar="LIST",
                        help="sections, with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3,
                        help="of each TCP stream")
    parser.add_argument("--rate-seconds", type=int, default=10)
    parser.add_argument("--delay-seconds", type=int, default=1,
                        help="of each of %d rounds" % DELAY_ROUNDS)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    args.build = args.build.resolve()
    sections = args.only.split(",")
    unknown = set(sections) - set(SECTIONS)
    if unknown:
        parser.error("no such section: " + ", ".join(sorted(unknown)))
    if LIVE & set(sections):
        enter_private_namespaces()
        build_network()
    table = Table()
    for section in sections:
        SECTIONS[section](args, table)
    print(json.dumps(table.rows, indent=1) if args.json else table.text())
    sys.exit(1 if any(row["met"] is False for row in table.rows) else 0)


if __name__ == "__main__":
    main()
