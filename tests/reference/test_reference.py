"""The engine beside reference models, on captures.

Chains are compared by the lengths of their runs and by short patterns, delays
by their distribution and by how much neighbours are alike; what is exact, packet
by packet. Each test that depends on chance has a fixed seed.
"""

import math
import os
import pathlib
import random
import subprocess
import sys

import pytest

sys.path += [str(pathlib.Path(__file__).parents[2] / "tools")]

import captures
import models

NSP = os.environ["NSP"]
MS = 10**6
PKTS = 100000


def shape(tmp_path, arrivals, *options, size=60, seed=1):
    """Sends packets through 'nsp shape'; returns when each left, or None."""
    before, after = tmp_path / "in.pcap", tmp_path / "out.pcapng"
    captures.write_pcap(before, ((at, captures.udp_packet(i, size))
                                 for i, at in enumerate(arrivals)))
    subprocess.run([NSP, "shape", "--in", before, "--out", after, "--quiet",
                    "--seed", str(seed), *options], check=True,
                   stdout=subprocess.DEVNULL, timeout=100)
    left = [None] * len(arrivals)
    for at, packet in captures.read_pcapng(after):
        left[captures.number_of(packet)] = at
    return left


def run_counts(lost, of_losses, most):
    """How many runs are 1, 2..most long; those at the ends are cut."""
    counts, length = [0] * most, 0
    begun = False
    for now in lost:
        if now == of_losses:
            length += begun
        else:
            if length:
                counts[min(length, most) - 1] += 1
            length, begun = 0, True
    return counts


# --- Losses -------------------------------------------------------------------

CHAINS = {
    "random": (["--loss", "3%"], models.correlated(0.03, 0)),
    "correlated": (["--loss", "model=correlated,chance=5%,correlation=60%"],
                   models.correlated(0.05, 0.6)),
    "gilbert": (["--loss",
                 "model=gilbert-elliott,p=1%,r=20%,1-h=80%,1-k=0.5%"],
                models.gilbert_elliott(0.01, 0.2, 0.8, 0.005)),
    "bursts": (["--loss", "model=gilbert-elliott,p=4%,burst=3"],
               models.bursts(0.04, 3)),
    "four-state": (["--loss", "model=four-state,p13=2%,p31=25%,p32=30%,"
                    "p23=40%,p14=1%"],
                   models.four_states(0.02, 0.25, 0.30, 0.40, 0.01)),
    "consecutive": (["--loss", "consecutive:5%/60%/30%/10%"],
                    models.consecutive([0.05, 0.6, 0.3, 0.1])),
}


@pytest.mark.parametrize("name", CHAINS)
def test_losses_come_in_the_runs_of_the_chain(tmp_path, name):
    options, chain = CHAINS[name]
    left = shape(tmp_path, [i * MS for i in range(PKTS)], *options)
    lost = [at is None for at in left]

    for of_losses, most in ((True, 12), (False, 60)):
        assert models.fits(run_counts(lost, of_losses, most),
                           chain.run_lengths(of_losses, most)), of_losses
    # Far enough from each other to be independent.
    words = chain.words(5)
    counts = dict.fromkeys(words, 0)
    for i in range(0, PKTS - 5, 50):
        counts[tuple(int(x) for x in lost[i:i + 5])] += 1
    assert models.fits(list(counts.values()), list(words.values()))


def test_models_can_be_told_from_each_other(tmp_path):
    """The same tests refuse chains that are near to the right one."""
    options, _ = CHAINS["four-state"]
    left = shape(tmp_path, [i * MS for i in range(PKTS)], *options)
    lost = [at is None for at in left]

    for near in (models.four_states(0.02, 0.25, 0.30, 0.55, 0.01),
                 models.four_states(0.02, 0.28, 0.30, 0.40, 0.01),
                 models.four_states(0.02, 0.25, 0.30, 0.40, 0.015)):
        assert not all(models.fits(run_counts(lost, of_losses, most),
                                   near.run_lengths(of_losses, most))
                       for of_losses, most in ((True, 12), (False, 60)))


def test_exact_losses_are_exact(tmp_path):
    arrivals = [i * MS for i in range(5000)]
    pattern = "0100110"
    for options, lost in (
            (f"pattern:{pattern}", lambda i: pattern[i % 7] == "1"),
            ("nth:9", lambda i: i % 9 == 8),
            ("first-n:17", lambda i: i < 17)):
        left = shape(tmp_path, arrivals, "--loss", options)
        assert [at is None for at in left] == [lost(i) for i in range(5000)]


# --- Delays -------------------------------------------------------------------

DELAYS = {
    "uniform": ["--jitter", "range=10ms,correlation=40%"],
    "normal": ["--jitter", "sd=10ms,correlation=40%"],
    "pareto": ["--jitter", "sd=10ms,distribution=pareto,correlation=40%"],
    "pareto-normal":
        ["--jitter", "sd=10ms,distribution=pareto-normal,correlation=40%"],
    "lognormal": ["--jitter", "sd=10ms,distribution=lognormal,correlation=40%"],
}


@pytest.mark.parametrize("kind", DELAYS)
def test_delays_have_the_distribution_and_the_correlation(tmp_path, kind):
    gap = 500 * MS  # None waits for another.
    left = shape(tmp_path, [i * gap for i in range(PKTS)], "--delay", "40ms",
                 *DELAYS[kind])
    delays = [at - i * gap for i, at in enumerate(left)]

    # As many between neighbouring quantiles as there should be; every fifth, so
    # that they are as good as independent (0.4^5 = 0.01).
    cells = 50
    bounds = [models.quantile(kind, 40 * MS, 10 * MS, i / cells)
              for i in range(1, cells)]
    counts = [0] * cells
    for delay in delays[::5]:
        counts[sum(delay > bound for bound in bounds)] += 1
    assert models.fits(counts, [1 / cells] * cells)

    # By ranks, of which 6 / pi asin(rho / 2) is the correlation.
    order = sorted(range(PKTS), key=delays.__getitem__)
    rank = [0] * PKTS
    for place, i in enumerate(order):
        rank[i] = place
    for lag in (1, 2, 3):
        rho = 0.4 ** lag
        mean = (PKTS - 1) / 2
        covariance = sum((rank[i] - mean) * (rank[i + lag] - mean)
                         for i in range(PKTS - lag)) / (PKTS - lag)
        seen = covariance / ((PKTS * PKTS - 1) / 12)
        assert abs(seen - 6 / math.pi * math.asin(rho / 2)) < 0.012, lag


def test_traces_are_followed(tmp_path):
    arrivals = [i * 3 * MS for i in range(3000)]
    trace = [1 * MS, 7 * MS, 2 * MS]
    left = shape(tmp_path, arrivals, "--delay", "trace=1ms/7ms/2ms")
    assert left == [at + trace[i % 3] for i, at in enumerate(arrivals)]
    left = shape(tmp_path, arrivals, "--delay", "trace=1ms/7ms/2ms,step=10ms")
    assert left == [at + trace[at // (10 * MS) % 3] for at in arrivals]


# --- Rates --------------------------------------------------------------------

def test_a_queue_drops_what_does_not_fit(tmp_path):
    """A serialiser and a queue of packets, one by one."""
    size, rate, room = 500, 2 * 10**6, 30
    arrivals = [i * 700000 for i in range(4000)]
    left = shape(tmp_path, arrivals, "--rate", "2mbit", "--queue",
                 f"{room}packets", size=size)
    serialise = size * 8 * 10**9 // rate
    expected, inside, free = [], [], 0
    for at in arrivals:
        inside = [due for due in inside if due > at]
        if len(inside) > room:  # They and the one on the wire.
            expected.append(None)
            continue
        free = max(free, at) + serialise
        inside.append(free)
        expected.append(free)
    assert left == expected


def irregular(count, mean_ns, seed):
    """Arrivals of a Poisson process, in whole microseconds, from 0 on."""
    rng = random.Random(seed)
    at, arrivals = 0, []
    for _ in range(count):
        arrivals.append(at)
        at += 1000 * max(1, round(rng.expovariate(1000 / mean_ns)))
    return arrivals


@pytest.mark.parametrize("pkts, size_limit", [(0, 0), (3, 0), (0, 1000),
                                              (4, 900)])
@pytest.mark.parametrize("mean", [300_000, 4 * MS, 40 * MS])
def test_packets_leave_with_their_windows(tmp_path, pkts, size_limit, mean):
    size, interval = 300, 20 * MS
    arrivals = irregular(2000, mean, seed=mean + pkts)
    limits = ([f"packets={pkts}"] if pkts else []) + (
        [f"bytes={size_limit}b"] if size_limit else [])
    left = shape(tmp_path, arrivals, "--burst", ",".join(["20ms", *limits]),
                 size=size)
    assert left == models.windows(arrivals, size, 0, interval, pkts, size_limit)


TRACES = {
    "even": [1],
    "twelve": [1, 2, 3, 3, 3, 7, 20],
    "crowded": [0, 0, 5, 5, 5, 5, 31],
    "sparse": [90, 250],
}


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("size", [60, 700, 1500])
def test_opportunities_of_a_trace_are_taken(tmp_path, name, size):
    trace = tmp_path / "trace"
    trace.write_text("".join(f"{ms}\n" for ms in TRACES[name]),
                     encoding="ascii")
    arrivals = irregular(1500, 3 * MS, seed=size)
    left = shape(tmp_path, arrivals, "--rate", f"trace={trace}", "--queue",
                 "2000packets", "--overhead", "4", size=size)
    assert left == models.mahimahi(arrivals, size + 4, 0, TRACES[name], 1504)
