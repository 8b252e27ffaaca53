"""How soon a network answers again after 'kill -9' of a shaper that holds its
packets: a section of run.py, in the network that it builds."""

import time

from hosts import SERVER, on

ROUNDS = 10
INTERVAL_S = 0.002  # Of pings, so what is measured is at most this too much.
MOST_MS = 100


def recovery_ms(args):
    """From the kill to the first reply, which is to a ping sent after it: those
    from before are held and lost. Wall-clock time, as ping stamps its lines."""
    shaper = on("router", args.build / "nsp", "shape", "--on", "forward",
                "--filter", "icmp", "--delay", "1h", "--json")
    shaper.stdout.readline()  # Packets are taken from here on.
    # '-O' has a line for each ping that is not answered before the next.
    pinger = on("client", "ping", "-n", "-D", "-O", "-i", INTERVAL_S, "-w", 10,
                SERVER)
    for _ in range(100):
        if "bytes from" in pinger.stdout.readline():
            raise SystemExit("bench: a ping was not held")
    killed = time.time()
    shaper.kill()
    replied = next((line for line in pinger.stdout if "bytes from" in line),
                   None)
    pinger.kill()
    pinger.communicate()
    shaper.communicate()
    if replied is None:
        raise SystemExit("bench: no ping was answered after the kill")
    return (float(replied.split("]")[0].lstrip("[")) - killed) * 1e3


def measure_kill(args, table):
    times = sorted(recovery_ms(args) for _ in range(ROUNDS))
    table.add("first ping answered after kill -9, ms, worst of %d" % ROUNDS,
              "%.1f" % times[-1], target="<= %d" % MOST_MS,
              met=times[-1] <= MOST_MS)
