"""'nsp run' on live packets: a policy in force, changed, and gone again."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from live_hosts import (NEEDS_NETWORK, PATIENCE, answered, answers_in_time,
                        assert_only_warnings, is_silent, near, ping,
                        start_pings)

NSP = os.environ["NSP"]

pytestmark = NEEDS_NETWORK

POLICY = """
version: 1
intercept: { on: [input] }
classes:
  slow: { rate: 1mbit }
rules:
  - { name: seen, match: "icmp", continue: true, count: true }
  - { name: echoes, match: "icmp.Type == 0", %s }
  - { name: rest, match: "udp", class: slow }
default: { action: pass }
"""
DROP, PASS = POLICY % "action: drop", POLICY % "action: pass"


class Run:
    def __init__(self, host, folder, text, *options):
        self.host, self.path = host, folder / "policy.yaml"
        self.socket = folder / "control.sock"
        self.path.write_text(text)
        self.process = host.start(NSP, "run", "--json", "--control",
                                  str(self.socket), *options, str(self.path))
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.start = json.loads(line)

    def ask(self, *words):
        return self.host.run(NSP, *words, "--control", str(self.socket))

    def status(self):
        done = self.ask("status")
        assert done.returncode == 0, done.stderr
        return check_identity(json.loads(done.stdout))

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, err
        last = json.loads(out.splitlines()[-1])
        assert last["type"] == "end"
        assert not self.socket.exists()
        return check_identity(last), err


def check_identity(document):
    for unit in ("pkts", "bytes"):
        dropped = sum(drop[unit] for drop in document["dropped"].values())
        assert document["in"][unit] == (document["delivered"][unit] + dropped +
                                        document["queued"][unit])
        for rule in document["rules"]:
            assert rule["in"][unit] == (
                rule["delivered"][unit] + rule["dropped"][unit] +
                rule["queued"][unit])
        for class_ in document["classes"]:
            assert class_["in"][unit] == (
                class_["sent"][unit] + class_["dropped"][unit] +
                class_["queued"][unit])
    return document


def rule(document, name):
    return next(r for r in document["rules"] if r["name"] == name)


def test_enforces_a_policy_and_counts_by_rule(near, tmp_path):
    run = Run(near, tmp_path, DROP)
    assert run.start["type"] == "running"
    assert is_silent(near, 3)
    last, err = run.end()
    assert_only_warnings(err)
    assert rule(last, "echoes")["dropped"]["pkts"] == 3
    assert rule(last, "seen")["hit"]["pkts"] >= 3
    assert rule(last, "seen")["in"]["pkts"] == 0
    assert [c["name"] for c in last["classes"]] == ["slow"]
    assert ping(near, 2) == 2


@pytest.mark.parametrize("by_signal", [False, True])
def test_takes_a_changed_policy_and_keeps_counters(near, tmp_path, by_signal):
    run = Run(near, tmp_path, DROP)
    assert is_silent(near, 2)
    run.path.write_text(PASS)
    if by_signal:
        run.process.send_signal(signal.SIGHUP)
        assert json.loads(run.process.stdout.readline())["type"] == "reloaded"
    else:
        done = run.ask("reload")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ping(near, 2) == 2
    echoes = rule(run.status(), "echoes")
    assert echoes["dropped"]["pkts"] == 2
    assert echoes["delivered"]["pkts"] == 2
    run.end()


def test_a_policy_with_errors_changes_nothing(near, tmp_path):
    run = Run(near, tmp_path, DROP)
    run.path.write_text(PASS.replace("icmp.Type", "icmp.Typo"))
    done = run.ask("reload")
    assert done.returncode == 2
    assert "has errors" in done.stderr and done.stdout == ""
    answer = run.ask("reload", "--json")
    assert answer.returncode == 2 and not json.loads(answer.stdout)["ok"]
    assert is_silent(near, 2)
    assert run.status()["reloads"] == 0
    _, err = run.end()
    assert "icmp.Type?" in err  # The service's own log has place and cure.


def test_another_interception_takes_a_new_start(near, tmp_path):
    run = Run(near, tmp_path, DROP)
    run.path.write_text(DROP.replace("[input]", "[forward]"))
    done = run.ask("reload")
    assert done.returncode == 1 and "start again" in done.stderr
    assert is_silent(near)
    run.end()


def test_reloads_while_packets_flow_lose_none(near, tmp_path):
    run = Run(near, tmp_path, PASS)
    flood = start_pings(near, 300, 0.005)
    reloads = 0
    while flood.poll() is None:
        run.path.write_text(PASS.replace(
            "rules:", "rules:\n  - { name: new-%d, match: \"tcp\" }" % reloads))
        assert run.ask("reload").returncode == 0
        reloads += 1
    assert answered(flood) == 300
    last, _ = run.end()
    assert last["reloads"] == reloads >= 2
    assert rule(last, "echoes")["delivered"]["pkts"] == 300


def test_kill_leaves_nothing_that_the_next_start_trips_over(near, tmp_path):
    run = Run(near, tmp_path, DROP)
    assert is_silent(near)
    run.process.kill()
    run.process.wait()
    assert answers_in_time(near)
    assert run.socket.exists()
    Run(near, tmp_path, PASS).end()


def test_one_socket_serves_one_run(near, tmp_path):
    run = Run(near, tmp_path, PASS)
    done = near.run(NSP, "run", "--control", str(run.socket), str(run.path))
    assert done.returncode == 1
    assert "--control" in done.stderr
    run.end()
    done = run.ask("status")
    assert done.returncode == 3 and "no 'nsp run' listens" in done.stderr


# --- Events ------------------------------------------------------------------

REPORTS = """
version: 1
intercept: { on: [input] }
rules:
  - { name: seen, match: "icmp", continue: true, log: %s }
  - { name: echoes, match: "icmp.Type == 0", capture: %s, %s }
"""


def log_lines(run):
    run.process.send_signal(signal.SIGTERM)
    out, err = run.process.communicate(timeout=PATIENCE)
    assert run.process.returncode == 0, err
    documents = [json.loads(line) for line in out.splitlines()]
    assert documents[-1]["type"] == "end" and documents[-1]["events_lost"] == 0
    return [d for d in documents if d["type"] == "log"], documents[-1]


def packets_of(path):
    if not shutil.which("tcpdump"):
        pytest.skip("no tcpdump")
    done = subprocess.run(["tcpdump", "-n", "-v", "-tt", "-r", str(path)],
                          capture_output=True, text=True, timeout=PATIENCE,
                          check=False)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if "ICMP echo" in line]


def test_logs_packets_and_no_more_than_asked_for(near, tmp_path):
    run = Run(near, tmp_path, REPORTS % ("1000", "a.pcapng", "action: pass"))
    before = time.time_ns()
    assert ping(near, 3) == 3
    logs, last = log_lines(run)
    assert len(logs) == rule(last, "seen")["hit"]["pkts"] >= 3
    one = next(d for d in logs if d["packet"].startswith("icmp 10.78.0.2"))
    assert one["packet"] == "icmp 10.78.0.2 > 10.78.0.1 inbound"
    assert one["rule"] == "seen" and one["bytes"] == 84
    assert before < one["epoch_ns"] < time.time_ns()

    run = Run(near, tmp_path, REPORTS % ("1", "a.pcapng", "action: pass"))
    assert ping(near, 50) == 50
    logs, last = log_lines(run)
    assert rule(last, "seen")["hit"]["pkts"] >= 50 > len(logs) >= 1


def test_log_lines_are_for_people_too(near, tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(REPORTS % ("10", "a.pcapng", "action: pass"))
    process = near.start(NSP, "run", "--control", "", str(path))
    assert "running" in process.stdout.readline()
    assert ping(near, 1) == 1
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE)
    assert ("nsp: log: seen: icmp 10.78.0.2 > 10.78.0.1 inbound 84 B"
            in out.splitlines())


def test_captures_what_came_whatever_becomes_of_it(near, tmp_path):
    run = Run(near, tmp_path, REPORTS % ("1", "a.pcapng", "action: drop"))
    before = time.time()
    assert ping(near, 4, size=1000, patience_s=1) == 0
    log_lines(run)
    packets = packets_of(tmp_path / "a.pcapng")
    assert len(packets) == 4
    if not shutil.which("tshark"):
        return
    done = subprocess.run(
        ["tshark", "-r", str(tmp_path / "a.pcapng"), "-T", "fields", "-e",
         "frame.time_epoch", "-e", "frame.packet_flags_direction", "-e",
         "frame.comment", "-e", "frame.cap_len", "-e", "ip.src"],
        capture_output=True, text=True, timeout=60, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(lines) == len(packets)
    for at, direction, comment, cap_bytes, source in lines:
        assert before - 1 < float(at) < time.time() + 1
        assert int(direction, 0) == 1  # Inbound.
        assert comment == "rule=echoes"
        assert (cap_bytes, source) == ("1028", "10.78.0.2")


def test_a_capture_goes_on_over_a_reload_by_its_path(near, tmp_path):
    text = REPORTS % ("1", "a.pcapng", "action: pass")
    run = Run(near, tmp_path, text)
    assert ping(near, 2) == 2
    run.path.write_text(text.replace("echoes", "replies"))
    assert run.ask("reload").returncode == 0
    assert ping(near, 2) == 2
    run.path.write_text(text.replace("a.pcapng", "b.pcapng"))
    assert run.ask("reload").returncode == 0
    assert len(packets_of(tmp_path / "a.pcapng")) == 4  # Finished already.
    assert ping(near, 3) == 3
    log_lines(run)
    assert len(packets_of(tmp_path / "a.pcapng")) == 4
    assert len(packets_of(tmp_path / "b.pcapng")) == 3


def test_a_policy_without_reports_may_get_some(near, tmp_path):
    run = Run(near, tmp_path, PASS)
    run.path.write_text(REPORTS % ("9", "a.pcapng", "action: pass"))
    assert run.ask("reload").returncode == 0
    assert ping(near, 2, size=1000) == 2
    log_lines(run)
    assert len(packets_of(tmp_path / "a.pcapng")) == 2
    assert (tmp_path / "a.pcapng").stat().st_size > 2 * 1028  # All bytes.


def test_a_capture_that_cannot_be_opened_refuses_the_policy(near, tmp_path):
    path = tmp_path / "policy.yaml"
    nowhere = REPORTS % ("1", "no/where.pcapng", "action: drop")
    path.write_text(nowhere)
    done = near.run(NSP, "run", "--control", "", str(path))
    assert done.returncode == 1
    assert "no/where.pcapng" in done.stderr and "No such file" in done.stderr

    run = Run(near, tmp_path, PASS)
    run.path.write_text(nowhere)
    done = run.ask("reload")
    assert done.returncode == 1 and "where.pcapng" in done.stderr
    os.symlink("a.pcapng", tmp_path / "c.pcapng")
    run.path.write_text(
        REPORTS.replace("continue: true", "continue: true, capture: c.pcapng")
        % ("1", "a.pcapng", "action: drop"))
    done = run.ask("reload")
    assert done.returncode == 1 and "the same file" in done.stderr
    assert ping(near, 1) == 1
    run.end()


def test_a_full_disk_ends_the_capture_and_not_the_policy(near, tmp_path):
    # A limit on files is a full disk that anyone can have.
    path = tmp_path / "policy.yaml"
    path.write_text(REPORTS % ("1", "a.pcapng", "action: drop"))
    process = near.start(
        "bash", "-c", 'trap "" XFSZ; ulimit -f 1; exec "$@"', "-", NSP, "run",
        "--json", "--control", "", str(path))
    assert process.stdout.readline()
    assert is_silent(near, 30)
    assert "a.pcapng' ends here" in process.stderr.readline()
    assert is_silent(near, 2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and err == ""
    end = json.loads(out.splitlines()[-1])
    assert end["type"] == "end"
    written = len(packets_of(tmp_path / "a.pcapng"))
    assert 3 <= written < 30
    assert end["capture_lost_pkts"] + end["events_lost"] == 32 - written


def test_ends_after_its_time(near, tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(PASS)
    done = near.run(NSP, "run", "--for", "100ms", "--control", "", str(path))
    assert done.returncode == 0, done.stderr
    assert "echoes" in done.stdout


def test_errors_in_the_file_are_told_before_anything_is_opened(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nrules: [ { action: drip } ]\n")
    done = subprocess.run([NSP, "run", str(path)], capture_output=True,
                          text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert "drip" in done.stderr


@pytest.mark.skipif(not shutil.which("nft"), reason="no nft here")
def test_marks_packets_where_the_kernel_sees_it(near, tmp_path):
    done = near.run("nft", "add table ip t; add chain ip t post { type filter hook"
                    " postrouting priority 0; }; add rule ip t post meta mark"
                    " and 0xff == 7 drop")
    assert done.returncode == 0, done.stderr
    run = Run(near, tmp_path, """
version: 1
intercept: { on: [output] }
rules:
  - { match: "icmp", mark: 7 }
default: { action: pass }
""")
    assert is_silent(near, 2)
    run.end()
    assert ping(near, 2) == 2
