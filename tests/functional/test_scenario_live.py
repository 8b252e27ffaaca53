"""Scenarios of 'nsp run' on live packets: what its steps say comes, and goes
again, whenever that is. Nothing here depends on how fast the machine is.
"""

import time

import pytest

from live_hosts import NEEDS_NETWORK, PATIENCE, is_silent, near, ping
from test_run_live import Run, rule

pytestmark = NEEDS_NETWORK

POLICY = """
version: 1
intercept: {{ on: [input] }}
classes:
  link: {{ rate: 100mbit, queue: 4packets }}
rules:
  - {{ name: echoes, match: "icmp.Type == 0", class: link, delay: 1us }}
scenario: {{ {} }}
"""


def wait_for(host, answered):
    """Until a ping is answered, or none is."""
    until = time.monotonic() + PATIENCE
    while is_silent(host) == answered:
        assert time.monotonic() < until


@pytest.mark.parametrize("steps", [
    "steps: [ { every: 3s, for: 1500ms, rule: echoes, set: { loss: 100% } } ]",
    "loop: 3s, steps: [ { at: 1500ms, rule: echoes, set: { loss: 100% } } ]",
])
def test_losses_come_and_go_again(near, tmp_path, steps):
    run = Run(near, tmp_path, POLICY.format(steps))
    for _ in range(2):
        wait_for(near, False)
        wait_for(near, True)
    last, _ = run.end()
    assert rule(last, "echoes")["dropped"]["pkts"] >= 2
    assert last["dropped"]["loss"]["pkts"] >= 2


def test_a_step_lasts_for_good(near, tmp_path):
    run = Run(near, tmp_path, POLICY.format(
        "steps: [ { at: 1s, rule: echoes, set: { loss: 100% } } ]"))
    wait_for(near, False)
    assert is_silent(near, 10)
    run.end()
    assert ping(near) == 1


def test_a_rate_falls_evenly(near, tmp_path):
    run = Run(near, tmp_path, POLICY.format(
        "steps: [ { at: 500ms, over: 1s, tick: 50ms, class: link, "
        "set: { rate: 8bit } } ]"))
    # At last a byte takes a second.
    wait_for(near, False)
    until = time.monotonic() + PATIENCE
    while run.status()["dropped"]["queue-full"]["pkts"] == 0:
        is_silent(near, 5)
        assert time.monotonic() < until
    last, _ = run.end()
    assert last["dropped"]["loss"]["pkts"] == 0


def test_a_rule_is_enabled_for_a_time(near, tmp_path):
    run = Run(near, tmp_path, POLICY.format(
        "steps: [ { at: 0s, rule: echoes, set: { loss: 100% } }, "
        "{ every: 3s, for: 1500ms, rule: echoes, enabled: false } ]"))
    for _ in range(2):
        wait_for(near, True)
        wait_for(near, False)
    run.end()
