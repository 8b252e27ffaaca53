"""What faults of a shaper, and its start and its reloads, do to a hundred pings that
are 10 ms apart, on each device: a section of run.py, in the network that it
builds. Answers that are only late are not lost."""

import pathlib
import signal
import tempfile
import time

from hosts import Program, macvlans, on, possible, run

PINGS = pathlib.Path(__file__).parents[1] / "tools" / "pings.py"
COUNT, APART_S, PATIENCE_S = 100, 0.01, 2
BEFORE_S, HANG_S = 0.3, 0.5  # Of the second that pings take.
RELOADS = 5
ROUNDS = 5
MOST_LOST = 1

ROUTED, BRIDGED = "10.79.2.2", "10.80.0.2"
POLICY = """version: 1
intercept: {{ {intercept} }}
rules:
  - {{ name: other, match: "udp.DstPort == {port}", action: drop }}
  - {{ name: pings, match: icmp, {does} }}
"""


class Device:
    def __init__(self, host, on_, intercept, does="count: true", server=ROUTED):
        self.host, self.on, self.server = host, on_, server
        self.intercept, self.does = intercept, does


# Where one runs, and the option and the key of a policy that choose it. A hold
# makes "host" take both of its devices.
DEVICES = {
    "nfqueue": Device("router", ["--on", "forward"], "on: [forward]"),
    "tap": Device("client", ["--on", "tap:eth0", "--no-offload"],
                  "tap: [eth0]"),
    "host": Device("client", ["--on", "host", "--delay", "1us"], "on: [host]",
                   "delay: 1us"),
    "bridge": Device("router", ["--on", "bridge:to1,to2", "--no-offload"],
                     "bridge: [to1, to2]", server=BRIDGED),
}
STACK = Device("router", ["--on", "bridge:mac1,mac2", "--no-offload"],
               "bridge: [mac1, mac2]", server=BRIDGED)


def shaper(args, device):
    return on(device.host, args.build / "nsp", "shape", "--json", "--filter",
              "icmp", *device.on)


def lost(device, fault):
    """Of the pings, while 'fault' happens."""
    pings = on("client", PINGS, device.server, COUNT, APART_S, PATIENCE_S)
    pings.stdout.readline()
    time.sleep(BEFORE_S)
    fault()
    return COUNT - int(pings.communicate()[0])


def end(process):
    process.send_signal(signal.SIGINT)
    process.communicate()


def lost_by_kill(args, device):
    process = shaper(args, device)
    process.stdout.readline()
    return lost(device, lambda: (process.kill(), process.communicate()))


def lost_by_hang(args, device):
    process = shaper(args, device)
    process.stdout.readline()

    def hang():
        process.send_signal(signal.SIGSTOP)
        time.sleep(HANG_S)
        process.send_signal(signal.SIGCONT)

    count = lost(device, hang)
    end(process)
    return count


def lost_by_restart(args, device):
    """On a bridge that ended only the kernel joins the hosts, or nothing."""
    process = shaper(args, device)
    process.stdout.readline()
    processes = []

    def restart():
        process.kill()
        process.communicate()
        processes.append(shaper(args, device))
        processes[0].stdout.readline()

    count = lost(device, restart)
    end(processes[0])
    return count


def lost_by_reloads(args, device):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "policy.yaml"

        def write(port):
            path.write_text(POLICY.format(intercept=device.intercept, port=port,
                                          does=device.does))

        write(1)
        with Program(device.host, args.build / "nsp", "run", "--json", "--yes",
                     "--control", "", path) as program:
            def reload():
                for i in range(RELOADS):
                    write(2 + i)
                    program.process.send_signal(signal.SIGHUP)
                    program.process.stdout.readline()

            return lost(device, reload)


FAULTS = {
    "kill -9": lost_by_kill,
    "a hang of %g s" % HANG_S: lost_by_hang,
    "kill -9 and a start": lost_by_restart,
    "%d reloads" % RELOADS: lost_by_reloads,
}


def measure_device(args, table, name, device):
    for what, measure in FAULTS.items():
        counts = [measure(args, device) for _ in range(ROUNDS)]
        table.add("%s, pings lost of %d by %s, worst of %d"
                  % (name, COUNT, what, ROUNDS), str(max(counts)), "", "",
                  "<= %d" % MOST_LOST, max(counts) <= MOST_LOST)


def measure_faults(args, table):
    for host, address in ("client", "10.80.0.1"), ("server", BRIDGED):
        run(host, "ip", "address", "replace", address + "/24", "dev", "eth0")
    for name, device in DEVICES.items():
        if possible(args, "tap" if name == "host" else name):
            measure_device(args, table, name, device)
        else:
            table.add(name, "not possible here")
    if possible(args, "bridge"):
        with macvlans():
            measure_device(args, table, "bridge in the stack", STACK)
