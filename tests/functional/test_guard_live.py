"""What keeps a host, and whoever sits before it, on its network while rules that
would cut them off are in force.

The network of live_hosts.py; 'near' is where nsp runs:

    near 10.78.0.1 v0 ---- v1 10.78.0.2 far
          fd78::1            fd78::2
"""

import json
import subprocess

import pytest

from live_hosts import (FAR, FAR6, NEAR, NEAR6, NEEDS_NETWORK, PATIENCE,
                        PYTHON, do, is_found, is_silent, near, ping,
                        straight)  # noqa: F401
from test_run_live import Run
from test_shape_live import NEEDS_TAP, NSP, Shape

pytestmark = NEEDS_NETWORK


def is_found_by_far(straight):
    """Whether the far host, who has forgotten it, finds our hardware address,
    while pings are not answered."""
    assert straight.far.run("ip", "neigh", "flush", "all").returncode == 0
    assert is_silent(straight.far, address=NEAR6)
    return is_found(straight.far, NEAR6)


def test_neighbours_find_a_host_that_drops_all(straight):
    shape = Shape(straight, "--drop")
    assert is_found_by_far(straight)
    assert is_silent(straight)  # All means all else.
    shape.end()


def test_neighbours_do_not_find_a_host_that_says_so(straight):
    shape = Shape(straight, "--filter", "icmpv6.Type in { 128..137 }", "--drop")
    assert not is_found_by_far(straight)
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
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.78.0.1", 68))
s.settimeout(int(sys.argv[1]))
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
def test_dhcp_passes_what_does_not_name_it(straight, options, answer):
    server = straight.far.start(PYTHON, "-c", DHCP_SERVER)
    assert server.stdout.readline() == "ready\n"
    shape = Shape(straight, *options)
    patience_s = 2 if answer == "no answer" else PATIENCE
    done = straight.run(PYTHON, "-c", DHCP_CLIENT, str(patience_s))
    assert done.stdout.strip() == answer, done.stderr
    shape.end()
    server.kill()
    server.communicate()


# --- The connection by which somebody is here -------------------------------

# Accepts a connection, as sshd does, and runs commands for whoever made it: the
# command's process is below one that holds the socket.
SHELL = """
import os, socket, subprocess, sys
server = socket.create_server((sys.argv[1], 22), family=socket.AF_INET6
                              if ":" in sys.argv[1] else socket.AF_INET)
print("ready", flush=True)
connection, peer = server.accept()
server.close()
print("here", *peer, flush=True)
os.environ["SSH_CONNECTION"] = sys.argv[2] % peer[:2]
for line in sys.stdin:
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    print(done.returncode, repr(done.stdout + done.stderr), flush=True)
"""
CLIENT = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], 22))
print(s.getsockname()[1], flush=True)
time.sleep(1000)
"""


class Login:
    """Somebody at the far host, logged in here. The environment names them as
    'environment' says."""

    def __init__(self, straight, environment="%s %s 10.78.0.1 22", at=NEAR):
        self.shell = straight.start(PYTHON, "-c", SHELL, at, environment,
                               stdin=subprocess.PIPE)
        assert self.shell.stdout.readline() == "ready\n"
        self.client = straight.far.start(PYTHON, "-c", CLIENT, at)
        self.port = int(self.client.stdout.readline())
        self.at = at
        assert self.shell.stdout.readline().startswith("here")

    def run(self, *command):
        self.shell.stdin.write(" ".join(command) + "\n")
        self.shell.stdin.flush()
        status, _, output = self.shell.stdout.readline().partition(" ")
        return int(status), eval(output)  # What repr() has printed.

    def end(self):
        for process in self.client, self.shell:
            process.kill()
            process.communicate()


@pytest.fixture
def login(straight):
    login = Login(straight)
    yield login
    login.end()


BRIEF = ["--for", "50ms", "--quiet"]


@pytest.mark.parametrize("options,way", [
    (["--drop"], "in"),
    (["--filter", "tcp", "--reject"], "in"),
    (["--filter", "'tcp.SrcPort == 22'", "--drop"], "out"),
    (["--filter", "'ifName == \"v0\" and tcp'", "--direction", "inbound",
      "--rate", "8kbit"], "in"),
    (["--filter", "'remoteAddr == 10.78.0.2'", "--loss", "60%"], "in"),
    (["--on", "input", "--delay", "30s"], "in"),
    # Of some sizes alone, in either direction.
    (["--filter", "'inbound and tcp.PayloadLength > 200'", "--drop"], "in"),
    (["--filter", "'tcp.SrcPort == 22 and tcp.PayloadLength == 0'", "--drop"],
     "out"),
    (["--filter", "'ip.Length == 1500'", "--drop"], "in"),
    (["--filter", "'ip.Length == 1488'", "--drop"], "in"),
    (["--filter", "'outbound and ip.Length > 1500'", "--drop"], "out"),
])
def test_does_not_cut_off_who_starts_it(login, options, way):
    status, output = login.run(NSP, "shape", *options)
    assert status == 1, output
    ends = f"{FAR}:{login.port}", f"{NEAR}:22"
    assert " > ".join(ends if way == "in" else ends[::-1]) in output
    assert "SSH_CONNECTION" in output and "--yes" in output
    status, output = login.run(NSP, "shape", "--yes", *BRIEF, *options)
    assert status == 0, output


# Each cuts off by an effect of its own.
EFFECTS_THAT_CUT = [
    "--loss-pattern 1", "--loss pattern:1110", "--loss consecutive:90%/90%",
    "--tcp-rst 100%", "--tcp-rst 30%", "--tamper 100%", "--cutoff 1b",
    "--throttle packets=1,per=60s", "--flap 1s/1h", "--burst 1h",
    "--out-of-order 1h", "--rate schedule=1h:1kbit",
    "--delay trace=1h/1h,step=1s", "--ack-delay 1h", "--ttl 1",
    "--window-clamp 1", "--mtu-clamp size=200,excess=drop",
]


def test_no_effect_cuts_off_who_starts_it(login):
    for effect in EFFECTS_THAT_CUT:
        command = [NSP, "shape", *BRIEF, "--on", "host", "--filter", "tcp"]
        status, output = login.run(*command, effect, "< /dev/null")
        assert status == 1 and "your own connection" in output, effect + output


@pytest.mark.parametrize("options", [
    [], ["--throttle", "1000"],
    pytest.param(["--delay", "10ms", "--loss", "1%", "--rate", "1mbit"],
                 marks=NEEDS_TAP),
    pytest.param(["--throttle", "1000", "--burst", "20ms",
                  "--out-of-order", "50ms"], marks=NEEDS_TAP),
    ["--filter", "'tcp.Syn and not tcp.Ack'", "--drop"],
    ["--filter", "'ip.Length == 999'", "--drop"],
    ["--delay", "50ms", "--direction", "inbound"], ["--loss", "5%"],
    ["--filter", "'tcp.DstPort == 23'", "--drop"],
    ["--filter", "'remoteAddr == 192.0.2.1'", "--drop"],
    ["--on", "forward", "--drop"],
    ["--filter", "'udp or icmp'", "--drop"],
])
def test_says_nothing_of_what_leaves_them_here(login, options):
    status, output = login.run(NSP, "shape", *BRIEF, *options)
    assert status == 0, output


@NEEDS_TAP
def test_knows_what_is_not_taken_at_the_loopback_interface(login, straight,
                                                           tmp_path):
    do(straight, "ip link set lo up")
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nintercept: { tap: [lo] }\n"
                    "default: { action: drop }\n")
    for command in ([NSP, "shape", "--on", "tap:lo", "--drop"],
                    [NSP, "run", "--control", "''", str(path)]):
        status, output = login.run(*command, *BRIEF)
        assert status == 0, output
    for interfaces in "tap:v0", "tap:lo,v0", "tap":
        status, output = login.run(NSP, "shape", *BRIEF, "--on", interfaces,
                                   "--drop")
        assert status == 1 and "drop your own connection" in output, output


@NEEDS_TAP
@pytest.mark.parametrize("address", ["127.0.0.5", NEAR])
def test_asks_at_the_loopback_interface_about_the_host_itself(straight,
                                                              address):
    do(straight, "ip link set lo up")
    straight.far, far = straight, straight.far
    login = Login(straight, f"%s %s {address} 22", address)
    straight.far = far
    status, output = login.run(NSP, "shape", *BRIEF, "--on", "tap:lo", "--drop")
    assert status == 1 and "drop your own connection" in output, output
    login.end()


@pytest.mark.parametrize("environment", ["", "192.0.2.9 %s 10.78.0.1 %s",
                                         "nonsense %s %s"])
def test_finds_the_connection_by_the_process_that_has_it(straight, environment):
    login = Login(straight, environment or "%.0s%.0s")
    status, output = login.run(NSP, "shape", "--drop")
    assert status == 1, output
    assert f"process {login.shell.pid}" in output
    login.end()


def test_knows_connections_of_ipv6(straight):
    login = Login(straight, f"%s %s {NEAR6} 22", NEAR6)
    status, output = login.run(NSP, "shape", "--drop")
    assert status == 1, output
    assert f"[{FAR6}]:{login.port} > [{NEAR6}]:22 (SSH_CONNECTION)" in output
    login.end()


def test_looks_above_programs_that_hide_the_environment(login):
    status, output = login.run("env", "-i", "sh", "-c", "'sleep 0; " + NSP +
                               " shape --drop; exit $?'")
    assert status == 1, output
    assert "SSH_CONNECTION" in output


POLICY_THAT_CUTS = """
version: 1
rules:
  - { name: here, match: "tcp.SrcPort == 22", log: 5, continue: true }
  - { name: web, match: "tcp.DstPort == 80" }
default: { action: drop }
"""
POLICY_THAT_DOES_NOT = POLICY_THAT_CUTS.replace(
    'log: 5, continue: true }', 'action: pass }').replace(
    "name: web, match: \"tcp.DstPort == 80\"",
    "name: in, match: \"tcp.DstPort == 22\"")


def test_a_policy_file_that_cuts_them_off_needs_a_word(login, tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY_THAT_CUTS)
    status, output = login.run(NSP, "run", "--control", "''", *BRIEF, str(path))
    assert status == 1 and "rule default would drop" in output
    status, output = login.run(NSP, "run", "--json", "--control", "''",
                               str(path))
    assert status == 1
    assert json.loads(output)["error"]["category"] == "own-session"
    path.write_text(POLICY_THAT_DOES_NOT)
    status, output = login.run(NSP, "run", "--control", "''", *BRIEF, str(path))
    assert status == 0, output


# Rules, and what each would do to the connection: to its packets that come in, or
# to those that go out alone.
CUTS = [
    ("{ match: tcp, class: slow }", "slow down to a crawl", "in"),
    ("{ match: tcp, rate: 15kbit }", "slow down to a crawl", "in"),
    ("{ match: tcp, impair: bad }", "lose much of", "in"),
    ("{ loss: { model: nth, n: 4 } }", "lose much of", "in"),
    ("{ loss: { model: gilbert-elliott, p: 40%, burst: 3 } }", "lose much of",
     "in"),
    ("{ loss: { model: gilbert-elliott, p: 30%, r: 60% } }", "lose much of",
     "in"),
    ("{ delay: 2s }", "hold for seconds", "in"),
    ("{ limit: 15kbit }", "limit to a crawl", "in"),
    ("{ limit: 4pps }", "limit to a crawl", "in"),
    ("{ direction: outbound, action: drop }", "drop", "out"),
    ("{ match: outbound, action: reject }", "reject", "out"),
    ("{ match: 'ip.Length > 1000', action: drop }", "drop", "in"),
    (", ".join(["{ loss: 20%, continue: true }"] * 2), "lose much of", "in"),
    ("{ match: 'ifName == \"v0\" and not loopback', action: drop }", "drop",
     "in"),
]
LEAVES = [
    "{ match: tcp, class: quick }",
    "{ match: tcp, impair: good }",
    "{ loss: { model: nth, n: 5 } }",
    "{ loss: { model: gilbert-elliott, p: 20%, burst: 3 } }",
    "{ loss: { model: gilbert-elliott, p: 30%, r: 95% } }",
    "{ delay: 1900ms }",
    "{ limit: 16kbit }",
    "{ limit: 5pps }",
    "{ action: drop, enabled: false }",
    "{ match: loopback, action: drop }",
    "{ loss: 10%, continue: true }, { loss: 10%, continue: true }",
]


def policy_of(rule):
    return f"""
version: 1
classes: {{ quick: {{ rate: 16kbit }}, slow: {{ rate: 15kbit }} }}
impairments: {{ good: {{ loss: 24% }}, bad: {{ loss: 25% }} }}
rules: [ {rule} ]
"""


@NEEDS_TAP
def test_knows_what_a_connection_cannot_bear(login, tmp_path):
    path = tmp_path / "policy.yaml"
    command = (NSP, "run", "--control", "''", *BRIEF, str(path))
    ends = f"{FAR}:{login.port}", f"{NEAR}:22"
    for rule, what, way in CUTS:
        path.write_text(policy_of(rule))
        status, output = login.run(*command)
        assert status == 1, rule + output
        last = rule.count("continue") or 1  # With which it is too much.
        assert f"rule rule-{last} would {what} your own" in output, rule
        assert " > ".join(ends if way == "in" else ends[::-1]) in output, rule
    for rule in LEAVES:
        path.write_text(policy_of(rule))
        status, output = login.run(*command)
        assert status == 0, rule + output


SCENARIO = """
version: 1
rules: [ { name: link, match: tcp, loss: 1%%, enabled: %s } ]
scenario:
  steps:
  - { at: 1h, rule: link, set: { loss: %s } }
  - { at: 2h, rule: link, enabled: true, set: { loss: 2%% } }
"""


def test_looks_ahead_in_a_scenario(login, straight, tmp_path):
    path = tmp_path / "policy.yaml"
    command = (NSP, "run", "--control", "''", *BRIEF, str(path))
    path.write_text(SCENARIO % ("true", "100%"))
    status, output = login.run(*command)
    assert status == 1, output
    assert "rule link would lose much of your own" in output
    for enabled, loss in ("false", "100%"), ("true", "20%"):
        path.write_text(SCENARIO % (enabled, loss))
        status, output = login.run(*command)
        assert status == 0, output
    run = Run(straight, tmp_path, SCENARIO % ("true", "20%"))
    run.path.write_text(SCENARIO % ("true", "100%"))
    status, output = login.run(NSP, "reload", "--control", str(run.socket))
    assert status == 1 and "rule link would lose much of" in output, output
    run.end()


def test_a_policy_begins_at_its_beginning(login, straight, tmp_path):
    """Though its end has been looked at."""
    run = Run(straight, tmp_path, POLICY_THAT_DOES_NOT)
    run.path.write_text("""
version: 1
rules: [ { name: echo, match: icmp } ]
scenario: { steps: [ { at: 1h, rule: echo, set: { loss: 100% } } ] }
""")
    reload = [NSP, "reload", "--control", str(run.socket)]
    assert login.run(*reload) == (0, "")
    assert ping(straight, 1) == 1
    run.end()


def on_a_terminal(login, tmp_path, answer, *command):
    """Runs a command below the login on a terminal of its own, and types
    'answer' when it asks."""
    script = tmp_path / "terminal.py"
    script.write_text("""
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
seen, told = b"", False
while True:
    try:
        data = os.read(fd, 4096)
    except OSError:
        break
    if not data:
        break
    seen += data
    if not told and (b"[y/N]" in seen or b"Enter" in seen):
        os.write(fd, sys.argv[1].encode() + b"\\n")
        told = True
print(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""")
    return login.run(PYTHON, str(script), f"'{answer}'", *command)


@pytest.mark.parametrize("answer,status", [("y", 0), ("", 1), ("n", 1)])
def test_asks_on_a_terminal(login, tmp_path, answer, status):
    got, output = on_a_terminal(login, tmp_path, answer, NSP, "shape", *BRIEF,
                                "--drop")
    assert got == status, output
    assert "would drop your own connection" in output
    assert ("nothing was started" in output) == (status == 1)


# --- Taking back ------------------------------------------------------------

DROP = """
version: 1
rules: [ { name: echoes, match: "icmp", action: drop } ]
"""
PASS = DROP.replace("action: drop", "action: pass")


def next_type(run):
    return json.loads(run.process.stdout.readline())["type"]


def test_a_start_that_nobody_confirms_ends(straight, tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(DROP)
    done = straight.run(NSP, "run", "--control", "", "--confirm", "300ms",
                        str(path))
    assert done.returncode == 1
    assert "not confirmed in time" in done.stderr
    assert ping(straight, 1) == 1


def test_a_start_that_is_confirmed_goes_on(straight, tmp_path):
    run = Run(straight, tmp_path, DROP, "--confirm", "1h")
    assert next_type(run) == "unconfirmed"
    done = run.ask("confirm")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert next_type(run) == "confirmed"
    done = run.ask("confirm")
    assert done.returncode == 1 and "nothing waits" in done.stderr
    assert is_silent(straight)
    run.end()


def test_a_reload_that_nobody_confirms_is_taken_back(straight, tmp_path):
    # Time enough for two pings and two reloads.
    run = Run(straight, tmp_path, PASS, "--confirm", "10s")
    assert next_type(run) == "unconfirmed"
    assert run.ask("confirm").returncode == 0
    assert next_type(run) == "confirmed"
    for text in DROP, DROP + "# again\n":  # The last confirmed one comes back.
        run.path.write_text(text)
        assert run.ask("reload").returncode == 0
        assert [next_type(run), next_type(run)] == ["reloaded", "unconfirmed"]
    assert is_silent(straight)
    assert next_type(run) == "rolled-back"
    assert ping(straight, 1) == 1
    assert run.ask("confirm").returncode == 1
    _, err = run.end()
    assert "the policy before is back" in err


def test_what_cannot_be_read_leaves_the_policy_waiting(straight, tmp_path):
    run = Run(straight, tmp_path, PASS, "--confirm", "1h")
    assert next_type(run) == "unconfirmed"
    run.path.write_text("rules: nonsense")
    assert run.ask("reload").returncode == 2
    assert run.ask("confirm").returncode == 0  # It still waits.
    assert next_type(run) == "confirmed"
    assert run.ask("reload").returncode == 2
    assert run.ask("confirm").returncode == 1  # And nothing else does.
    assert ping(straight, 1) == 1
    run.end()


def test_a_reload_that_is_confirmed_stays(straight, tmp_path):
    run = Run(straight, tmp_path, PASS, "--confirm", "1h")
    assert run.ask("confirm").returncode == 0
    run.path.write_text(DROP)
    assert run.ask("reload").returncode == 0
    assert run.ask("confirm").returncode == 0
    assert is_silent(straight)
    run.end()


def test_a_start_and_a_reload_that_nobody_confirms_end(straight, tmp_path):
    run = Run(straight, tmp_path, PASS, "--confirm", "10s")
    run.path.write_text(DROP)
    assert run.ask("reload").returncode == 0
    out, _ = run.process.communicate(timeout=PATIENCE)
    assert run.process.returncode == 1
    assert "not confirmed" in json.loads(out.splitlines()[-1])["error"]["message"]
    assert ping(straight, 1) == 1


def test_confirming_replaces_the_question_and_enter_confirms(login, tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY_THAT_CUTS)
    status, output = on_a_terminal(login, tmp_path, "", NSP, "run", "--control",
                                   "''", "--confirm", "1h", "--for", "10s",
                                   str(path))
    assert status == 0, output
    assert "would drop your own connection" in output
    assert "[y/N]" not in output and "confirmed" in output


# --- Reloading --------------------------------------------------------------

def test_a_reload_that_cuts_off_who_asks_needs_a_word(login, straight, tmp_path):
    run = Run(straight, tmp_path, POLICY_THAT_DOES_NOT)
    reload = [NSP, "reload", "--control", str(run.socket)]
    run.path.write_text(POLICY_THAT_CUTS)
    status, output = login.run(*reload)
    assert status == 1 and "rule default would drop" in output, output
    assert "the policy in force stays" in output and "--yes" in output
    assert f"{FAR}:{login.port} > {NEAR}:22" in output
    status, output = login.run(*reload, "--json")
    assert status == 1
    assert json.loads(output)["error"]["category"] == "own-session"
    for answer in "n", "y":
        status, output = on_a_terminal(login, tmp_path, answer, *reload)
        assert status == (0 if answer == "y" else 1), output
        assert "would drop your own connection" in output
    assert next_type(run) == "reloaded"  # Once.
    assert login.run(*reload, "--yes") == (0, "")
    assert next_type(run) == "reloaded"
    # Who is not here by a connection has none to lose.
    assert run.ask("reload").returncode == 0
    assert next_type(run) == "reloaded"
    run.end()


def test_a_reload_to_be_confirmed_only_warns(login, straight, tmp_path):
    run = Run(straight, tmp_path, POLICY_THAT_DOES_NOT, "--confirm", "1h")
    assert next_type(run) == "unconfirmed"
    run.path.write_text(POLICY_THAT_CUTS)
    assert login.run(NSP, "reload", "--control", str(run.socket)) == (0, "")
    assert [next_type(run), next_type(run)] == ["reloaded", "unconfirmed"]
    _, err = run.end()
    assert "would drop your own connection" in err


def test_shaping_that_nobody_confirms_ends(login, tmp_path):
    command = [NSP, "shape", "--quiet", "--drop", "--confirm"]
    status, output = on_a_terminal(login, tmp_path, "", *command, "1h", "--for",
                                   "1s")
    assert status == 0, output
    assert "would drop your own connection" in output
    assert "[y/N]" not in output and "Enter keeps it" in output
    terminal = tmp_path / "silent.py"
    terminal.write_text("import os, pty, sys\n"
                        "sys.exit(os.waitstatus_to_exitcode("
                        "pty.spawn(sys.argv[1:], stdin_read=lambda fd: b'')))\n")
    status, output = login.run(PYTHON, str(terminal), *command, "300ms",
                               "< /dev/null")
    assert status == 1, output
    assert "not confirmed in time" in output
    status, output = login.run(*command, "1h")
    assert status == 2 and "waits for Enter on a terminal" in output, output
