"""What keeps whoever sits before a host logged in there while a bridge takes its
interfaces for itself.

A third host, 'middle', runs nsp, and the near one is logged in there:

    near 10.78.0.1 v0 ---- p0 middle p1 ---- v1 far
"""

import json

import pytest

from live_hosts import (NEAR, NEEDS_NETWORK, answers_in_time, do, parted,
                        works_here)  # noqa: F401
from test_guard_live import BRIEF, Login, on_a_terminal
from test_shape_live import NSP, Shape

pytestmark = NEEDS_NETWORK

OURS, OURS6 = "10.78.0.3", "fd78::3"
JOIN = [NSP, "shape", "--on", "bridge:p0,p1"]
BRIDGES = pytest.mark.skipif(not works_here("bridge"),
                             reason="'nsp doctor --backend bridge' finds things "
                             "missing")


def login_at(middle, address, client):
    middle.far = client
    return Login(middle, f"%s %s {address} 22", address)


def assert_is_not_asked(login, *command):
    status, output = login.run(*command, *BRIEF)
    assert status == 0 and "your own connection" not in output, output


def by_port(near):
    do(near.middle, f"ip address add {OURS}/24 dev p0")
    return OURS


def add_macvlan(near):
    done = near.middle.run("ip", "link", "add", "link", "p0", "name", "m0",
                           "type", "macvlan")
    if done.returncode != 0:
        pytest.skip("no macvlan: " + done.stderr)
    do(near.middle, "ip link set m0 up")


def by_vlan(near):
    """Or by a macvlan, where the kernel has no VLANs."""
    for host, name in (near, "v0"), (near.middle, "p0"):
        done = host.run("ip", "link", "add", "link", name, "name", f"{name}.5",
                        "type", "vlan", "id", "5")
        if done.returncode != 0:
            add_macvlan(near)
            do(near.middle, f"ip address add {OURS6}/64 dev m0 nodad")
            return OURS6
        do(host, f"ip link set {name}.5 up")
    do(near, "ip address add fd78:5::1/64 dev v0.5 nodad")
    do(near.middle, "ip address add fd78:5::3/64 dev p0.5 nodad")
    return "fd78:5::3"


def by_bridge(near):
    """One of the kernel's, to which what comes in goes on."""
    add_macvlan(near)
    do(near.middle, "ip link add br0 type bridge")
    do(near.middle, "ip link set m0 master br0")
    do(near.middle, "ip link set br0 up")
    do(near.middle, f"ip address add {OURS}/24 dev br0")
    return OURS


def add_second_wire(near):
    do(near, f"ip link add v2 type veth peer name p2 netns "
       f"{near.middle.keeper.pid}")
    do(near, "ip link set v2 up")
    do(near.middle, "ip link set p2 up")


def by_address(near):
    """The way back leaves by an interface that is no port."""
    add_second_wire(near)
    do(near.middle, f"ip address add {OURS}/24 dev p0")
    do(near.middle, f"ip route add {NEAR} dev p2")
    for name in "all", "v2":
        near.run("sh", "-c",
                 f"echo 0 > /proc/sys/net/ipv4/conf/{name}/rp_filter")
    return OURS


def by_route(near):
    """The address is at no port, but the way back leaves by one."""
    do(near.middle, "ip link set lo up")
    do(near.middle, f"ip address add {OURS}/32 dev lo")
    do(near.middle, f"ip route add {NEAR} dev p0 src {OURS}")
    return OURS


WAYS = [by_port, by_vlan, by_bridge, by_address, by_route]


@pytest.fixture
def wire(parted):
    """The near host, where it reaches the one in the middle by 'way'."""
    logins = []

    def log_in(way):
        address = way(parted)
        assert answers_in_time(parted, address)
        logins.append(login_at(parted.middle, address, parted))
        return logins[-1]
    parted.log_in = log_in
    yield parted
    for login in logins:
        login.end()


@pytest.mark.parametrize("way", WAYS)
def test_a_bridge_does_not_take_the_interface_they_come_by(wire, way):
    login = wire.log_in(way)
    status, output = login.run(*JOIN, *BRIEF)
    assert status == 1, output
    assert "bridge over p0 would cut off your own connection" in output
    assert f":{login.port} > " in output and ":22 (SSH_CONNECTION)" in output
    assert "another interface" in output and "--yes" in output
    assert answers_in_time(wire, login.at)  # Nothing was started.
    # Whichever place it has, and whatever the rules let pass.
    status, output = login.run(NSP, "shape", "--on", "bridge:p1,p0", "--filter",
                               "udp", *BRIEF)
    assert status == 1 and "bridge over p0" in output, output


def test_a_bridge_of_a_policy_does_not_take_it_either(wire, tmp_path):
    login = wire.log_in(by_port)
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nintercept: { bridge: [p0, p1] }\n")
    command = [NSP, "run", "--control", "''", *BRIEF, str(path)]
    status, output = login.run(*command)
    assert status == 1 and "bridge over p0 would cut off" in output, output
    status, output = login.run(*command, "--json")
    assert status == 1
    assert json.loads(output)["error"]["category"] == "own-session"


@BRIDGES
def test_a_bridge_takes_it_where_they_say_so(wire, tmp_path):
    login = wire.log_in(by_port)
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nintercept: { bridge: [p0, p1] }\n")
    for command in JOIN, [NSP, "run", "--control", "''", str(path)]:
        assert_is_not_asked(login, *command, "--yes")
        for answer in "n", "y":
            status, output = on_a_terminal(login, tmp_path, answer, *command,
                                           *BRIEF)
            assert status == (0 if answer == "y" else 1), output
            assert "would cut off your own connection" in output


@BRIDGES
def test_a_bridge_that_nobody_confirms_gives_it_back(wire, tmp_path):
    login = wire.log_in(by_port)
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nintercept: { bridge: [p0, p1] }\n")
    status, output = login.run(NSP, "run", "--control", "''", "--confirm",
                               "300ms", str(path))
    assert status == 1 and "not confirmed in time" in output, output
    assert "warning: a bridge over p0 would cut off" in output
    assert answers_in_time(wire, OURS)


@BRIDGES
def test_a_bridge_is_free_to_take_what_they_do_not_come_by(wire):
    add_second_wire(wire)
    do(wire, "ip address add 10.78.2.1/24 dev v2")
    do(wire.middle, "ip address add 10.78.2.3/24 dev p2")
    do(wire.middle, f"ip address add {OURS}/24 dev p0")
    login = wire.log_in(lambda near: "10.78.2.3")
    assert_is_not_asked(login, *JOIN)


@BRIDGES
def test_a_bridge_leaves_what_does_not_leave_the_host(wire):
    do(wire.middle, "ip link set lo up")
    do(wire.middle, f"ip address add {OURS}/24 dev p0")
    login = login_at(wire.middle, OURS, wire.middle)
    assert_is_not_asked(login, *JOIN)
    login.end()


@BRIDGES
def test_a_bridge_may_carry_their_connection_to_the_host_itself(wire):
    """By a pair of interfaces, of which the bridge has one end."""
    do(wire.middle, "ip link add q0 type veth peer name q1")
    do(wire.middle, "ip link set q0 up")
    do(wire.middle, "ip link set q1 up")
    do(wire.middle, f"ip address add {OURS}/24 dev q0")
    join = ["--on", "bridge:p0,q1"]
    shape = Shape(wire.middle, *join)
    login = wire.log_in(lambda near: OURS)
    shape.end()
    assert_is_not_asked(login, NSP, "shape", *join)
