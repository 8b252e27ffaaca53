#!/usr/bin/python3
"""Checks that a shared library exports what the public headers declare, no
more and no less.

    tools/check-symbols.py libnetshaper.so
"""

import pathlib
import re
import subprocess
import sys

DECLARED = re.compile(r"\bNSP_API\b[^;]*?\b(nsp_\w+)\s*\(")
SONAME = "libnetshaper.so.0"
VERSION_NODE = "NETSHAPER_0"


def declared_in(folder):
    """Names declared with NSP_API, comments and macro definitions aside."""
    names = set()
    for header in folder.glob("*.h"):
        text = re.sub(r"/\*.*?\*/", " ", header.read_text(), flags=re.S)
        text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
        names.update(DECLARED.findall(text))
    return names


def exported_by(library):
    """Dynamic symbols as {name: version node}."""
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True,
                         capture_output=True, text=True).stdout
    symbols = {}
    for line in out.splitlines():
        name, _, version = line.split()[-1].partition("@@")
        if name != version and line.split()[-2] != "A":
            symbols[name] = version
    return symbols


def soname_of(library):
    out = subprocess.run(["readelf", "-d", library], check=True,
                         capture_output=True, text=True).stdout
    found = re.search(r"SONAME.*\[(.*)\]", out)
    return found.group(1) if found else "none"


def main():
    library = sys.argv[1]
    top = pathlib.Path(__file__).resolve().parents[1]
    declared = declared_in(top / "include" / "netshaper")
    exported = exported_by(library)
    wrong = [f"{n}: declared with NSP_API, not exported"
             for n in sorted(declared - set(exported))]
    wrong += [f"{n}: exported, in no public header"
              for n in sorted(set(exported) - declared)]
    wrong += [f"{n}: version {v or 'none'}, not {VERSION_NODE}"
              for n, v in sorted(exported.items()) if v != VERSION_NODE]
    if soname_of(library) != SONAME:
        wrong.append(f"soname is {soname_of(library)}, not {SONAME}")
    for line in wrong:
        print(line)
    print(f"check-symbols: {len(declared)} declared, {len(exported)} exported, "
          f"{len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
