"""'nsp run' on live packets: a policy in force, changed, and gone again."""

import json
import os
import signal
import subprocess

import pytest

from live_hosts import NEEDS_NETWORK, PATIENCE, answers_in_time, near, ping

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
    assert ping(near, 3) == 0
    last, err = run.end()
    assert err == ""
    assert rule(last, "echoes")["dropped"]["pkts"] == 3
    assert rule(last, "seen")["hit"]["pkts"] >= 3
    assert rule(last, "seen")["in"]["pkts"] == 0
    assert [c["name"] for c in last["classes"]] == ["slow"]
    assert ping(near, 2) == 2


@pytest.mark.parametrize("by_signal", [False, True])
def test_takes_a_changed_policy_and_keeps_counters(near, tmp_path, by_signal):
    run = Run(near, tmp_path, DROP)
    assert ping(near, 2) == 0
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
    assert ping(near, 2) == 0
    assert run.status()["reloads"] == 0
    _, err = run.end()
    assert "icmp.Type?" in err  # The service's own log has place and cure.


def test_another_interception_takes_a_new_start(near, tmp_path):
    run = Run(near, tmp_path, DROP)
    run.path.write_text(DROP.replace("[input]", "[forward]"))
    done = run.ask("reload")
    assert done.returncode == 1 and "start again" in done.stderr
    assert ping(near, 1) == 0
    run.end()


def test_reloads_while_packets_flow_lose_none(near, tmp_path):
    run = Run(near, tmp_path, PASS)
    flood = near.start("ping", "-n", "-q", "-c", "300", "-i", "0.005", "-W",
                       "2", "10.78.0.2")
    reloads = 0
    while flood.poll() is None:
        run.path.write_text(PASS.replace(
            "rules:", "rules:\n  - { name: new-%d, match: \"tcp\" }" % reloads))
        assert run.ask("reload").returncode == 0
        reloads += 1
    assert " 300 received" in flood.stdout.read()
    last, _ = run.end()
    assert last["reloads"] == reloads >= 2
    assert rule(last, "echoes")["delivered"]["pkts"] == 300


def test_kill_leaves_nothing_that_the_next_start_trips_over(near, tmp_path):
    run = Run(near, tmp_path, DROP)
    assert ping(near, 1) == 0
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
