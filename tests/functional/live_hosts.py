"""Two hosts for tests of 'nsp' on live packets, in namespaces of each test's own,
held by processes of the test alone:

    near 10.78.0.1 ---- 10.78.0.2 far

'near' is where nsp runs. Needs root, or unprivileged user namespaces.
"""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

NEAR, FAR = "10.78.0.1", "10.78.0.2"
NEAR6, FAR6 = "fd78::1", "fd78::2"
PATIENCE = 60  # Seconds until something that must happen counts as not happening.


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


def works_here(device):
    return subprocess.run([os.environ["NSP"], "doctor", "--backend", device],
                          capture_output=True, check=False).returncode == 0


# What nsp says at its end where a busy machine woke it late, and packets went on
# without it.
PASSED_BY = "a worker gave no sign of life in time"


# By these nobody ends a process on purpose.
CRASHES = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
           signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP)


# As the sanitizer writes it that knows no file to write to.
UNDEFINED = "runtime error: "


class Process(subprocess.Popen):
    """One of those that a test has started, which notes what they say, and what
    they or a command of Host.run() die of."""
    started = []
    passed_by = False
    crashes = []

    def __init__(self, command, **options):
        super().__init__(command, text=True, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, **options)
        Process.started.append(self)

    @staticmethod
    def note_end(command, status, err):
        if -status in CRASHES:
            Process.crashes.append(f"{command}: died of "
                                   f"{signal.Signals(-status).name}")
        if UNDEFINED in err:
            Process.crashes.append(err)

    def communicate(self, *arguments, **options):
        out, err = super().communicate(*arguments, **options)
        Process.passed_by |= PASSED_BY in err
        Process.note_end(self.args, self.returncode, err)
        return out, err


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
        done = subprocess.run([*self.enter, *command], capture_output=True,
                              text=True, timeout=2 * PATIENCE, check=False,
                              **options)
        Process.note_end(command, done.returncode, done.stderr)
        return done

    def start(self, *command, **options):
        return Process([*self.enter, *command], **options)

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


def assert_only_warnings(err):
    """A busy machine is late to give signs of life, and says so."""
    assert all(line.startswith(("nsp: warning: ", "hint: "))
               for line in err.splitlines())


PYTHON = "/usr/bin/python3"
PINGS = pathlib.Path(__file__).parents[2] / "tools" / "pings.py"


def ping(host, count=1, address=FAR, size=56, patience_s=PATIENCE):
    """How many of 'count' pings are answered, however late."""
    done = host.run(PYTHON, PINGS, address, str(count), "0.02", str(patience_s),
                    str(size))
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def is_silent(host, count=1, address=FAR, patience_s=1):
    """Whether none of 'count' pings is answered for a while."""
    return ping(host, count, address, patience_s=patience_s) == 0


def answers_in_time(host, address=FAR, patience_s=1):
    """Whether a ping is answered at last: a new link loses its first packets."""
    until = time.monotonic() + PATIENCE
    while is_silent(host, 1, address, patience_s):
        if time.monotonic() > until:
            return False
    return True


def is_found(host, address):
    """Whether the hardware address of a neighbour that is looked for is found."""
    until = time.monotonic() + PATIENCE
    while True:
        entry = host.run("ip", "neigh", "show", address).stdout
        if "lladdr" in entry or "FAILED" in entry:
            return "lladdr" in entry
        assert time.monotonic() < until, entry


@pytest.fixture
def straight(near):
    """The same, over IPv6, too."""
    for host, name, address in ((near, "v0", NEAR6), (near.far, "v1", FAR6)):
        done = host.run("ip", "address", "add", f"{address}/64", "dev", name,
                        "nodad")
        assert done.returncode == 0, done.stderr
    assert answers_in_time(near)
    assert answers_in_time(near, FAR6)
    yield near


def do(host, command):
    done = host.run(*command.split())
    assert done.returncode == 0, done.stderr


def join(middle, end, port, name, addresses, queues=None):
    """Links 'middle' and 'end', whose interface 'name' gets the addresses; both
    with so many queues, or one."""
    many = f"numrxqueues {queues} numtxqueues {queues}" if queues else ""
    do(middle, f"ip link add {port} {many} type veth peer name {name} {many} "
       f"netns {end.keeper.pid}")
    for command in (f"ip address add {addresses[0]}/24 dev {name}",
                    f"ip address add {addresses[1]}/64 dev {name} nodad",
                    "ip link set lo up", f"ip link set {name} up"):
        do(end, command)
    middle.run("sh", "-c",
               f"echo 1 > /proc/sys/net/ipv6/conf/{port}/disable_ipv6")
    do(middle, f"ip link set {port} up")


@pytest.fixture
def parted():
    """Two hosts that only a bridge on 'middle' can join."""
    middle = Host(unshare("--net"))
    near = Host([*middle.enter, "unshare", "--net"])
    far = Host([*middle.enter, "unshare", "--net"])
    near.middle, near.far = middle, far
    near.ports = ("p0", "p1")
    join(middle, near, "p0", "v0", (NEAR, NEAR6))
    join(middle, far, "p1", "v1", (FAR, FAR6))
    yield near
    for host in (near, far, middle):
        host.close()


def add_macvlans(parted):
    """Joins hosts by m0 and m1, which carry what p0 and p1 do, and have no XDP of
    their own."""
    for port, name in ("p0", "m0"), ("p1", "m1"):
        done = parted.middle.run("ip", "link", "add", name, "link", port,
                                 "type", "macvlan", "mode", "passthru")
        if done.returncode != 0:
            pytest.skip("no macvlan: " + done.stderr)
        do(parted.middle, f"ip link set {name} up")
    parted.ports = ("m0", "m1")


def start_pings(host, count=100, apart_s=0.01, enough=None):
    """Of which 'enough' (all) are to be answered."""
    process = host.start(PYTHON, PINGS, FAR, str(count), str(apart_s),
                         str(PATIENCE), "0", str(enough or count))
    assert process.stdout.readline() == "pinging\n", process.stderr.read()
    return process


def answered(pings):
    """How many of those begun by start_pings()."""
    out, err = pings.communicate(timeout=2 * PATIENCE)
    assert out, err
    return int(out)


def state(task):
    """A letter, behind the name in brackets."""
    return (task / "stat").read_text().rpartition(") ")[2][0]


def stop(process):
    """Returns when all threads have stopped, which takes each a turn."""
    process.send_signal(signal.SIGSTOP)
    until = time.monotonic() + PATIENCE
    tasks = pathlib.Path(f"/proc/{process.pid}/task")
    while any(state(task) != "T" for task in tasks.iterdir()):
        assert time.monotonic() < until
        time.sleep(0.001)


PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WAIT_ALL = 0x40000000  # __WALL: threads, too.


def trace(request, tid):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long] * 4
    libc.ptrace.restype = ctypes.c_long
    assert libc.ptrace(request, tid, 0, 0) == 0, os.strerror(ctypes.get_errno())


@contextlib.contextmanager
def stopped(tid):
    """One thread of a process stands still meanwhile, the others run."""
    trace(PTRACE_SEIZE, tid)
    trace(PTRACE_INTERRUPT, tid)
    os.waitpid(tid, WAIT_ALL)
    yield
    trace(PTRACE_DETACH, tid)


# More changes than the kernel keeps news of, for who does not read any.
CHANGES = "".join(f"link set lo mtu {65535 + i % 2}\n" for i in range(4000))


def lost_news(host):
    """How much the kernel has dropped for those who listen to it."""
    lines = host.run("cat", "/proc/net/netlink").stdout.splitlines()
    drops = lines[0].split().index("Drops")
    return sum(int(line.split()[drops]) for line in lines[1:])


def lose_news(host, process, change):
    """Has 'process' miss the news of what change() does to interfaces."""
    stop(process)
    done = host.run("ip", "-batch", "-", input=CHANGES)
    assert done.returncode == 0, done.stderr
    before = lost_news(host)
    assert before > 0
    change()
    assert lost_news(host) > before
    process.send_signal(signal.SIGCONT)
