"""What keeps a host, and whoever sits before it, on its network while rules that
would cut them off are in force.

The network of live_hosts.py; 'near' is where nsp runs:

    near 10.78.0.1 v0 ---- v1 10.78.0.2 far
          fd78::1            fd78::2
"""

import time

import pytest

from live_hosts import (NEEDS_NETWORK, PATIENCE, answers_in_time, near,
                        ping)  # noqa: F401
from test_shape_live import Shape

NEAR6, FAR6 = "fd78::1", "fd78::2"
PYTHON = "/usr/bin/python3"

pytestmark = NEEDS_NETWORK


@pytest.fixture
def net(near):
    for host, name, address in ((near, "v0", NEAR6), (near.far, "v1", FAR6)):
        done = host.run("ip", "address", "add", f"{address}/64", "dev", name,
                        "nodad")
        assert done.returncode == 0, done.stderr
    assert answers_in_time(near)
    until = time.monotonic() + PATIENCE
    while near.run("ping", "-c", "1", "-W", "1", FAR6).returncode != 0:
        assert time.monotonic() < until
    yield near


def is_found_by_far(net):
    """Whether the far host, who has forgotten it, finds our hardware address,
    while pings are not answered."""
    assert net.far.run("ip", "neigh", "flush", "all").returncode == 0
    assert net.far.run("ping", "-c", "1", "-W", "4", NEAR6).returncode != 0
    return "lladdr" in net.far.run("ip", "-6", "neigh", "show", NEAR6).stdout


def test_neighbours_find_a_host_that_drops_all(net):
    shape = Shape(net, "--drop")
    assert is_found_by_far(net)
    assert ping(net, 1) == 0  # All means all else.
    shape.end()


def test_neighbours_do_not_find_a_host_that_says_so(net):
    shape = Shape(net, "--filter", "icmpv6.Type in { 128..137 }", "--drop")
    assert not is_found_by_far(net)
    assert shape.end()["dropped"]["rule"]["pkts"] > 0


# From the client's port to the server's, and back.
DHCP_SERVER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.78.0.2", 67))
print("ready", flush=True)
while True:
    data, address = s.recvfrom(2048)
    s.sendto(data, address)
"""
DHCP_CLIENT = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.78.0.1", 68))
s.settimeout(2)
s.sendto(b"discover", ("10.78.0.2", 67))
try:
    print(s.recv(2048).decode())
except TimeoutError:
    print("no answer")
"""


@pytest.mark.parametrize("options,answer", [
    (["--drop"], "discover"),
    (["--filter", "udp", "--reject"], "discover"),
    (["--filter", "udp", "--loss", "100%"], "discover"),
    (["--filter", "udp", "--direction", "inbound", "--delay", "1h"], "discover"),
    (["--filter", "udp.DstPort in { 67, 68 }", "--drop"], "no answer"),
    (["--filter", "localPort == 68", "--drop"], "no answer"),
])
def test_dhcp_passes_what_does_not_name_it(net, options, answer):
    server = net.far.start(PYTHON, "-c", DHCP_SERVER)
    assert server.stdout.readline() == "ready\n"
    shape = Shape(net, *options)
    done = net.run(PYTHON, "-c", DHCP_CLIENT)
    assert done.stdout.strip() == answer, done.stderr
    shape.end()
    server.kill()
    server.communicate()
