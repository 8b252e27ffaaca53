"""'nsp simulate': what is written agrees with what is said of it, and is the
same every time. Packets are known by the identification of their IP header, so
input and output are compared packet by packet.
"""

import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import xml.dom.minidom

import pytest

NSP = os.environ["NSP"]
PACKETS = 3000
SAME_RUNS = int(os.environ.get("SAME_RUNS", "100"))

POLICY = """
version: 1
rules:
  - { name: gone, match: "udp.DstPort == 1", action: drop }
  - name: bad-link
    match: "udp.DstPort == 2"
    rate: 2mbit
    queue: 20ms
    delay: 30ms
    jitter: { sd: 8ms, keep-order: false }
    loss: { model: gilbert-elliott, p: 5%, burst: 3 }
  - { name: marked, match: "udp.DstPort == 3", dscp: 46, continue: true }
  - { name: late, match: "udp.DstPort in {3, 4}", delay: 1ms }
"""
RULES = {1: "gone", 2: "bad-link", 3: "late", 4: "late", 5: "-"}


def packet(number, port):
    payload = struct.pack("!HHHH", 9, port, 208, 0) + bytes(200)
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), number, 0,
                       64, 17, 0, b"\x0a\0\0\1", b"\x0a\0\0\2") + payload


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a policy and a capture in it."""
    folder = tmp_path_factory.mktemp("simulate")
    (folder / "p.yaml").write_text(POLICY, encoding="ascii")
    rng = random.Random(1)
    at_us = 0
    with open(folder / "a.pcap", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for number in range(1, PACKETS + 1):
            at_us += rng.randrange(1000)
            data = packet(number, rng.choice((1, 2, 2, 2, 3, 4, 5)))
            file.write(struct.pack("<IIII", 1000 + at_us // 10**6,
                                   at_us % 10**6, len(data), len(data)) + data)
    return folder


def simulate(place, *options, fill=0):
    done = subprocess.run(
        [NSP, "simulate", "p.yaml", "--in", "a.pcap", *options], cwd=place,
        env={**os.environ, "MALLOC_PERTURB_": str(fill)},
        capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def dissect(path, *fields):
    """What tshark says of each packet."""
    args = [arg for field in fields for arg in ("-e", field)]
    found = subprocess.run(["tshark", "-n", "-r", path, "-T", "fields", *args],
                           capture_output=True, text=True, check=True)
    return [line.split("\t") for line in found.stdout.splitlines()]


def ns(seconds):
    whole, part = seconds.split(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0"))


def test_writes_the_same_bytes_for_a_seed(place):
    """However many workers there are, and whatever was in memory before; that
    takes the C library long, and is asked a few times."""
    digests = set()
    for run in range(SAME_RUNS):
        name = f"out{run}.pcapng"
        simulate(place, "--out", name, "--quiet", "--seed", "7",
                 "--workers", str(1 << run % 3),
                 fill=0 if run % 30 else run + 1)
        digests.add(hashlib.sha256((place / name).read_bytes()).hexdigest())
        (place / name).unlink()
    assert len(digests) == 1
    simulate(place, "--out", "other.pcapng", "--quiet", "--seed", "8")
    digest = hashlib.sha256((place / "other.pcapng").read_bytes()).hexdigest()
    assert digest not in digests


@pytest.mark.skipif(not shutil.which("tshark"), reason="no tshark here")
def test_comments_say_what_became_of_each_packet(place):
    out = simulate(place, "--out", "b.pcapng", "--list-drops", "--json")
    documents = [json.loads(line) for line in out.splitlines()]
    drops = {d["packet"]: d for d in documents if d["type"] == "drop"}
    sent = {int(number, 16): (ns(at), int(port)) for number, at, port in
            dissect(place / "a.pcap", "ip.id", "frame.time_epoch",
                    "udp.dstport")}
    came = {}
    for number, at, dscp, comment in dissect(
            place / "b.pcapng", "ip.id", "frame.time_epoch",
            "ip.dsfield.dscp", "frame.comment"):
        came[int(number, 16)] = (ns(at), int(dscp),
                                 dict(word.split("=")
                                      for word in comment.split()))

    assert set(came) | set(drops) == set(sent) and not set(came) & set(drops)
    for number, (at, dscp, comment) in came.items():
        sent_at, port = sent[number]
        assert comment["rule"] == RULES[port]
        whole, part = comment["delay_us"].split(".")
        assert len(part) == 3
        assert int(whole) * 1000 + int(part) == at - sent_at
        assert comment["effects"] == {2: "queue,delay", 3: "delay,edit",
                                      4: "delay", 5: "none"}[port]
        assert dscp == (46 if port == 3 else 0)
    for number, drop in drops.items():
        assert drop["rule"] == RULES[sent[number][1]]
        assert drop["reason"] in (["rule"] if drop["rule"] == "gone" else
                                  ["loss", "queue-full"])

    # The sums of what was listed are those of the report.
    end = documents[-1]
    assert end["in"]["pkts"] == PACKETS
    assert end["delivered"]["pkts"] == len(came)
    for row in end["drops"]:
        assert row["pkts"] == sum(
            drop["rule"] == row["rule"] and drop["reason"] == row["reason"]
            for drop in drops.values())
    assert sum(row["pkts"] for row in end["drops"]) == len(drops)
    assert end["simulated_ns"] == (max(at for at, _, _ in came.values()) -
                                   min(at for at, _ in sent.values()))


def test_draws_the_same_picture_with_every_run_of_losses(place):
    out = simulate(place, "--plot", "p.svg", "--list-drops", "--json")
    first = (place / "p.svg").read_bytes()
    simulate(place, "--plot", "p.svg", "--quiet")
    assert (place / "p.svg").read_bytes() == first

    lost = {json.loads(line)["packet"] for line in out.splitlines()[:-1]}
    runs = set()
    for number in lost:
        if number - 1 in lost:
            continue
        length = 1
        while number + length in lost:
            length += 1
        runs.add(min(length, 20))
    picture = xml.dom.minidom.parseString(first)
    texts = [node.firstChild.data for node in
             picture.getElementsByTagName("text")]
    for title in ("a.pcap", "Delay (ms)", "Rate of IP packets (Mbit/s)",
                  "Runs of lost packets"):
        assert title in texts
    bars = picture.getElementsByTagName("path")[-1].getAttribute("d")
    assert bars.count("M") == len(runs)


def test_agrees_with_shape(place):
    """The same rule, asked for the other way."""
    (place / "one.yaml").write_text(
        'version: 1\nrules: [{ name: shape, match: "udp.DstPort == 2", '
        "delay: 3ms, rate: 5mbit }]\n", encoding="ascii")
    simulated = subprocess.run(
        [NSP, "simulate", "one.yaml", "--in", "a.pcap", "--json"], cwd=place,
        capture_output=True, text=True, timeout=120, check=True)
    shaped = subprocess.run(
        [NSP, "shape", "--in", "a.pcap", "--filter", "udp.DstPort == 2",
         "--delay", "3ms", "--rate", "5mbit", "--json", "--quiet"], cwd=place,
        capture_output=True, text=True, timeout=120, check=True)
    simulated = json.loads(simulated.stdout.splitlines()[-1])
    shaped = json.loads(shaped.stdout.splitlines()[-1])
    for part in ("in", "delivered", "dropped"):
        assert simulated[part] == shaped[part]
