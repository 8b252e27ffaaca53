"""'nsp exec': commands behind a simulated network, as root and as an ordinary
user. Each runs in a network of its own, which has nothing but loopback.
"""

import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

import pytest

from live_hosts import NEEDS_NETWORK, PATIENCE

# What is begun without a terminal ignores it, and no shell begun by that can trap
# it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

NOBODY = 65534
NSP = os.environ["NSP"]

pytestmark = NEEDS_NETWORK

# Connects to a server of its own three times; prints the fastest in ns.
CONNECT = """
import socket, sys, threading, time
server = socket.create_server((sys.argv[1], 0), family=socket.AF_INET6
                              if ":" in sys.argv[1] else socket.AF_INET)
took = []
for _ in range(3):
    began = time.monotonic_ns()
    socket.create_connection(server.getsockname()[:2]).close()
    took.append(time.monotonic_ns() - began)
print(min(took))
"""

# One UDP datagram there, two back; prints what came where.
EXCHANGE = """
import socket
a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
for end in (a, b):
    end.bind(("127.0.0.1", 0))
    end.settimeout(60)
a.sendto(b"there", b.getsockname())
print(b.recv(100))
for _ in range(2):
    b.sendto(b"back", a.getsockname())
    print(a.recv(100))
"""


@pytest.fixture(scope="module")
def place():
    """A folder that anyone may read, with a copy of nsp."""
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o755)
    shutil.copy(NSP, folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["root", "nobody"])
def nsp(request, place):
    """The command line of 'nsp exec', as one of these users."""
    if request.param == "nobody" and os.geteuid() == 0:
        user = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY),
                "--clear-groups"]
        done = subprocess.run([*user, "unshare", "--user", "--net", "true"],
                              capture_output=True, check=False)
        if done.returncode != 0:
            pytest.skip("no user namespaces for ordinary users")
        return [*user, place + "/nsp", "exec"]
    return [NSP, "exec"]


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True,
                          timeout=PATIENCE, check=False, **options)


def python(program, *words):
    return [sys.executable, "-c", program, *words]


def report_of(done):
    """The counters, on standard error."""
    report = json.loads(done.stderr.splitlines()[-1])
    for part in (report, *report["rules"]):
        dropped = part["dropped"]
        for unit in ("pkts", "bytes"):
            lost = (dropped[unit] if unit in dropped else
                    sum(reason[unit] for reason in dropped.values()))
            assert part["in"][unit] == (part["delivered"][unit] + lost +
                                        part["queued"][unit])
    return report


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_delays_each_way_of_a_round_trip(nsp, address):
    done = run([*nsp, "--json", "--delay", "50ms", "--",
                *python(CONNECT, address)])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 100_000_000
    report = report_of(done)
    assert report["exit_status"] == 0 and report["queued"]["pkts"] == 0


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_delays_what_a_server_started_inside_answers(nsp):
    script = ("%s -m http.server --bind 127.0.0.1 8000 >/dev/null 2>&1 & "
              "curl --silent --retry 100 --retry-connrefused --retry-delay 1 "
              "--output /dev/null --write-out '%%{http_code} %%{time_connect}' "
              "http://127.0.0.1:8000/; kill $!") % sys.executable
    done = run([*nsp, "--quiet", "--delay", "50ms", "--", "sh", "-c", script],
               cwd="/")
    code, seconds = done.stdout.split()
    assert code == "200" and float(seconds) >= 0.1


def test_tells_requests_from_replies(nsp):
    done = run([*nsp, "--json", "--", *python(EXCHANGE)])
    assert done.returncode == 0, done.stderr
    requests, replies = report_of(done)["rules"]
    assert requests["name"] == "requests" and requests["in"]["pkts"] == 1
    assert replies["name"] == "replies" and replies["in"]["pkts"] == 2


def test_shapes_what_the_filter_matches_and_no_more(nsp):
    done = run([*nsp, "--json", "--drop", "--filter", "tcp", "--",
                *python(EXCHANGE)])
    assert done.returncode == 0, done.stderr
    assert report_of(done)["dropped"]["rule"]["pkts"] == 0

    done = run([*nsp, "--json", "--drop", "--",
                *python(EXCHANGE.replace("settimeout(60)", "settimeout(1)"))])
    assert done.returncode == 1 and "timed out" in done.stderr
    assert report_of(done)["dropped"]["rule"]["pkts"] == 1


def test_has_packets_of_an_ordinary_link(nsp):
    program = """
import socket, threading
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
threading.Thread(target=client.sendall, args=(bytes(150000),)).start()
left = 150000
while left > 0:
    left -= len(peer.recv(left))
"""
    done = run([*nsp, "--json", "--rate", "100mbit", "--", *python(program)])
    assert done.returncode == 0, done.stderr
    requests = report_of(done)["rules"][0]["in"]
    assert requests["pkts"] > 100
    assert requests["bytes"] / requests["pkts"] <= 1500


def test_gives_the_exit_status_of_the_command(nsp):
    for status in (0, 1, 42, 255):
        done = run([*nsp, "--quiet", "--", "sh", "-c", f"exit {status}"])
        assert (done.returncode, done.stderr) == (status, "")
    done = run([*nsp, "--quiet", "--", "sh", "-c", "kill -KILL $$"])
    assert done.returncode == -signal.SIGKILL


def test_tells_commands_that_cannot_be_executed(nsp):
    done = run([*nsp, "--", "no-such-command"],
               env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 127
    assert done.stderr.startswith(
        "nsp: error: no-such-command: No such file or directory\nhint: ")
    done = run([*nsp, "--", "/etc/passwd"])
    assert done.returncode == 126 and "Permission denied" in done.stderr


def test_fails_with_a_status_of_its_own_before_the_command_runs(nsp):
    for words, text in (
            (["--delay", "5", "--", "echo", "ran"], "needs a unit"),
            (["--filter", "tcp.Foo", "--", "echo", "ran"], "tcp.Foo"),
            (["--queue", "5ms", "--", "echo", "ran"], "'queue' needs 'rate'"),
            (["--report", "/no/such/file", "--", "echo", "ran"],
             "/no/such/file"),
            ([], "no command to execute"),
            (["--no-such-option"], "--no-such-option")):
        done = run([*nsp, *words])
        assert (done.returncode, done.stdout) == (125, ""), done
        assert text in done.stderr


def test_leaves_the_options_of_the_command_alone(nsp):
    done = run([*nsp, "--quiet", "printf", "%s.", "--json", "--delay", "x"])
    assert (done.returncode, done.stdout) == (0, "--json.--delay.x.")


def test_passes_streams_and_their_ends_through(nsp):
    done = run([*nsp, "--quiet", "--", "cat"], input="in and out")
    assert done.stdout == "in and out"
    # SIGPIPE ends the command as it does outside.
    script = '"$@" | head -n 1; echo "${PIPESTATUS[0]}"'
    done = run(["bash", "-c", script, "bash", *nsp, "--quiet", "--", "yes"])
    assert done.stdout == "y\n141\n"


def test_writes_the_counters_where_it_is_told(nsp):
    reader, writer = os.pipe()
    if "setpriv" in nsp:
        os.fchown(writer, NOBODY, NOBODY)
    done = run([*nsp, "--quiet", "--report", f"/dev/fd/{writer}", "--",
                *python(EXCHANGE)], pass_fds=[writer])
    os.close(writer)
    with os.fdopen(reader) as text:
        report = json.load(text)
    assert (done.returncode, done.stderr) == (0, "")
    assert report["in"]["pkts"] == 3
    assert report["command"] == python(EXCHANGE)


def test_gives_an_ordinary_user_no_right_over_the_network(nsp):
    script = "id -u; grep CapEff /proc/self/status"
    done = run([*nsp, "--quiet", "--", "sh", "-c", script])
    user, capabilities = done.stdout.splitlines()
    if "setpriv" in nsp:
        assert user == str(NOBODY)
        assert int(capabilities.split()[1], 16) == 0
    else:
        assert user == str(os.geteuid())


class Started:
    """A command that says when it runs."""

    def __init__(self, nsp, script, **options):
        self.process = subprocess.Popen(
            [*nsp, "--quiet", "--", "bash", "-c", script],
            stdout=subprocess.PIPE, text=True, **options)
        self.pid = int(self.process.stdout.readline())

    def rest(self):
        try:
            return self.process.communicate(timeout=PATIENCE)[0]
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            raise


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT,
                                    signal.SIGHUP, signal.SIGUSR1])
def test_passes_signals_on(nsp, number):
    name = number.name[3:]
    started = Started(nsp, f"trap 'echo {name}; exit 7' {name}; echo $$; "
                           "while :; do sleep 0.01; done")
    started.process.send_signal(number)
    assert started.rest() == f"{name}\n"
    assert started.process.returncode == 7


def test_ends_like_a_command_that_a_signal_ends(nsp):
    started = Started(nsp, "echo $$; exec sleep 1000")
    started.process.terminate()
    started.rest()
    assert started.process.returncode == -signal.SIGTERM


def test_takes_the_command_with_it_when_killed(nsp):
    started = Started(nsp, "echo $$; exec sleep 1000")
    started.process.kill()
    # The command holds the pipe, so this ends when both have ended.
    assert started.rest() == ""


def test_leaves_processes_that_the_command_leaves(nsp):
    started = Started(nsp, "sleep 1000 > /dev/null & echo $!; exit 5")
    assert started.rest() == ""
    assert started.process.returncode == 5
    os.kill(started.pid, signal.SIGKILL)  # Fails if it is gone.


def test_has_one_signal_from_the_terminal_reach_the_command_once(nsp):
    script = ("trap 'echo -n X' INT; trap 'exit 3' TERM; echo ready; "
              "while :; do sleep 0.01; done")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(nsp[0], [*nsp, "--quiet", "--", "bash", "-c", script])
    seen = b""
    while b"ready" not in seen:
        seen += os.read(terminal, 100)
    # nsp looks at its own signal when the command is done with it already.
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    os.write(terminal, b"\x03")
    while b"X" not in seen:
        seen += os.read(terminal, 100)
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGCONT)
    try:
        while True:
            seen += os.read(terminal, 100)
    except OSError:  # Everyone has left the terminal.
        pass
    assert seen.count(b"X") == 1
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


TUN = "/dev/net/tun"


def with_tun(nsp, place, mode):
    """The command 'nsp' where the tun device has this mode; on some machines
    ordinary users may not open it."""
    if os.geteuid() != 0:
        if mode != 0o666 or not os.access(TUN, os.R_OK | os.W_OK):
            pytest.skip(f"only root can set the mode of {TUN}")
        return nsp
    node = f"{place}/tun{mode:o}"
    if not os.path.exists(node):
        os.mknod(node, stat.S_IFCHR, os.makedev(10, 200))
        os.chmod(node, mode)
    return ["unshare", "--mount", "sh", "-c",
            f'mount --bind "$0" {TUN} && exec "$@"', node, *nsp]


def test_tells_how_to_get_outside(nsp, place):
    nsp = [shutil.which(nsp[0]), *nsp[1:]]
    done = run([*nsp, "--outside", "--", "/bin/echo", "ran"],
               env={"PATH": place})
    assert (done.returncode, done.stdout) == (125, "")
    assert "'pasta', which is not installed" in done.stderr
    assert "hint: install it" in done.stderr


def failing_pasta(place):
    """One that has told its number when it fails."""
    folder = place + "/failing"
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/pasta", "w", encoding="ascii") as pasta:
        pasta.write("#!/bin/sh\n"
                    "while [ \"$1\" != --pid ]; do shift; done\n"
                    "echo $$ > \"$2\"; echo 'no route' >&2; exit 1\n")
    os.chmod(folder + "/pasta", 0o755)
    return {"PATH": folder + ":" + os.environ["PATH"]}


def test_shows_why_pasta_failed(nsp, place):
    done = run([*with_tun(nsp, place, 0o666), "--outside", "--", "echo", "ran"],
               env=failing_pasta(place))
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("no route\nnsp: error: --outside: ")


def test_tells_an_ordinary_user_to_have_the_tun_device_opened(nsp, place):
    done = run([*with_tun(nsp, place, 0o600), "--outside", "--", "echo", "ran"],
               env=failing_pasta(place))
    assert (done.returncode, done.stdout) == (125, "")
    if "setpriv" in nsp:
        assert f"needs {TUN}, which this user may not open" in done.stderr
        assert f"chmod 666 {TUN}" in done.stderr
    else:
        assert done.stderr.startswith("no route\n")


@pytest.mark.skipif(not shutil.which("pasta"), reason="no pasta")
def test_reaches_outside_through_pasta(nsp, place):
    done = run([*with_tun(nsp, place, 0o666), "--quiet", "--outside", "--",
                "cat", "/proc/net/route"])
    assert done.returncode == 0, done.stderr
    assert " 00000000 " in done.stdout.replace("\t", " ")
