"""Rules that the bridge's programs decide in the kernel: a section of run.py,
in the network that it builds. Needs root, since eBPF does not work in user
namespaces.

Small packets that one rule drops, or passes, beside the least program that does
the same; then what a set of ten thousand prefixes adds."""

import operator
import pathlib
import random
import statistics
import tempfile

from bridge_host import PORTS, SMALL_ROUNDS, flood_kpps
from hosts import Program, by_turns, median_of, possible, run, urgent

PREFIXES = 10000
POLICIES = {  # By the match of the one rule, and what it does.
    "drop": ("udp", "drop"),
    "pass": ("udp", "pass"),
    "set": ("udp and ip.SrcAddr not in @many", "drop"),
}


def write_policies(folder):
    """The set has neither end of the traffic."""
    chance = random.Random(1)
    prefixes = set()
    while len(prefixes) < PREFIXES:
        prefixes.add("%d.%d.%d.0/24" % (chance.randrange(11, 224),
                                        chance.randrange(256),
                                        chance.randrange(256)))
    many = "sets:\n  many: { prefixes: [%s] }\n" % ", ".join(sorted(prefixes))
    paths = {}
    for name, (match, action) in POLICIES.items():
        paths[name] = pathlib.Path(folder) / (name + ".yaml")
        paths[name].write_text(
            "version: 1\nintercept: { bridge: [%s, %s] }\n" % PORTS +
            many * (name == "set") +
            'rules: [{ name: all, match: "%s", action: %s }]\n'
            % (match, action))
    return paths


# SIOCETHTOOL with ETHTOOL_SGRO.
MERGE_SEGMENTS = """
import array, fcntl, socket, struct
value = array.array("B", struct.pack("II", 0x2c, 1))
fcntl.ioctl(socket.socket(), 0x8946,
            struct.pack("16sP", b"eth0", value.buffer_info()[0]))
"""


def measure_offload(args, table):
    if not possible(args, "bridge"):
        table.add("offload", "not possible here")
        return
    # A device map reaches no veth whose far end merges no segments.
    run("server", "python3", "-c", MERGE_SEGMENTS)

    def ours(policy):
        return lambda: Program("router", args.build / "nsp", "run", "--json",
                               "--control", "", policy)

    def bare(does):
        return lambda: Program("router", args.build / "bench" / "xdp_reference",
                               does, *PORTS)

    rounds = SMALL_ROUNDS * args.rounds
    with tempfile.TemporaryDirectory() as folder, urgent():
        paths = write_policies(folder)
        drops = by_turns(rounds, {
            "bare": bare("drop"), "drop": ours(paths["drop"]),
            "set": ours(paths["set"]),
        }, lambda: flood_kpps(args, "router", PORTS[0]))
        moves = by_turns(rounds, {
            "bare": bare("move"), "pass": ours(paths["pass"]),
        }, lambda: flood_kpps(args, "server", "eth0"))
    for title, got, name in (("drops", drops, "drop"),
                             ("passes", moves, "pass")):
        ratio = median_of(got, name, "bare", operator.truediv)
        table.add("kernel %s, 60 B, kpps, bare program" % title,
                  "%.0f" % statistics.median(got[name]),
                  "%.0f" % statistics.median(got["bare"]), "%.2f" % ratio,
                  ">= 0.9", ratio >= 0.9)
    ratio = median_of(drops, "drop", "set", operator.truediv)
    table.add("  time, a set of 10,000 prefixes, none",
              "%.0f ns" % (1e6 / statistics.median(drops["set"])),
              "%.0f ns" % (1e6 / statistics.median(drops["drop"])),
              "%.2f" % ratio, "<= 1.3", ratio <= 1.3)
