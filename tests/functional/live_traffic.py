"""Traffic between the hosts of live_hosts.py: programs that send and hear it, each
the text of a script, and what is asked of them.
"""

from live_hosts import FAR, PATIENCE, PYTHON  # noqa: F401


def rtt_ms(host):
    """The mean of five: a packet that came while a worker had read the clock and
    waited for a processor waits less."""
    done = host.run("ping", "-n", "-q", "-c", "5", "-i", "0.05", FAR)
    return float(done.stdout.split("= ")[1].split("/")[1])


# --- TCP -----------------------------------------------------------------------

# Sends 'bytes' of a pattern over TCP and has the far end's digest of it.
TCP_SERVER = """
import hashlib, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.create_server((sys.argv[1], 5000), family=family)
print("ready", flush=True)
c, _ = s.accept()
digest, n = hashlib.sha256(), 0
while data := c.recv(1 << 20):
    digest.update(data)
c.sendall(digest.digest())
c.close()
"""
TCP_CLIENT = f"""
import hashlib, random, socket, sys
data = random.Random(7).randbytes(int(sys.argv[2]))
s = socket.create_connection((sys.argv[1], 5000), {PATIENCE})
s.sendall(data)
s.shutdown(socket.SHUT_WR)
answer = b""
while part := s.recv(32):
    answer += part
print(answer == hashlib.sha256(data).digest())
"""
MEGABYTE = 1 << 20


def transfer(client, server, address, count=16 * MEGABYTE):
    """Whether bytes sent over TCP are those that arrive."""
    listener = server.start(PYTHON, "-c", TCP_SERVER, address)
    assert listener.stdout.readline() == "ready\n"
    done = client.run(PYTHON, "-c", TCP_CLIENT, address, str(count))
    listener.kill()
    listener.communicate()
    return done.stdout == "True\n"


# ETHTOOL_STSO, _SGSO, _SGRO and _STXCSUM by SIOCETHTOOL.
OFFLOADS_OFF = """
import array, fcntl, socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for command in (0x1F, 0x24, 0x2C, 0x17):
    value = array.array("B", struct.pack("II", command, 0))
    fcntl.ioctl(s, 0x8946, struct.pack("16sQ8x", sys.argv[1].encode(),
                                       value.buffer_info()[0]))
"""

CONNECT = f"""
import socket, sys
try:
    socket.create_connection((sys.argv[1], 5555), {PATIENCE})
except OSError as e:
    print(type(e).__name__)
"""

CONNECTIONS = 2000
MANY = f"""
import resource, selectors, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
n = {CONNECTIONS}
if sys.argv[1] == "server":
    s = socket.create_server((sys.argv[2], 5000), backlog=n)
    print("ready", flush=True)
    all_ = [s.accept()[0] for _ in range(n)]
    for c in all_:
        c.sendall(c.recv(100)[::-1])
    for c in all_:
        c.recv(1)  # Until the other side has closed.
else:
    all_ = [socket.create_connection((sys.argv[2], 5000), {PATIENCE})
            for _ in range(n)]
    for i, c in enumerate(all_):
        c.sendall(b"%08d" % i)
    print(sum(c.recv(100)[::-1] == b"%08d" % i for i, c in enumerate(all_)))
"""

# --- UDP -----------------------------------------------------------------------

UDP_ECHO = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 5001))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data, peer)
"""
# Datagrams of one flow, one after the other.
UDP_ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 6002))
s.settimeout(float(sys.argv[3]))
ok = 0
for _ in range(int(sys.argv[2])):
    s.sendto(b"asked", (sys.argv[1], 5001))
    try:
        ok += s.recv(2000) == b"asked"
    except TimeoutError:
        pass
print(ok)
"""


def ask(host, to, count=1, patience_s=0.2):
    """How many of so many datagrams UDP_ECHO answers, each before the next."""
    done = host.run(PYTHON, "-c", UDP_ASK, to, str(count), str(patience_s))
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


# With destination options in front of the datagrams where asked.
UDP_CLIENT = f"""
import random, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.settimeout({PATIENCE})
if sys.argv[2] == "options":
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS,
                 bytes([0, 0, 1, 4, 0, 0, 0, 0]))
ok = 0
for size in (0, 1, 512, 1452, 1472, 1473, 3000, 20000, 60000):
    data = random.Random(size).randbytes(size)
    s.sendto(data, (sys.argv[1], 5001))
    ok += s.recv(65536) == data
print(ok)
"""

# A batch of datagrams in one superpacket (UDP_SEGMENT).
UDP_SEGMENTS = f"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout({PATIENCE})
s.setsockopt(socket.IPPROTO_UDP, 103, 1000)
data = b"".join(bytes([i]) * 1000 for i in range(30))
s.sendto(data, (sys.argv[1], 5001))
print(sorted(s.recv(65536) for _ in range(30)) == [bytes([i]) * 1000
                                                   for i in range(30)])
"""
