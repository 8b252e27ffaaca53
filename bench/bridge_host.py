"""The bridge device between the router's two interfaces: a section of run.py, in
the network that it builds, whose hosts get addresses of one network besides.
Needs root, since eBPF does not work in user namespaces.

Small packets under a policy of a thousand rules, beside a program that only
moves frames; TCP with all offloads on; then what it costs to be there: time
added to a ping, processor time without traffic."""

import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import tempfile
import time

CLIENT, SERVER = "10.80.0.1", "10.80.0.2"
PORTS = "to1", "to2"
RULES = 1000
WARM_SECONDS = 1
PINGS = 200
IDLE_SECONDS = 5


def on(host, *command, **options):
    return subprocess.Popen(["ip", "netns", "exec", host, *map(str, command)],
                            stdout=subprocess.PIPE, text=True, **options)


def run(host, *command):
    return on(host, *command).communicate()[0]


class Program:
    """Runs on the router while 'with' lasts; its first line says that it is
    ready."""

    def __init__(self, *command):
        self.command = command

    def __enter__(self):
        self.process = on("router", *self.command)
        if not self.process.stdout.readline():
            raise SystemExit("bench: %s ended" % self.command[0])
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate()


def write_policy(folder):
    """A thousand rules, none of which the traffic matches."""
    chance = random.Random(1)
    lines = ["version: 1", "intercept: { bridge: [%s, %s] }" % PORTS, "rules:"]
    for i in range(RULES):
        source = "172.%d.%d.0/24" % (chance.randrange(16, 32),
                                     chance.randrange(256))
        lines.append('  - { name: r%d, match: "ip.SrcAddr in {%s} and '
                     'udp.DstPort == %d", action: drop }'
                     % (i, source, chance.randrange(1024, 65536)))
    path = pathlib.Path(folder) / "policy.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def received_pkts():
    link = json.loads(run("server", "ip", "-s", "-j", "link", "show", "eth0"))
    return link[0]["stats64"]["rx"]["packets"]


def small_kpps(args):
    flood = on("client", args.build / "bench" / "frame_flood", "eth0",
               args.seconds + 2 * WARM_SECONDS)
    time.sleep(WARM_SECONDS)
    began, before = time.monotonic(), received_pkts()
    time.sleep(args.seconds)
    rate = (received_pkts() - before) / (time.monotonic() - began) / 1e3
    flood.communicate()
    return rate


def medians(args, ways, measure):
    """Of each way's figure, the ways taking turns."""
    got = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, way in ways.items():
            with way():
                got[name].append(measure())
    return {name: statistics.median(all_) for name, all_ in got.items()}


def measure_small(args, table, policy):
    got = medians(args, {
        "mover": lambda: Program(args.build / "bench" / "bridge_reference",
                                 *PORTS),
        "ours": lambda: Program(args.build / "nsp", "run", "--json",
                                "--no-offload", "--control", "", policy),
    }, lambda: small_kpps(args))
    ratio = got["ours"] / got["mover"]
    table.add("bridge, 1,000 rules, 60 B, kpps, mover", "%.0f" % got["ours"],
              "%.0f" % got["mover"], "%.2f" % ratio, ">= 0.9", ratio >= 0.9)


def nsp(args, *options):
    return Program(args.build / "nsp", "shape", "--json", "--on",
                   "bridge:%s,%s" % PORTS, *options)


def bulk_gbitps(seconds):
    """Without its first second."""
    server = on("server", "iperf3", "-s", "-1", "--forceflush")
    for line in server.stdout:
        if "listening" in line:
            break
    report = json.loads(run("client", "iperf3", "-c", SERVER, "-t", seconds,
                            "-O", 1, "-J"))
    server.communicate()
    if "error" in report:
        raise SystemExit("bench: iperf3: " + report["error"])
    return report["end"]["sum_received"]["bits_per_second"] / 1e9


def ping_us():
    lines = run("client", "ping", "-n", "-c", PINGS, "-i", "0.005",
                SERVER).splitlines()
    return statistics.median(float(line.split("time=")[1].split()[0]) * 1e3
                             for line in lines if "time=" in line)


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_presence(args, table):
    with nsp(args):
        table.add("bridge, TCP, decided in the kernel, Gbit/s",
                  "%.2f" % bulk_gbitps(args.seconds))
    with nsp(args, "--no-offload") as program:
        table.add("bridge, TCP, all offloads on, Gbit/s",
                  "%.2f" % bulk_gbitps(args.seconds))
        table.add("bridge, a ping, p50, us", "%.0f" % ping_us())
        began = processor_seconds(program.process.pid)
        time.sleep(IDLE_SECONDS)
        spent = processor_seconds(program.process.pid) - began
    percent = spent / IDLE_SECONDS * 100
    table.add("bridge, idle, % of a processor", "%.2f" % percent, "", "",
              "<= 0.5", percent <= 0.5)


def measure_bridge(args, table):
    if subprocess.run([args.build / "nsp", "doctor", "--backend", "bridge"],
                      stdout=subprocess.DEVNULL, check=False).returncode:
        table.add("bridge", "not possible here")
        return
    for host, address in ("client", CLIENT), ("server", SERVER):
        run(host, "ip", "address", "add", address + "/24", "dev", "eth0")
    with tempfile.TemporaryDirectory() as folder:
        measure_small(args, table, write_policy(folder))
    measure_presence(args, table)
