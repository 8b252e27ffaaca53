"""Two hosts for tests of 'nsp' on live packets, in namespaces of each test's own,
held by processes of the test alone:

    near 10.78.0.1 ---- 10.78.0.2 far

'near' is where nsp runs. Needs root, or unprivileged user namespaces.
"""

import os
import shutil
import subprocess
import time

import pytest

NEAR, FAR = "10.78.0.1", "10.78.0.2"
PATIENCE = 20  # Seconds until something that must happen counts as not happening.


def unshare(*flags):
    root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *root, *flags]


def can_unshare():
    if not shutil.which("unshare") or not shutil.which("ip"):
        return False
    return subprocess.run([*unshare("--net"), "ip", "link", "set", "lo", "up"],
                          capture_output=True, check=False).returncode == 0


NEEDS_NETWORK = pytest.mark.skipif(
    not can_unshare(), reason="neither root nor unprivileged user namespaces")


class Host:
    """A network namespace, kept by a process that waits in it."""

    def __init__(self, command):
        self.keeper = subprocess.Popen(
            [*command, "sh", "-c", "echo up; exec sleep 1000"],
            stdout=subprocess.PIPE, text=True)
        assert self.keeper.stdout.readline() == "up\n"
        self.enter = ["nsenter", "--target", str(self.keeper.pid), "--net"]
        if os.geteuid() != 0:
            self.enter += ["--user", "--preserve-credentials"]

    def run(self, *command, **options):
        return subprocess.run([*self.enter, *command], capture_output=True,
                              text=True, timeout=PATIENCE, check=False,
                              **options)

    def start(self, *command, **options):
        return subprocess.Popen([*self.enter, *command], text=True,
                                stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **options)

    def close(self):
        self.keeper.kill()
        self.keeper.wait()


@pytest.fixture
def near():
    host = Host(unshare("--net"))
    far = Host([*host.enter, "unshare", "--net"])
    for command in (
            f"ip link add v0 type veth peer name v1 netns {far.keeper.pid}",
            "ip link set lo up", "ip link set v0 up",
            f"ip address add {NEAR}/24 dev v0"):
        done = host.run(*command.split())
        assert done.returncode == 0, done.stderr
    for command in ("ip link set lo up", "ip link set v1 up",
                    f"ip address add {FAR}/24 dev v1"):
        done = far.run(*command.split())
        assert done.returncode == 0, done.stderr
    host.far = far
    yield host
    far.close()
    host.close()


def ping(host, count=1):
    """How many of 'count' pings are answered."""
    done = host.run("ping", "-n", "-q", "-c", str(count), "-i", "0.05", "-W",
                    "1", FAR)
    return int(done.stdout.split(" received")[0].split()[-1])


def answers_in_time(host):
    """Whether a ping is answered at last: a new link loses its first packets."""
    until = time.monotonic() + PATIENCE
    while ping(host) == 0:
        if time.monotonic() > until:
            return False
    return True
