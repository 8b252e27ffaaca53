#!/usr/bin/python3
"""Runs transcripts: commands with the output and exit status they must have.

    $ nsp filter check tpc          a command, given to sh
    2> nsp: error: ...              a line on standard error
    {"ok":true}                     a line on standard output
    [2]                             the exit status, when it is not 0

A line that ends in ' (re)' is a regular expression; '#' begins a comment. Each
transcript runs in a folder of its own, in which a.pcap is a small capture (see
packets below), ether.pcap, sll.pcap and sll2.pcap the same behind link headers,
back.pcap one whose clock goes back, and bad.pcap none. Prints TAP, a case for
each command.

usage: run.py [--update] NSP TRANSCRIPT...
"""

import difflib
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile


def ipv4(protocol, payload, src=b"\x0a\0\0\1", dst=b"\x0a\0\0\2"):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64,
                         protocol, 0, src, dst)
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + struct.pack("!H", ~total & 0xFFFF) + header[12:] + payload


def tcp(sport, dport, flags):
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 0x50, flags, 1024, 0, 0)


def udp(sport, dport, size):
    return struct.pack("!HHHH", sport, dport, 8 + size, 0) + bytes(size)


def packets():
    """What a.pcap holds, 10 ms apart."""
    yield ipv4(6, tcp(40000, 443, 0x02))             # 1: SYN
    yield ipv4(6, tcp(443, 40000, 0x12))             # 2: SYN, ACK
    yield ipv4(17, udp(40000, 53, 32))               # 3: a DNS query's size
    yield ipv4(1, struct.pack("!BBHHH", 8, 0, 0xF7FE, 1, 0))   # 4: ping
    for _ in range(8):
        yield ipv4(17, udp(5000, 5001, 972))         # 5..12: 1000 bytes each


# By file: the link type and what stands before each IP packet. The cooked
# headers say that this machine sent it.
LINKS = {
    "ether": (1, bytes(12) + b"\x08\x00"),
    "sll": (113, struct.pack("!HHHQH", 4, 1, 6, 0, 0x0800)),
    "sll2": (276, struct.pack("!HHIHBBQ", 0x0800, 0, 2, 1, 4, 6, 0)),
}


def write_linked(path, link, header):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link))
        for index, data in enumerate(packets()):
            file.write(struct.pack("<IIII", 1000, index * 10000,
                                   len(header + data), len(header + data)) +
                       header + data)


def write_captures(folder):
    for name, (link, header) in LINKS.items():
        write_linked(folder / f"{name}.pcap", link, header)
    with open(folder / "a.pcap", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for index, data in enumerate(packets()):
            file.write(struct.pack("<IIII", 1000, index * 10000, len(data),
                                   len(data)) + data)
    with open(folder / "back.pcap", "wb") as file:  # Packets 2 and 3 too early.
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for index, data in zip((2, 1, 0, 3), packets()):
            file.write(struct.pack("<IIII", 1000, index * 10000, len(data),
                                   len(data)) + data)
    (folder / "bad.pcap").write_bytes(b"this is no capture at all\n" * 4)
    (folder / "empty.pcap").write_bytes(b"")


def cases(path):
    """Yields (line number, command, expected lines)."""
    number, command, expected = 0, None, []
    for at, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("$ "):
            if command is not None:
                yield number, command, expected
            number, command, expected = at, line[2:], []
        elif command is not None and line and not line.startswith("#"):
            expected.append(line)
    if command is not None:
        yield number, command, expected


def run(command, nsp, folder):
    environment = {"PATH": f"{nsp.parent}:{os.environ['PATH']}", "LC_ALL": "C",
                   "TERM": "xterm", "HOME": str(folder)}
    done = subprocess.run(["sh", "-c", command], cwd=folder, env=environment,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=240, check=False)
    lines = done.stdout.decode(errors="replace").splitlines()
    lines += [f"2> {line}".rstrip() for line in
              done.stderr.decode(errors="replace").splitlines()]
    if done.returncode:
        lines.append(f"[{done.returncode}]")
    # An empty line would end nothing, but could not be told from a gap.
    return [line for line in lines if line.strip()]


def fits(expected, line):
    if expected.endswith(" (re)"):
        return re.fullmatch(expected[:-5], line) is not None
    return expected == line


def agree(expected, lines):
    return (len(expected) == len(lines) and
            all(map(fits, expected, lines)))


def update(path, nsp):
    """Writes what the commands print now, keeping what still fits."""
    text, skipping = [], False
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_captures(folder)
        wanted = {number: expected for number, _, expected in cases(path)}
        for at, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("$ "):
                lines = run(line[2:], nsp, folder)
                expected = wanted[at]
                text += [line, *(expected if agree(expected, lines) else lines)]
                skipping = True
            elif not line or line.startswith("#"):
                text.append(line)
            elif not skipping:
                text.append(line)
    path.write_text("\n".join(text) + "\n")


def main():
    arguments = sys.argv[1:]
    updating = arguments[:1] == ["--update"]
    nsp, *paths = [pathlib.Path(a).resolve() for a in arguments[updating:]]
    count = failed = 0
    for path in paths:
        if updating:
            update(path, nsp)
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            write_captures(folder)
            for number, command, expected in cases(path):
                count += 1
                lines = run(command, nsp, folder)
                good = agree(expected, lines)
                failed += not good
                title = command.replace("#", "\\#")
                print(f"{'' if good else 'not '}ok {count} - "
                      f"{path.name}:{number}: {title}")
                if not good:
                    for line in difflib.unified_diff(
                            expected, lines, "expected", "printed",
                            lineterm=""):
                        print("#  " + line)
    if not updating:
        print(f"1..{count}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
