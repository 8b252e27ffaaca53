"""The hosts of the network that run.py builds, client, router and server: what the
sections run there, and what they measure of it."""

import contextlib
import json
import os
import pathlib
import random
import signal
import statistics
import struct
import subprocess
import time
import typing

SERVER = "10.79.2.2"
BULK_PORT = 5202
PINGS = 200
IDLE_SECONDS = 5
RULES = 1000


def on(host, *command, **options):
    """Starts a command; what it prints is text to be read."""
    options = {"stdout": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen(["ip", "netns", "exec", host, *map(str, command)],
                            **options)


def run(host, *command):
    return on(host, *command).communicate()[0]


class Program:
    """Runs on a host while 'with' lasts; its first line says that it is ready."""

    def __init__(self, host, *command):
        self.host = host
        self.command = command

    def __enter__(self):
        self.process = on(self.host, *self.command)
        if not self.process.stdout.readline():
            raise SystemExit("bench: %s ended" % " ".join(map(str, self.command)))
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate()


class Untouched:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def alone(number, *command):
    """The command with the first (0) or the last (-1) processor to itself, as far
    as others know of it: that of traffic, and that of who moves it."""
    cpu = sorted(os.sched_getaffinity(0))[number]
    return ["taskset", "--cpu-list", cpu, *command]


@contextlib.contextmanager
def urgent():
    """What is begun meanwhile waits for no other program, where we may ask: it has
    real-time priority. Of a processor that is never idle the kernel keeps 5 %
    back from it, so that it is not for rates of such."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        pass
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


class AwakeProcessors:
    """Idle processors do not sleep, as far as the kernel lets us ask; so what is
    compared with a program that asks for it has the same machine."""

    def __enter__(self):
        try:
            self.request = open("/dev/cpu_dma_latency", "wb", buffering=0)
            self.request.write(struct.pack("i", 0))
        except OSError:
            self.request = None
        return self

    def __exit__(self, *_):
        if self.request:
            self.request.close()


def by_turns(rounds, ways, measure):
    """Each way's figures, one of each round. Every other round is backwards, so
    that what changes with time meets all ways alike."""
    got = {name: [] for name in ways}
    for number in range(rounds):
        for name in sorted(ways, reverse=number % 2 == 1):
            with ways[name]():
                got[name].append(measure())
    return got


def median_of(got, one, other, compare):
    """Of what 'compare' makes of two ways' figures of the same round: what else
    the machine does changes from one round to the next."""
    return statistics.median(map(compare, got[one], got[other]))


def medians(args, ways, measure):
    """Of each way's figure, the ways taking turns."""
    return {name: statistics.median(all_)
            for name, all_ in by_turns(args.rounds, ways, measure).items()}


def bulk_gbitps(seconds, *options, server=SERVER, settling=1):
    """TCP from client to server, without the seconds in which it settles."""
    listener = on("server", "iperf3", "-s", "-1", "--forceflush")
    for line in listener.stdout:
        if "listening" in line:
            break
    report = json.loads(run("client", "iperf3", "-c", server, "-t", seconds,
                            "-O", settling, "-J", *options))
    listener.communicate()
    if "error" in report:
        raise SystemExit("bench: iperf3: " + report["error"])
    return report["end"]["sum_received"]["bits_per_second"] / 1e9


class Flow(typing.NamedTuple):
    gbitps: float
    window_bytes: int  # The receiver's, in the end.


def full_bulk(args, seconds, settling):
    """As bulk_gbitps(), of a sender that keeps its buffer full."""
    program = args.build / "bench" / "tcp_bulk"
    receiver = on("server", program, "receive", BULK_PORT, settling)
    receiver.stdout.readline()
    window = run("client", program, "send", SERVER, BULK_PORT,
                 settling + seconds)
    if not window:
        receiver.terminate()
    received = receiver.communicate()[0]
    if not window or not received:
        raise SystemExit("bench: tcp_bulk failed")
    count, ns = map(int, received.split(","))
    return Flow(count * 8 / ns, int(window))


def ping_us(server=SERVER):
    lines = run("client", *alone(0, "ping", "-n", "-c", PINGS, "-i", "0.005",
                                 server)).splitlines()
    return statistics.median(float(line.split("time=")[1].split()[0]) * 1e3
                             for line in lines if "time=" in line)


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_percent(program):
    """What 'program' takes of a processor while nothing comes."""
    began = processor_seconds(program.process.pid)
    time.sleep(IDLE_SECONDS)
    spent = processor_seconds(program.process.pid) - began
    return spent / IDLE_SECONDS * 100


def possible(args, backend):
    return subprocess.run([args.build / "nsp", "doctor", "--backend", backend],
                          stdout=subprocess.DEVNULL, check=False).returncode == 0


@contextlib.contextmanager
def macvlans():
    """The names of two interfaces beside the router's, whose driver has no XDP."""
    names = "mac1", "mac2"
    for port, name in zip(("to1", "to2"), names):
        run("router", "ip", "link", "add", name, "link", port, "type",
            "macvlan", "mode", "passthru")
        run("router", "ip", "link", "set", name, "up")
    yield names
    for name in names:
        run("router", "ip", "link", "del", name)


def write_rules(folder, intercept):
    """A thousand rules, none of which the traffic matches."""
    chance = random.Random(1)
    lines = ["version: 1", "intercept: { %s }" % intercept, "rules:"]
    for i in range(RULES):
        source = "172.%d.%d.0/24" % (chance.randrange(16, 32),
                                     chance.randrange(256))
        lines.append('  - { name: r%d, match: "ip.SrcAddr in {%s} and '
                     'udp.DstPort == %d", action: drop }'
                     % (i, source, chance.randrange(1024, 65536)))
    path = pathlib.Path(folder) / "policy.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path
