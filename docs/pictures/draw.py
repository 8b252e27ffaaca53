#!/usr/bin/python3
"""Draws a picture of each effect, from what 'nsp simulate' makes of a capture.

usage: draw.py NSP FOLDER [STORED]

Each is one SVG in FOLDER, named after the effect. The same NSP draws the same
bytes: traffic, seeds and layout are fixed. Fails if folder STORED has others.
"""

import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve()
sys.path += [str(HERE.parents[2] / "tools")]

import captures

MS = 10**6
WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 44, 44
INK, FAINT, BLUE, RED, GREEN = "#333", "#ddd", "#1f6fb4", "#d1362f", "#2a8f4f"


# --- Traffic ------------------------------------------------------------------

def steady(pkts, gap_ms, size=100):
    """Packets at even intervals: pairs of a time in ns and a size."""
    return [(round(i * gap_ms * MS), size) for i in range(pkts)]


def segments(pkts, gap_ms, *kinds):
    """TCP at even intervals: pairs of a time and arguments of tcp_packet(), of
    the given kinds by turns."""
    return [(round(i * gap_ms * MS), kinds[i % len(kinds)])
            for i in range(pkts)]


def make_packet(number, what):
    if isinstance(what, dict):
        return captures.tcp_packet(number, **what)
    return captures.udp_packet(number, what)


class Run:
    """What became of packets: 'left' has the times of each, none or several."""

    def __init__(self, nsp, rule, packets, classes=""):
        self.packets = packets
        self.left = [[] for _ in packets]
        self.bytes = [[] for _ in packets]
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            captures.write_pcap(
                folder / "in.pcap",
                ((at, make_packet(i, what))
                 for i, (at, what) in enumerate(packets)))
            (folder / "trace").write_text(TRACE)
            (folder / "policy.yaml").write_text(
                f"version: 1\n{classes}rules:\n  - {{ name: it, {rule} }}\n")
            subprocess.run(
                [nsp, "simulate", "policy.yaml", "--quiet", "--seed", "1",
                 "--in", "in.pcap", "--out", "out.pcapng"],
                check=True, cwd=folder)
            # What damages packets leaves no number to trust, but the time.
            numbers = {at: i for i, (at, _) in enumerate(packets)}
            for at, data in captures.read_pcapng(folder / "out.pcapng"):
                number = (numbers[at] if "tamper" in rule
                          else captures.number_of(data))
                self.left[number].append(at)
                self.bytes[number].append(data)


# --- SVG ----------------------------------------------------------------------

# Moments in ms at which a packet may leave: now and then a link of a phone.
TRACE = "".join(f"{ms}\n" for ms in range(1, 3001)
                for _ in range(1 if ms % 1500 < 600 else ms % 3 == 0)
                if ms % 700 >= 90)


def nice_steps(top, most=6):
    """Round values from 0 up to 'top'."""
    step = 10 ** -9
    while top / step > most:
        for factor in (2, 2.5, 2):
            step *= factor
            if top / step <= most:
                break
    count = int(top / step + 1e-9)
    return [i * step for i in range(count + 1)]


class Picture:
    def __init__(self, title, x_label, x_top, y_label, y_top):
        self.x_top, self.y_top = x_top, y_top
        self.parts = []
        self.text(LEFT, 20, title, size=14 if len(title) < 76 else 11,
                  bold=True)
        self.text(WIDTH - RIGHT, HEIGHT - 8, x_label, anchor="end")
        self.text(LEFT, TOP - 8, y_label)
        for value in nice_steps(x_top):
            x = self.x(value)
            self.line(x, self.y(0), x, self.y(0) + 4, INK)
            self.text(x, self.y(0) + 17, f"{value:g}", anchor="middle")
        for value in nice_steps(y_top, 4) if y_label else ():
            self.line(LEFT, self.y(value), WIDTH - RIGHT, self.y(value), FAINT)
            self.text(LEFT - 6, self.y(value) + 4, f"{value:g}", anchor="end")
        self.line(LEFT, self.y(0), WIDTH - RIGHT, self.y(0), INK)

    def x(self, value):
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self.x_top

    def y(self, value):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.y_top

    def text(self, x, y, text, size=11, anchor="start", bold=False):
        text = text.replace("&", "&amp;").replace("<", "&lt;")
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" '
                          f'text-anchor="{anchor}"{weight}>{text}</text>')

    def line(self, x1, y1, x2, y2, colour, width=1):
        self.parts.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" '
                          f'stroke="{colour}" stroke-width="{width}"/>')

    def dots(self, points, colour):
        """Of one path, so that thousands stay small."""
        path = "".join(f"M{self.x(x):.1f} {self.y(y):.1f}h0"
                       for x, y in points)
        if path:
            self.parts.append(f'<path d="{path}" stroke="{colour}" '
                              'stroke-width="3" stroke-linecap="round"/>')

    def ticks(self, values, colour, low, high):
        """Upright strokes between two heights in pixels."""
        path = "".join(f"M{self.x(x):.1f} {low:.1f}V{high:.1f}"
                       for x in values)
        if path:
            self.parts.append(f'<path d="{path}" stroke="{colour}" '
                              'stroke-width="1.2"/>')

    def steps(self, points, colour):
        path = ""
        for x, y in points:
            path += (f"H{self.x(x):.1f}V{self.y(y):.1f}" if path else
                     f"M{self.x(x):.1f} {self.y(y):.1f}")
        self.parts.append(f'<path d="{path}" stroke="{colour}" fill="none" '
                          'stroke-width="1.5"/>')

    def bars(self, bars, colour):
        """Triples of where a bar begins and ends, and its height."""
        for low, high, value in bars:
            self.parts.append(
                f'<rect x="{self.x(low):.1f}" y="{self.y(value):.1f}" '
                f'width="{max(self.x(high) - self.x(low) - 1, 0.5):.1f}" '
                f'height="{self.y(0) - self.y(value):.1f}" fill="{colour}"/>')

    def write(self, path):
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
            f'height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'font-family="sans-serif" fill="{INK}">\n'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n' +
            "\n".join(self.parts) + "\n</svg>\n")


# --- Kinds of pictures --------------------------------------------------------

def draw_delays(title, run):
    """A dot for each packet that left, where it was sent and how long it took;
    red strokes at the top are packets that never did."""
    firsts, copies, lost = [], [], []
    for (sent, _), left in zip(run.packets, run.left):
        at = sent / 1e6
        if not left:
            lost.append(at)
        for i, when in enumerate(sorted(left)):
            (copies if i else firsts).append((at, (when - sent) / 1e6))
    top = max([delay for _, delay in firsts + copies] or [1]) * 1.1 or 1
    picture = Picture(title, "sent at, ms", run.packets[-1][0] / 1e6,
                      "delay, ms", top)
    picture.dots(firsts, BLUE)
    picture.dots(copies, GREEN)
    picture.ticks(lost, RED, TOP - 4, TOP + 6)
    if lost:
        picture.text(WIDTH - RIGHT, TOP - 8, "red: never left", anchor="end")
    return picture


def draw_histogram(title, run):
    delays = sorted((left[0] - sent) / 1e6
                    for (sent, _), left in zip(run.packets, run.left) if left)
    most = delays[int(len(delays) * 0.997)]
    width = nice_steps(most, 120)[1]
    counts = {}
    for delay in delays:
        if delay <= most:
            counts[int(delay / width)] = counts.get(int(delay / width), 0) + 1
    share = [(cell * width, (cell + 1) * width, 100 * count / len(delays))
             for cell, count in sorted(counts.items())]
    picture = Picture(title, "delay, ms", most, "packets, %",
                      max(bar[2] for bar in share) * 1.1)
    picture.bars(share, BLUE)
    return picture


def draw_losses(title, run, rows=6):
    """A row of cells for each hundred or so packets; lost ones are red."""
    columns = len(run.packets) // rows
    picture = Picture(title, "packet of each row", columns, "", rows)
    for row in range(rows):
        part = run.left[row * columns:(row + 1) * columns]
        high = TOP + 4 + row * (HEIGHT - TOP - BOTTOM - 4) / rows
        low = high + (HEIGHT - TOP - BOTTOM - 4) / rows - 6
        picture.ticks([i + 0.5 for i, left in enumerate(part) if left], FAINT,
                      low, high)
        picture.ticks([i + 0.5 for i, left in enumerate(part) if not left], RED,
                      low, high)
    return picture


def draw_openings(title, run):
    """Segments in a row: those that open a connection are tall, lost ones red.
    """
    syns = [i for i, (_, what) in enumerate(run.packets)
            if what["flags"] == captures.SYN]
    picture = Picture(title, "segment", len(run.packets), "", 1)
    low, middle = HEIGHT - BOTTOM - 4, (TOP + HEIGHT - BOTTOM) / 2
    picture.ticks([i + 0.5 for i, left in enumerate(run.left)
                   if left and i not in syns], FAINT, middle, low)
    picture.ticks([i + 0.5 for i in syns if run.left[i]], BLUE, TOP, low)
    picture.ticks([i + 0.5 for i, left in enumerate(run.left) if not left], RED,
                  TOP, low)
    return picture


def draw_acks(title, run):
    """How long each segment took; those that only acknowledge are green."""
    points = [(sent / 1e6, (left[0] - sent) / 1e6, "payload_bytes" in what)
              for (sent, what), left in zip(run.packets, run.left)]
    picture = Picture(title, "sent at, ms (green: nothing but an ACK)",
                      run.packets[-1][0] / 1e6, "delay, ms",
                      max(y for _, y, _ in points) * 1.2)
    picture.dots([(x, y) for x, y, data in points if data], BLUE)
    picture.dots([(x, y) for x, y, data in points if not data], GREEN)
    return picture


def draw_resets(title, run):
    """Segments by their numbers; in the place of some, a RST is sent on."""
    picture = Picture(title, "left at, ms (red: a RST in the segment's stead)",
                      run.packets[-1][0] / 1e6 * 1.02, "segment",
                      len(run.packets) * 1.05)
    good, resets = [], []
    for number, (times, packets) in enumerate(zip(run.left, run.bytes)):
        for at, data in zip(times, packets):
            is_reset = captures.tcp_fields(data)[0] & captures.RST
            (resets if is_reset else good).append((at / 1e6, number))
    picture.dots(good, BLUE)
    picture.ticks([x for x, _ in resets], RED, TOP, HEIGHT - BOTTOM)
    return picture


def draw_announced(title, run):
    """The windows that segments came with, and left with."""
    picture = Picture(title, "segment (grey: as it came)", len(run.packets),
                      "window, bytes", 66000)
    picture.dots([(i, what["window"])
                  for i, (_, what) in enumerate(run.packets)], FAINT)
    picture.dots([(i, captures.tcp_fields(packets[0])[1])
                  for i, packets in enumerate(run.bytes)], BLUE)
    return picture


def draw_rate(title, run, window_ms=100):
    """What left in each tenth of a second."""
    sums = {}
    for (_, size), left in zip(run.packets, run.left):
        for at in left:
            cell = int(at / 1e6 / window_ms)
            sums[cell] = sums.get(cell, 0) + size
    end = max(sums) + 1
    points = [(cell * window_ms / 1e3,
               sums.get(cell, 0) * 8 / window_ms / 1e3) for cell in range(end)]
    picture = Picture(title, "time, s", end * window_ms / 1e3, "Mbit/s",
                      max(y for _, y in points) * 1.15)
    picture.steps(points + [(end * window_ms / 1e3, points[-1][1])], BLUE)
    return picture


def draw_order(title, run):
    """A dot for each packet: when it left, and its number."""
    points = [(when / 1e6, number) for number, left in enumerate(run.left)
              for when in left]
    picture = Picture(title, "left at, ms", max(x for x, _ in points) * 1.02,
                      "packet", len(run.packets) * 1.05)
    behind = set()
    highest = -1
    for x, number in sorted(points):
        if number < highest:
            behind.add((x, number))
        highest = max(highest, number)
    picture.dots([p for p in points if p not in behind], BLUE)
    picture.dots(sorted(behind), RED)
    return picture


def draw_damage(title, run):
    """A column for each packet, a cell for each byte; changed ones are red."""
    size = max(size for _, size in run.packets)
    picture = Picture(title, "packet", len(run.packets), "byte", size)
    same, changed = [], []
    for number, left in enumerate(run.bytes):
        before = captures.udp_packet(number, run.packets[number][1])
        for data in left:
            for at, byte in enumerate(data):
                (same if byte == before[at] else changed).append(
                    (number + 0.5, size - at - 0.5))
    picture.dots([p for p in same if int(size - p[1]) % 4 == 0], FAINT)
    picture.dots(changed, RED)
    return picture


# --- The pictures -------------------------------------------------------------

FEW = steady(300, 10)
MANY = steady(20000, 500)
BURST = steady(1200, 0.5, 1000)
DATA = {"flags": captures.ACK, "payload_bytes": 100}
OPENING, ACKING = {"flags": captures.SYN}, {"flags": captures.ACK}
SAWTOOTH = [{"flags": captures.ACK, "window": 5000 + i * 200}
            for i in range(300)]

PICTURES = {
    "delay": (draw_delays, FEW, "delay: 40ms"),
    "jitter-uniform": (draw_histogram, MANY,
                       "delay: 40ms, jitter: { range: 10ms }"),
    "jitter-normal": (draw_histogram, MANY,
                      "delay: 40ms, jitter: { sd: 10ms }"),
    "jitter-pareto": (draw_histogram, MANY, "delay: 40ms, "
                      "jitter: { sd: 10ms, distribution: pareto }"),
    "jitter-pareto-normal": (draw_histogram, MANY, "delay: 40ms, "
                             "jitter: { sd: 10ms, "
                             "distribution: pareto-normal }"),
    "jitter-lognormal": (draw_histogram, MANY, "delay: 40ms, "
                         "jitter: { sd: 20ms, distribution: lognormal }"),
    "correlation": (draw_delays, FEW,
                    "delay: 40ms, jitter: { sd: 10ms, correlation: 95% }"),
    "keep-order": (draw_delays, steady(300, 2), "delay: 40ms, "
                   "jitter: { sd: 10ms, keep-order: true }"),
    "delay-trace": (draw_delays, FEW, "delay: { trace: [20ms, 35ms, 25ms, "
                    "60ms, 30ms], step: 300ms }"),
    "loss-random": (draw_losses, steady(900, 1), "loss: 8%"),
    "loss-correlated": (draw_losses, steady(900, 1), "loss: { model: "
                        "correlated, chance: 8%, correlation: 60% }"),
    "loss-gilbert-elliott": (draw_losses, steady(900, 1), "loss: { model: "
                             "gilbert-elliott, p: 8%, burst: 6 }"),
    "loss-four-state": (draw_losses, steady(900, 1), "loss: { model: "
                        "four-state, p13: 2%, p31: 15%, p32: 35%, p23: 50%, "
                        "p14: 1% }"),
    "loss-pattern": (draw_losses, steady(900, 1), "loss: { model: pattern, "
                     "pattern: '000000000000000000111001' }"),
    "loss-consecutive": (draw_losses, steady(900, 1), "loss: { model: "
                         "consecutive, chances: [5%, 80%, 50%, 0%] }"),
    "loss-nth": (draw_losses, steady(900, 1), "loss: { model: nth, n: 10 }"),
    "loss-timed": (draw_losses, steady(900, 1), "loss: { model: timed, "
                   "enter: 1%, loss: 70%, time: 20ms }"),
    "syn-drop": (draw_openings, segments(300, 1, OPENING, DATA, DATA, DATA,
                                         DATA, DATA), "syn-drop: 30%"),
    "ack-delay": (draw_acks, segments(300, 2, DATA, ACKING),
                  "ack-delay: { time: 50ms, chance: 80% }"),
    "duplicate": (draw_delays, steady(200, 10), "delay: 20ms, duplicate: "
                  "{ chance: 15%, copies: 2, spacing: 8ms }"),
    "tcp-rst": (draw_resets, segments(150, 2, DATA),
                "tcp-rst: { chance: 5%, ends: receiver }"),
    "window-clamp": (draw_announced, segments(600, 1, *SAWTOOTH),
                     "window-clamp: 30000"),
    "burst": (draw_delays, steady(400, 2), "burst: 100ms"),
    "burst-room": (draw_order, steady(200, 5),
                   "burst: { interval: 100ms, packets: 15 }"),
    "out-of-order": (draw_order, steady(120, 2), "out-of-order: 40ms"),
    "reorder": (draw_order, steady(120, 2),
                "delay: 30ms, reorder: { gap: 10, chance: 60% }"),
    "throttle": (draw_rate, steady(5000, 1),
                 "throttle: { packets: 400, per: 1s, burst: 200 }"),
    "throttle-queue": (draw_delays, steady(900, 1), "throttle: { packets: 800, "
                       "per: 1s, burst: 100, queue: 60 }"),
    "flap": (draw_delays, steady(900, 10), "delay: 20ms, "
             "flap: { times: [1s, 300ms] }"),
    "flap-hold": (draw_delays, steady(900, 10), "delay: 20ms, "
                  "flap: { times: [1s, 300ms], hold: true }"),
    "cutoff": (draw_delays, steady(600, 5), "delay: 20ms, "
               "cutoff: { time: 1s, stall: 600ms, hold: true }"),
    "tamper": (draw_damage, steady(60, 1, 100),
               "tamper: { chance: 70%, flip: 3 }"),
    "mtu-clamp": (draw_delays, [(i * 10 * MS, 1000 + (i * 37) % 500)
                                for i in range(200)],
                  "delay: 20ms, mtu-clamp: { size: 1400, excess: drop }"),
    "rate": (draw_rate, BURST, "rate: 4mbit, queue: 5s"),
    "rate-schedule": (draw_rate, steady(12000, 0.5, 1000), "rate: { schedule: "
                      "[{ for: 1s, rate: 9mbit }, { for: 1s, rate: 9mbit, "
                      "to: 1mbit }] }, queue: 50packets"),
    "rate-trace": (draw_rate, steady(12000, 0.5, 1500), "rate: { trace: trace }"
                   ", overhead: 4, queue: 50packets"),
    "queue": (draw_delays, BURST, "rate: 8mbit, queue: 50ms"),
    "limit": (draw_rate, steady(6000, 0.5, 1000),
              "limit: { rate: 4mbit, burst: 100kb }"),
}


def differing(folder, stored):
    """Names of pictures that are not the same, or not there, in both."""
    pictures = [{path.name: path.read_bytes() for path in each.glob("*.svg")}
                for each in (folder, stored)]
    return sorted(name for name in {*pictures[0], *pictures[1]}
                  if pictures[0].get(name) != pictures[1].get(name))


def main():
    nsp, folder, *stored = map(pathlib.Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (draw, packets, rule) in PICTURES.items():
        draw(rule, Run(nsp.resolve(), rule, packets)).write(
            folder / f"{name}.svg")
    print(f"{len(PICTURES)} pictures in {folder}")
    wrong = differing(folder, stored[0]) if stored else []
    if wrong:
        sys.exit("'make pictures' draws others than are stored: " +
                 " ".join(wrong))


if __name__ == "__main__":
    main()
