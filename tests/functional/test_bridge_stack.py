"""'nsp shape --on bridge:m0,m1' where the interfaces' drivers have no XDP: frames
are taken in the stack, superpackets whole, and what is owed else is owed there,
too.

    near 10.78.0.1 v0 ---- p0 m0 middle m1 p1 ---- v1 10.78.0.2 far
          fd78::1                                        fd78::2
"""

import pytest

from live_hosts import (FAR, FAR6, NEAR, NEAR6, NEEDS_NETWORK, add_macvlans,
                        answers_in_time, do, is_silent, join, parted, ping,
                        stop, works_here)  # noqa: F401
from live_traffic import MEGABYTE, transfer
from test_bridge_changes import set_queues, words_of
from test_bridge_live import bridge, joined, last_words, refusal, traces
from test_shape_live import Shape

pytestmark = [
    NEEDS_NETWORK,
    pytest.mark.skipif(not works_here("bridge"),
                       reason="'nsp doctor --backend bridge' finds things "
                       "missing"),
]


@pytest.fixture
def net(parted):
    """Hosts that macvlans join: a driver without XDP."""
    add_macvlans(parted)
    return parted


def test_takes_frames_in_the_stack_where_the_driver_cannot(net):
    """With superpackets, in user space and past it."""
    for kernel in (False, True):
        shape = joined(net, kernel=kernel)
        assert transfer(net, net.far, FAR)
        assert transfer(net, net.far, FAR6)
        assert transfer(net.far, net, NEAR)
        end = shape.end()
        assert end["device_errors"] == end["kernel_dropped_pkts"] == 0
        if not kernel:
            assert end["in"]["bytes"] >= 24 * MEGABYTE
            # Of a whole or two segments each, they would be many more.
            assert end["in"]["pkts"] < end["in"]["bytes"] / 3000
    assert traces(net) == []
    assert is_silent(net)


def test_one_kind_of_port_is_enough_for_the_stack(net):
    shape = Shape(net.middle, "--on", "bridge:p0,m1", "--no-offload")
    assert answers_in_time(net)
    assert transfer(net, net.far, FAR)
    assert transfer(net.far, net, NEAR6)
    shape.end()
    assert traces(net) == []


def test_the_number_of_queues_does_not_matter_in_the_stack(net):
    do(net.middle, "ip link delete p0")
    join(net.middle, net, "p0", "v0", (NEAR, NEAR6), queues=65)
    for host, name in (net, "v0"), (net.middle, "p0"):
        set_queues(host, name, 65)
    status, error = refusal(net.middle, "bridge:p0,p1")
    assert (status, error["category"]) == (3, "queues")
    assert "interface p0 has 65 queues, more than 64" in error["message"]
    shape = Shape(net.middle, "--on", "bridge:p0,m1", "--workers", "2",
                  "--no-offload")
    assert answers_in_time(net)
    assert transfer(net, net.far, FAR)
    shape.end()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_frames_cross_in_the_stack_past_a_dead_process(net, workers):
    shape = joined(net, "--filter", "icmp", "--workers", workers)
    stop(shape.process)
    assert answers_in_time(net)
    assert ping(net, 10) == 10
    shape.process.kill()
    shape.process.communicate()
    assert ping(net, 10) == 10
    assert transfer(net, net.far, FAR)
    shape = joined(net, "--filter", "icmp", "--workers", workers)
    assert ping(net, 5) == 5
    assert shape.end()["matched_pkts"] >= 10
    assert traces(net) == []


@pytest.mark.parametrize("before,after", [("p0,p1", "p0,m1"),
                                          ("p0,m1", "p0,p1")])
def test_an_engine_takes_over_from_one_of_the_other_way(net, before,
                                                        after):
    shape = Shape(net.middle, "--on", "bridge:" + before)
    assert answers_in_time(net)
    shape.process.kill()
    shape.process.communicate()
    shape = Shape(net.middle, "--on", "bridge:" + after, "--no-offload")
    assert answers_in_time(net)
    assert transfer(net, net.far, FAR)
    shape.end()
    for port in "p0", "p1":
        links = net.middle.run("ip", "-details", "link", "show", port).stdout
        assert "prog/xdp" not in links
    assert traces(net) == []


def test_effects_act_in_the_stack_on_segments(net):
    """Each is lost for itself, so superpackets must have been split."""
    shape = joined(net, "--filter", "tcp", "--loss", "0.1%", "--delay", "1ms")
    assert transfer(net, net.far, FAR, 4 * MEGABYTE)
    end = shape.end()
    assert end["shaped"]["in"]["pkts"] > 4 * MEGABYTE / 1500
    assert end["dropped"]["loss"]["pkts"] > 0


def test_the_stack_decides_what_it_can(net):
    joined(net).end()
    shape = bridge(net, "--filter", "icmp.Type == 8", "--drop", kernel=True)
    shape.wait_until(lambda said: True)
    assert is_silent(net, 3)
    assert transfer(net, net.far, FAR)
    assert shape.end()["dropped"]["rule"]["pkts"] == 3


@pytest.mark.parametrize("what", ["tc filter del dev m0 ingress",
                                  "tc qdisc del dev m0 clsact"])
def test_puts_its_program_back_that_was_taken_off(net, what):
    joined(net).end()
    shape = bridge(net, "--filter", "icmp", "--drop")
    assert is_silent(net)
    do(net.middle, what)
    words_of(shape, "is back")
    assert is_silent(net, 3)
    assert transfer(net, net.far, FAR, MEGABYTE)
    shape.end()
    assert traces(net) == []


@pytest.mark.parametrize("options", [[], ["--busy-poll"]])
@pytest.mark.parametrize("what,words", [("ip link delete {}", "removed"),
                                        ("ip link set {} down", "taken down")])
def test_ends_when_a_sink_is_gone(net, what, words, options):
    """Else what is sent there would end unheard."""
    shape = joined(net, *options)
    links = net.middle.run("ip", "-brief", "link").stdout.splitlines()
    sink = next(line.split()[0] for line in links if line.startswith("nspb"))
    do(net.middle, what.format(sink))
    last_words(shape, f"{sink}, where frames of an interface end, was {words}")
    assert traces(net) == []
