"""Kernels that lack things: what each device does without one of them, and what it
says of it. Its calls meet a kernel that refuses, by refuse_calls.c.

The networks of live_hosts.py.
"""

import json
import os

import pytest

from live_hosts import (FAR, FAR6, NEAR, NEEDS_NETWORK, answers_in_time,
                        is_silent, near, parted, ping, straight,
                        works_here)  # noqa: F401
from live_traffic import (MEGABYTE, PYTHON, UDP_CLIENT, UDP_ECHO, UDP_SEGMENTS,
                          rtt_ms, transfer)
from test_shape_live import NEEDS_TAP, NSP, Shape
from test_tap_live import add_link, end_with_warnings, wait_until_taken

pytestmark = NEEDS_NETWORK

NEEDS_BRIDGE = pytest.mark.skipif(
    not works_here("bridge"),
    reason="'nsp doctor --backend bridge' finds things missing")


def refusing(what, file=None):
    """The environment of a process whose kernel lacks 'what'; where 'file' is
    given, while that is there."""
    env = {**os.environ, "NSP_REFUSE": what,
           "LD_PRELOAD": os.environ["NSP_REFUSE_CALLS"]}
    return {**env, "NSP_REFUSE_IF": str(file)} if file else env


def doctor(host, backend, env):
    """What is said of each feature of a backend: state and detail."""
    done = host.run(NSP, "doctor", "--json", "--backend", backend, env=env)
    groups = json.loads(done.stdout)["groups"]
    return {item["feature"]: (item["state"], item["detail"])
            for group in groups for item in group["items"]}


def check_traffic(near):
    """TCP and datagrams both ways, of all sizes."""
    assert transfer(near, near.far, FAR, 4 * MEGABYTE)
    assert transfer(near.far, near, NEAR, 4 * MEGABYTE)
    echo = near.far.start(PYTHON, "-c", UDP_ECHO, FAR)
    assert echo.stdout.readline() == "ready\n"
    done = near.run(PYTHON, "-c", UDP_CLIENT, FAR, "plain")
    assert done.stdout == "9\n", done.stderr
    done = near.run(PYTHON, "-c", UDP_SEGMENTS, FAR)
    assert done.stdout == "True\n", done.stderr
    echo.kill()
    echo.communicate()


def end(shape):
    """Its last document: it had no trouble."""
    last = shape.end()
    assert last["result"] == "stopped"
    assert last["device_errors"] == 0
    return last


# --- tap ----------------------------------------------------------------------

def filters(host, name="v0"):
    return sum("netshaper" in host.run("tc", "filter", "show", "dev", name,
                                       way).stdout
               for way in ("ingress", "egress"))


@NEEDS_TAP
def test_tap_takes_clsact_where_there_is_no_tcx(straight):
    env = refusing("tcx")
    assert doctor(straight, "tap", env)["tap-hooks"] == (
        "degraded", "clsact filters, which stay when the process is killed and "
        "then let all pass")
    shape = Shape(straight, "--on", "tap:v0", "--filter",
                  "icmp or udp or tcp", "--delay", "10ms", env=env)
    assert filters(straight) == 2
    assert rtt_ms(straight) >= 20
    check_traffic(straight)
    done = straight.run(NSP, "shape", "--json", "--on", "tap:v0", env=env)
    assert json.loads(done.stdout)["error"]["category"] == "interface-taken"
    assert rtt_ms(straight) >= 20
    assert end(shape)["shaped"]["in"]["pkts"] > 0
    assert "clsact" not in straight.run("tc", "qdisc").stdout


@NEEDS_TAP
def test_tap_takes_over_what_a_killed_one_left_in_clsact(straight):
    env = refusing("tcx")
    for _ in range(2):
        shape = Shape(straight, "--on", "tap:v0", "--filter", "icmp", "--drop",
                      env=env)
        assert is_silent(straight)
        shape.process.kill()
        shape.process.communicate()
        assert answers_in_time(straight)
        assert filters(straight) == 2
    shape = Shape(straight, "--on", "tap:v0", "--filter", "icmp", "--drop",
                  env=env)
    assert is_silent(straight)
    end(shape)
    assert ping(straight, 3) == 3
    assert "clsact" not in straight.run("tc", "qdisc").stdout


@NEEDS_TAP
def test_tap_splits_superpackets_of_udp_that_it_cannot_have(straight):
    env = refusing("uso")
    assert doctor(straight, "tap", env)["tap-device"] == (
        "degraded", "TCP superpackets; those of UDP are split")
    shape = Shape(straight, "--on", "tap:v0", "--no-offload", "--filter", "udp",
                  env=env)
    echo = straight.far.start(PYTHON, "-c", UDP_ECHO, FAR)
    assert echo.stdout.readline() == "ready\n"
    done = straight.run(PYTHON, "-c", UDP_SEGMENTS, FAR)
    assert done.stdout == "True\n", done.stderr
    echo.kill()
    echo.communicate()
    assert end(shape)["in"]["pkts"] == 60  # With them, fewer.
    shape = Shape(straight, "--on", "tap:v0", "--no-offload", "--filter", "tcp",
                  env=env)
    assert transfer(straight, straight.far, FAR, 4 * MEGABYTE)
    last = end(shape)
    assert last["in"]["bytes"] / last["in"]["pkts"] > 1600


@NEEDS_TAP
def test_tap_decides_itself_where_the_kernel_refuses_rules(straight):
    env = refusing("rules")
    state, detail = doctor(straight, "tap", env)["tap-rules"]
    assert state == "degraded", detail
    shape = Shape(straight, "--on", "tap:v0", "--filter", "icmp", "--drop",
                  env=env)
    assert is_silent(straight, 3)
    assert ping(straight, 3, FAR6) == 3
    last, err = end_with_warnings(shape)
    assert last["dropped"]["rule"]["pkts"] == 3
    assert "the kernel decides nothing by rules: it refuses them" in err


@NEEDS_TAP
def test_tap_decides_itself_at_an_interface_that_comes_where_rules_are_refused(
        straight, tmp_path):
    """Elsewhere they were taken before."""
    lack = tmp_path / "lack"
    shape = Shape(straight, "--on", "tap", "--filter",
                  "icmp and outbound", "--drop", env=refusing("rules", lack))
    assert is_silent(straight, 2)
    lack.touch()
    add_link(straight, "w0", "10.81.0.1", "10.81.0.2")
    wait_until_taken(straight, "10.81.0.2")
    assert is_silent(straight, 2)
    last, err = end_with_warnings(shape)
    assert last["dropped"]["rule"]["pkts"] >= 5
    assert "is not taken" not in err


# --- bridge -------------------------------------------------------------------

@NEEDS_BRIDGE
def test_bridge_completes_checksums_where_no_interface_is_told_to(parted):
    env = refusing("tx-metadata")
    assert doctor(parted.middle, "bridge", env)["bridge-sockets"] == (
        "degraded", "AF_XDP; checksums that virtual senders leave to hardware are "
        "completed in software")
    shape = Shape(parted.middle, "--on", "bridge:p0,p1", "--filter", "icmp",
                  "--delay", "10ms", env=env)
    assert answers_in_time(parted)
    assert rtt_ms(parted) >= 20
    check_traffic(parted)
    assert end(shape)["shaped"]["in"]["pkts"] > 0


# --- nfqueue ------------------------------------------------------------------

FLAGS = ["gso", "fail-open", "uid-gid"]


@pytest.mark.parametrize("refused", FLAGS)
def test_nfqueue_does_without_a_flag_of_its_queues(straight, refused):
    env = refusing(refused)
    assert doctor(straight, "nfqueue", env)["queue-flags"] == (
        "degraded", ", ".join(f"{flag} {'no' if flag == refused else 'yes'}"
                              for flag in FLAGS))
    shape = Shape(straight, "--on", "host", "--filter",
                  "outbound and icmp", "--drop", env=env)
    assert is_silent(straight, 3)
    assert ping(straight, 3, FAR6) == 3
    last, err = end_with_warnings(shape)
    assert f"the kernel refuses the queue flag '{refused}'" in err
    assert last["dropped"]["rule"]["pkts"] == 3
    shape = Shape(straight, "--on", "host", "--filter", "udp or tcp", env=env)
    check_traffic(straight)
    last = end(shape)
    mean = last["in"]["bytes"] / last["in"]["pkts"]
    assert mean > 1600 or refused == "gso"
    assert mean < 1600 or refused != "gso"


def test_nfqueue_takes_all_where_its_rules_have_no_match(straight):
    """The filter is the engine's then, and nobody asks whether it is alive."""
    env = refusing("match")
    state, detail = doctor(straight, "nfqueue", env)["signs-of-life"]
    assert state == "degraded", detail
    shape = Shape(straight, "--on", "host", "--filter", "tcp", env=env)
    assert ping(straight, 3) == 3
    check_traffic(straight)
    last = end(shape)
    assert last["in"]["pkts"] >= last["matched_pkts"] + 6
    shape = Shape(straight, "--on", "host", "--filter", "icmp", "--drop",
                  "--fail-closed", env=env)
    assert is_silent(straight, 3)
    assert ping(straight, 3, FAR6) == 3
    assert end(shape)["dropped"]["rule"]["pkts"] == 3
