"""The tap device on the client's own interface: a section of run.py, in the
network that it builds. Needs root, since eBPF does not work in user namespaces.

Local TCP is held on its way out, sent through without effect beside a program
that only reflects packets, and split into wire packets; then what it costs to
be there: time added to a ping, processor time without traffic. Then the same
where nsp picks the devices itself ("host"): what leaves goes through the tap,
and what comes in through nfqueue."""

import json
import os
import signal
import statistics
import subprocess
import time

SERVER = "10.79.2.2"
INTERFACE = "eth0"
BUFFER_BYTES = 64 << 20
PINGS = 200
IDLE_SECONDS = 5


def on(host, *command, **options):
    return subprocess.Popen(["ip", "netns", "exec", host, *map(str, command)],
                            stdout=subprocess.PIPE, text=True, **options)


def run(host, *command):
    return on(host, *command).communicate()[0]


class Program:
    """Runs on the client while 'with' lasts; its first line says that it is
    ready."""

    def __init__(self, *command):
        self.command = command

    def __enter__(self):
        self.process = on("client", *self.command)
        if not self.process.stdout.readline():
            raise SystemExit("bench: %s ended" % self.command[0])
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate()


class Nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def nsp(args, *options, on="tap:" + INTERFACE):
    return Program(args.build / "nsp", "shape", "--json", "--on", on, *options)


HELD = ["--filter", "outbound and tcp", "--delay"]
# Makes the tap take what leaves, and nfqueue the rest.
BOTH_DEVICES = ["--filter", "icmp or tcp", "--direction", "outbound",
                "--delay", "1us"]


def bulk_gbitps(seconds, *options):
    """Without its first second."""
    server = on("server", "iperf3", "-s", "-1", "--forceflush")
    for line in server.stdout:
        if "listening" in line:
            break
    report = json.loads(run("client", "iperf3", "-c", SERVER, "-t", seconds,
                            "-O", 1, "-J", *options))
    server.communicate()
    if "error" in report:
        raise SystemExit("bench: iperf3: " + report["error"])
    return report["end"]["sum_received"]["bits_per_second"] / 1e9


def medians(args, ways, measure):
    """Of each way's figure, the ways taking turns."""
    got = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, way in ways.items():
            with way():
                got[name].append(measure())
    return {name: statistics.median(all_) for name, all_ in got.items()}


def measure_bulk(args, table):
    reference = args.build / "bench" / "tap_reference"
    for title, options in ("out", []), ("in", ["-R"]):
        got = medians(args, {
            "reflector": lambda: Program(reference, INTERFACE),
            "ours": lambda: nsp(args),
        }, lambda: bulk_gbitps(args.seconds, *options))
        ratio = got["ours"] / got["reflector"]
        table.add(f"tap, TCP {title}, Gbit/s, reflector", "%.2f" % got["ours"],
                  "%.2f" % got["reflector"], "%.2f" % ratio, ">= 0.9",
                  ratio >= 0.9)


def measure_hold(args, table):
    got = medians(args, {
        "untouched": Nothing,
        "tap 20ms": lambda: nsp(args, *HELD, "20ms"),
        "host 20ms": lambda: nsp(args, *HELD, "20ms", on="host"),
        "tap 100ms": lambda: nsp(args, *HELD, "100ms"),
        "host 100ms": lambda: nsp(args, *HELD, "100ms", on="host"),
        "host both": lambda: nsp(args, "--filter", "tcp", "--delay", "20ms",
                                 on="host"),
        "wire": lambda: nsp(args, "--loss", "0.0001%"),
    }, lambda: bulk_gbitps(args.seconds + 2))
    for name, title, floor in (
            ("tap 20ms", "tap, TCP held 20 ms", 0.5),
            ("host 20ms", "host, TCP held 20 ms", 0.5),
            ("tap 100ms", "tap, TCP held 100 ms", 0.18),
            ("host 100ms", "host, TCP held 100 ms", 0.18),
            ("host both", "host, TCP held 20 ms each way", None),
            ("wire", "tap, TCP by wire packets", None)):
        ratio = got[name] / got["untouched"]
        table.add(f"{title}, Gbit/s, untouched", "%.2f" % got[name],
                  "%.2f" % got["untouched"], "%.2f" % ratio,
                  f">= {floor}" if floor else "",
                  ratio >= floor if floor else None)


def ping_us():
    lines = run("client", "ping", "-n", "-c", PINGS, "-i", "0.005",
                SERVER).splitlines()
    return statistics.median(float(line.split("time=")[1].split()[0]) * 1e3
                             for line in lines if "time=" in line)


def measure_ping(args, table):
    got = medians(args, {
        "untouched": Nothing,
        "tap": lambda: nsp(args),
        "host": lambda: nsp(args, *BOTH_DEVICES, on="host"),
    }, ping_us)
    for name, most in ("tap", 40), ("host", None):
        added = got[name] - got["untouched"]
        table.add(f"{name}, added to a ping, p50, us", "%.0f" % added, "", "",
                  f"<= {most}" if most else "",
                  added <= most if most else None)


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_idle(args, table):
    for name, on in ("tap", "tap:" + INTERFACE), ("host", "host"):
        with nsp(args, "--filter", "tcp", "--delay", "20ms", on=on) as program:
            began = processor_seconds(program.process.pid)
            time.sleep(IDLE_SECONDS)
            spent = processor_seconds(program.process.pid) - began
        percent = spent / IDLE_SECONDS * 100
        table.add(f"{name}, idle, % of a processor", "%.2f" % percent, "", "",
                  "<= 0.5", percent <= 0.5)


def measure_tap(args, table):
    if subprocess.run([args.build / "nsp", "doctor", "--backend", "tap"],
                      stdout=subprocess.DEVNULL, check=False).returncode:
        table.add("tap", "not possible here")
        return
    for host in "client", "server":
        for name in "tcp_rmem", "tcp_wmem":
            run(host, "sh", "-c", f"echo 4096 131072 {BUFFER_BYTES} >"
                f" /proc/sys/net/ipv4/{name}")
    measure_bulk(args, table)
    measure_hold(args, table)
    measure_ping(args, table)
    measure_idle(args, table)
