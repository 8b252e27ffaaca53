"""Policies on live packets, in the network that run.py builds: what is left of a
flood of small datagrams behind many rules, beside nftables with the same rules in
a row, and what a reload of many rules does to packets."""

import pathlib
import signal
import subprocess
import tempfile

from hosts import SERVER, medians, on

PORT = 9
PAYLOAD_BYTES = 22
FLOOD_PPS = 2000000  # More than goes: what arrives counts.
RULES = (100, 1000, 10000)
RELOADS = 5
LONG_S = 600
STEADY_PPS = 5000


def rule(number):
    """Address and port of a rule that no packet here matches."""
    return "10.99.%d.%d" % (number // 250, number % 250), 1000 + number % 50000


def nft_rules(count):
    rules = "\n".join("ip daddr %s udp dport %d drop" % rule(i)
                      for i in range(count))
    return ("table ip peer { chain forward { type filter hook forward priority 0;"
            f"\n{rules}\n}}\n}}\n")


def policy(count, mark=""):
    rules = "\n".join(
        '  - { match: "ip.DstAddr == %s and udp.DstPort == %d", action: drop }'
        % rule(i) for i in range(count))
    return ("version: 1\nintercept: { on: [forward] }\nrules:\n"
            f"{mark}{rules}\ndefault: {{ action: pass }}\n")


class Nft:
    def __init__(self, count):
        self.text = nft_rules(count)

    def __enter__(self):
        subprocess.run(["ip", "netns", "exec", "router", "nft", "-f", "-"],
                       input=self.text, text=True, check=True)

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "exec", "router", "nft", "delete",
                        "table", "ip", "peer"], check=True)


class Run:
    def __init__(self, args, text):
        self.folder = tempfile.TemporaryDirectory()
        self.nsp = args.build / "nsp"
        self.policy = pathlib.Path(self.folder.name) / "policy.yaml"
        self.socket = pathlib.Path(self.folder.name) / "control"
        self.policy.write_text(text)

    def __enter__(self):
        self.process = on("router", self.nsp, "run", "--json", "--control",
                          self.socket, self.policy)
        if not self.process.stdout.readline():
            raise SystemExit("bench: nsp run does not start")
        return self

    def reload(self, text):
        self.policy.write_text(text)
        subprocess.run(["ip", "netns", "exec", "router", self.nsp, "reload",
                        "--control", self.socket], check=True)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        self.folder.cleanup()


def begin_flow(args, pps, seconds):
    program = args.build / "bench" / "udp_flow"
    receiver = on("server", program, "receive", PORT, seconds)
    receiver.stdout.readline()
    sender = on("client", program, "send", SERVER, PORT, pps, PAYLOAD_BYTES,
                seconds + 2)
    return receiver, sender


def end_flow(receiver, sender):
    """(arrival ns, number) of all that arrived."""
    lines = receiver.communicate()[0].splitlines()
    sender.terminate()
    sender.wait()
    fields = [line.split(",") for line in lines]
    return [(int(f[0]), int(f[2])) for f in fields]


def delivered_kpps(args):
    arrivals = end_flow(*begin_flow(args, FLOOD_PPS, args.seconds))
    if len(arrivals) < 2:
        return 0.0
    return (len(arrivals) - 1) / ((arrivals[-1][0] - arrivals[0][0]) / 1e9) / 1e3


def measure_linear(args, table):
    table.add("small datagrams forwarded, no rule, kpps",
              "%.1f" % delivered_kpps(args))
    for count in RULES:
        got = medians(args, {"ours": lambda: Run(args, policy(count)),
                             "peer": lambda: Nft(count)},
                      lambda: delivered_kpps(args))
        table.add(f"behind {count:,} rules, to nft in a row, kpps",
                  "%.1f" % got["ours"], "%.1f" % got["peer"],
                  "%.2f" % (got["ours"] / got["peer"]) if got["peer"] else "")


def measure_reload(args, table):
    """A flow that the machine can carry, numbered: what is missing at the end, or
    comes behind a later one, the reloads have done."""
    count = max(RULES)
    texts = [policy(count, "  - { dscp: %d, continue: true }\n" % mark)
             for mark in (1, 2)]
    with Run(args, texts[0]) as run:
        receiver, sender = begin_flow(args, STEADY_PPS, LONG_S)
        for i in range(RELOADS):
            run.reload(texts[(i + 1) % 2])
        sender.terminate()  # The receiver ends when nothing more comes.
        arrivals = end_flow(receiver, sender)
    numbers = [number for _, number in arrivals]
    if not numbers:
        raise SystemExit("bench: nothing arrives")
    lost = max(numbers) + 1 - len(numbers)
    late = sum(a > b for a, b in zip(numbers, numbers[1:]))
    gap_ms = max(b[0] - a[0] for a, b in zip(arrivals, arrivals[1:])) / 1e6
    table.add(f"{RELOADS} reloads of {count:,} rules, lost of {len(numbers)}",
              str(lost), "", "", "0", lost == 0)
    table.add("  out of order", str(late), "", "", "0", late == 0)
    table.add("  longest gap between arrivals, ms", "%.1f" % gap_ms)


def measure_policy_live(args, table):
    measure_linear(args, table)
    measure_reload(args, table)
