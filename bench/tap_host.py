"""The tap device on the client's own interface: a section of run.py, in the
network that it builds. Needs root, since eBPF does not work in user namespaces.

Local TCP is held on its way out, sent through without effect beside a program
that only reflects packets, and split into wire packets; then what it costs to
be there: time added to a ping, processor time without traffic. Then the same
where nsp picks the devices itself: nfqueue where nothing leaves late, and both
("host") where something does. The kernel decides nothing itself.

The rate of TCP that is held, as of its untouched peer, is that of a connection
which has opened its window: with 100 ms that takes it fifteen round trips. What
is held for 20 ms wants the processor. What is held for 100 ms cannot but send a
window in that time, and a row tells how near it comes to that. It is sent by a
program that keeps its buffer full. iperf3 waits until it may write, which the
kernel tells when a third of the buffer is free: of 64 MiB it has never more than
two thirds on the way, 3.6 Gbit/s on any path so long, beside untouched ones of
20 Gbit/s. Its figure stands there without a target."""

import functools
import operator
import statistics

from hosts import (AwakeProcessors, Program, Untouched, alone, bulk_gbitps, by_turns,
                   full_bulk, idle_percent, median_of, medians, ping_us,
                   possible, run, urgent)

INTERFACE = "eth0"
BUFFER_BYTES = 64 << 20
SETTLING_SECONDS = 2


def nsp(args, *options, on="tap:" + INTERFACE):
    return Program("client", *nsp_command(args, *options, on=on))


def nsp_command(args, *options, on="tap:" + INTERFACE):
    return args.build / "nsp", "shape", "--json", "--on", on, *options


BULK_ROUNDS = 4
PING_ROUNDS = 3
HELD = ["--filter", "outbound and tcp", "--delay"]
# Makes the tap take what leaves, and nfqueue the rest.
BOTH_DEVICES = ["--filter", "icmp or tcp", "--direction", "outbound",
                "--delay", "1us"]


def measure_bulk(args, table):
    """Both fill the machine, of which others take their share for seconds at a
    time: hence many short turns, and pairs that stood next to each other."""
    reference = args.build / "bench" / "tap_reference"
    for title, options in ("out", []), ("in", ["-R"]):
        got = by_turns(BULK_ROUNDS * args.rounds, {
            "reflector": lambda: Program("client", reference, INTERFACE),
            "ours": lambda: nsp(args, "--no-offload"),
        }, lambda: bulk_gbitps(1, *options))
        ratio = median_of(got, "ours", "reflector", operator.truediv)
        table.add(f"tap, TCP {title}, Gbit/s, reflector",
                  "%.2f" % statistics.median(got["ours"]),
                  "%.2f" % statistics.median(got["reflector"]),
                  "%.2f" % ratio, ">= 0.9", ratio >= 0.9)


def measure_hold(args, table):
    got = medians(args, {
        "untouched": Untouched,
        "tap 20ms": lambda: nsp(args, *HELD, "20ms"),
        "host 20ms": lambda: nsp(args, *HELD, "20ms", on="host"),
        "tap 100ms": lambda: nsp(args, *HELD, "100ms"),
        "host both": lambda: nsp(args, "--filter", "tcp", "--delay", "20ms",
                                 on="host"),
        "wire": lambda: nsp(args, "--loss", "0.0001%"),
    }, lambda: bulk_gbitps(args.seconds, settling=SETTLING_SECONDS))
    for name, title, floor in (
            ("tap 20ms", "tap, TCP held 20 ms", 0.5),
            ("host 20ms", "host, TCP held 20 ms", 0.5),
            ("tap 100ms", "tap, iperf3 held 100 ms", None),
            ("host both", "host, TCP held 20 ms each way", None),
            ("wire", "tap, TCP by wire packets", None)):
        ratio = got[name] / got["untouched"]
        table.add(f"{title}, Gbit/s, untouched", "%.2f" % got[name],
                  "%.2f" % got["untouched"], "%.2f" % ratio,
                  f">= {floor}" if floor else "",
                  ratio >= floor if floor else None)


def measure_window(args, table):
    flows = by_turns(args.rounds, {
        "untouched": Untouched,
        "tap": lambda: nsp(args, *HELD, "100ms"),
        "host": lambda: nsp(args, *HELD, "100ms", on="host"),
    }, lambda: full_bulk(args, args.seconds, SETTLING_SECONDS))

    def median(name, compute):
        return statistics.median(map(compute, flows[name]))

    untouched = median("untouched", lambda flow: flow.gbitps)
    for name in "tap", "host":
        held = median(name, lambda flow: flow.gbitps)
        window = median(name, lambda flow: flow.window_bytes * 8 / 0.1 / 1e9)
        for peer, most, floor in (("untouched", untouched, 0.18),
                                  ("window", window, 0.9)):
            table.add(f"{name}, TCP held 100 ms, Gbit/s, {peer}", "%.2f" % held,
                      "%.2f" % most, "%.2f" % (held / most), f">= {floor}",
                      held >= floor * most)


def measure_ping(args, table):
    """On processors that do not sleep, of which nobody else takes a share: what
    idle states, the host of a guest and other programs add to each wait is the
    machine's. Beside it, what a loop adds that only answers, asleep or awake as
    ours is: that is the machine's too."""
    nfqueue = args.build / "bench" / "nfqueue_reference"
    tap = args.build / "bench" / "tap_reference"
    ours = functools.partial(nsp_command, args)
    commands = {
        "bare nfqueue": (nfqueue, "--batched", "--host"),
        "bare nfqueue, busy": (nfqueue, "--busy", "--host"),
        "nfqueue": ours(on="host"),
        "nfqueue, busy": ours("--busy-poll", on="host"),
        "bare tap": (tap, INTERFACE),
        "bare tap, busy": (tap, INTERFACE, "--busy"),
        "tap": ours("--no-offload"),
        "tap, busy": ours("--no-offload", "--busy-poll"),
        "host": ours(*BOTH_DEVICES, on="host"),
        "host, busy": ours(*BOTH_DEVICES, "--busy-poll", on="host"),
    }
    with AwakeProcessors(), urgent():
        got = by_turns(PING_ROUNDS * args.rounds, {
            "untouched": Untouched,
            **{name: functools.partial(Program, "client", *alone(-1, *command))
               for name, command in commands.items()},
        }, ping_us)
    added = {name: median_of(got, name, "untouched", operator.sub)
             for name in got}
    for name, peer, most in (("nfqueue", "bare nfqueue", 30),
                             ("nfqueue, busy", "bare nfqueue, busy", 30),
                             ("tap", "bare tap", 40),
                             ("tap, busy", "bare tap, busy", 40),
                             ("host", "bare tap", None),
                             ("host, busy", "bare tap, busy", None)):
        table.add(f"{name}, added to a ping, p50, us", "%.0f" % added[name],
                  "%.0f" % added[peer], "%.2f" % (added[name] / added[peer]),
                  f"<= {most}" if most else "",
                  added[name] <= most if most else None)


def measure_idle(args, table):
    for name, on, options in (("nfqueue", "host", []),
                              ("nfqueue, busy", "host", ["--busy-poll"]),
                              ("tap", "tap:" + INTERFACE, ["--delay", "20ms"]),
                              ("host", "host", ["--delay", "20ms"])):
        with nsp(args, "--filter", "tcp", *options, on=on) as program:
            percent = idle_percent(program)
        table.add(f"{name}, idle, % of a processor", "%.2f" % percent, "", "",
                  "<= 0.5", percent <= 0.5)


def measure_tap(args, table):
    if not possible(args, "tap"):
        table.add("tap", "not possible here")
        return
    for host in "client", "server":
        for name in "tcp_rmem", "tcp_wmem":
            run(host, "sh", "-c", f"echo 4096 131072 {BUFFER_BYTES} >"
                f" /proc/sys/net/ipv4/{name}")
    measure_bulk(args, table)
    measure_hold(args, table)
    measure_window(args, table)
    measure_ping(args, table)
    measure_idle(args, table)
