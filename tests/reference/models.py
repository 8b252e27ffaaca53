"""What impairments do, written down a second time, as plainly as can be.

Nothing here is taken from the engine or from 'nsp verify': chains are matrices
whose stationary state is found by stepping them, runs of losses follow from the
matrix, and what is exact is done packet by packet.
"""

import itertools
import math
from statistics import NormalDist

NORMAL = NormalDist()


# --- Chains of states -------------------------------------------------------

class Chain:
    """States with transition probabilities, some of which lose packets."""

    def __init__(self, rows, lost):
        assert all(abs(sum(row) - 1) < 1e-12 for row in rows), rows
        self.rows, self.lost = rows, lost
        state = [1 / len(rows)] * len(rows)
        for _ in range(20000):
            state = self.step(state)
        self.stationary = state

    def step(self, state):
        return [sum(p * row[j] for p, row in zip(state, self.rows))
                for j in range(len(state))]

    def rate(self):
        return sum(p for p, lost in zip(self.stationary, self.lost) if lost)

    def run_lengths(self, of_losses, most):
        """P(a run of losses, or of received packets, is k long), k = 1..most,
        the last for all longer ones."""
        state = [p if bool(lost) != of_losses else 0
                 for p, lost in zip(self.stationary, self.lost)]
        state = self.only(self.step(state), of_losses)
        total = sum(state)
        state = [p / total for p in state]
        lengths = []
        for _ in range(most - 1):
            after = self.only(self.step(state), of_losses)
            lengths.append(sum(state) - sum(after))
            state = after
        return lengths + [sum(state)]

    def only(self, state, of_losses):
        return [p if bool(lost) == of_losses else 0
                for p, lost in zip(state, self.lost)]

    def words(self, length):
        """P(each pattern of 'length' packets), as a tuple of 0 and 1."""
        found = {}
        for word in itertools.product((0, 1), repeat=length):
            state = self.only(self.stationary, bool(word[0]))
            for lost in word[1:]:
                state = self.only(self.step(state), bool(lost))
            found[word] = sum(state)
        return found


def correlated(p, rho):
    """Hit or missed, alike from one packet to the next."""
    return Chain([[1 - (1 - rho) * p, (1 - rho) * p],
                  [1 - rho - (1 - rho) * p, rho + (1 - rho) * p]], [0, 1])


def gilbert_elliott(p, r, bad_loss, good_loss):
    """Four states: good or bad, each with a packet lost or not."""
    loss = [good_loss, bad_loss]
    rows = []
    for bad, _ in itertools.product((0, 1), (0, 1)):
        to_bad = (1 - r) if bad else p
        rows.append([(to_bad if next_bad else 1 - to_bad) *
                     (loss[next_bad] if lost else 1 - loss[next_bad])
                     for next_bad, lost in itertools.product((0, 1), (0, 1))])
    return Chain(rows, [0, 1, 0, 1])


def bursts(loss, burst):
    return gilbert_elliott(loss / (burst * (1 - loss)), 1 / burst, 1, 0)


def four_states(p13, p31, p32, p23, p14):
    return Chain([[1 - p13 - p14, 0, p13, p14],
                  [0, 1 - p23, p23, 0],
                  [p31, p32, 1 - p31 - p32, 0],
                  [1, 0, 0, 0]], [0, 0, 1, 1])


def consecutive(chances):
    """States: how many packets have been lost in a row, the last and more."""
    top = len(chances)
    rows = []
    for lost in range(top + 1):
        chance = chances[min(lost, top - 1)]
        row = [0.0] * (top + 1)
        row[0] += 1 - chance
        row[min(lost + 1, top)] += chance
        rows.append(row)
    return Chain(rows, [0] + [1] * top)


# --- Delays -----------------------------------------------------------------

def pareto_at(u):
    """The quantile of the Pareto of shape 3, with mean 0 and deviation 1."""
    return ((1 - u) ** (-1 / 3) - 1.5) / math.sqrt(0.75)


def mixture_sd():
    """Of a quarter of the normal quantile and three of the Pareto's."""
    steps = 200000
    values = [0.25 * NORMAL.inv_cdf((i + 0.5) / steps) +
              0.75 * pareto_at((i + 0.5) / steps) for i in range(steps)]
    return math.sqrt(sum(value * value for value in values) / steps)


def quantile(kind, mean, spread, u):
    """The delay that a share 'u' of all does not exceed."""
    z = NORMAL.inv_cdf(u)
    if kind == "uniform":
        value = mean + spread * (2 * u - 1)
    elif kind == "normal":
        value = mean + spread * z
    elif kind == "pareto":
        value = mean + spread * pareto_at(u)
    elif kind == "pareto-normal":
        value = mean + spread * (0.25 * z + 0.75 * pareto_at(u)) / MIXTURE_SD
    else:
        sigma = math.sqrt(math.log(1 + (spread / mean) ** 2))
        value = math.exp(math.log(mean) - sigma * sigma / 2 + sigma * z)
    return max(value, 0)


MIXTURE_SD = mixture_sd()


# --- Time -------------------------------------------------------------------

def windows(arrivals, size, start, interval, most_pkts, most_bytes):
    """Departures of packets of 'size' that wait for windows in order."""
    departures = []
    opens, pkts, used = start, 0, 0
    for at in arrivals:
        due = start
        while due < at or due <= start:
            due += interval
        if due > opens:
            opens, pkts, used = due, 0, 0
        full = ((most_pkts and pkts == most_pkts) or
                (most_bytes and pkts and used + size > most_bytes))
        if full:
            opens, pkts, used = opens + interval, 0, 0
        pkts, used = pkts + 1, used + size
        departures.append(opens)
    return departures


def mahimahi(arrivals, size, start, opportunities_ms, mtu):
    """Departures behind a link that sends up to 'mtu' bytes at each opportunity
    of a trace, which begins anew after its last one."""
    queue = list(enumerate(arrivals))
    departures = [None] * len(arrivals)
    period, base, left = opportunities_ms[-1], 0, size
    while queue:
        for ms in opportunities_ms:
            now, room = start + (base + ms) * 10**6, mtu
            while queue and queue[0][1] <= now and room > 0:
                sent = min(room, left)
                room, left = room - sent, left - sent
                if left == 0:
                    departures[queue.pop(0)[0]] = now
                    left = size
        base += period
    return departures


# --- Tests ------------------------------------------------------------------

def chi_square_limit(degrees):
    """The quantile 0.999 of chi-square (Wilson and Hilferty)."""
    z = NORMAL.inv_cdf(0.999)
    part = 2 / (9 * degrees)
    return degrees * (1 - part + z * math.sqrt(part)) ** 3


def fits(counts, shares):
    """Whether 'counts' are of those shares, by chi-square at 99.9 %; cells that
    hardly anything is expected in are taken together."""
    total = sum(counts)
    cells, expected, seen = [], 0.0, 0
    for count, share in sorted(zip(counts, shares), key=lambda x: x[1]):
        expected, seen = expected + total * share, seen + count
        if expected >= 5:
            cells.append((seen, expected))
            expected, seen = 0.0, 0
    if expected or seen:
        if not cells:
            return True
        last = cells.pop()
        cells.append((last[0] + seen, last[1] + expected))
    if len(cells) < 2:
        return True
    distance = sum((seen - want) ** 2 / want for seen, want in cells)
    return distance <= chi_square_limit(len(cells) - 1)
