#!/usr/bin/python3
"""Checks that the filters which the manuals show compile.

They are the first column of each manual's first block of examples and of those
behind a heading EXAMPLES, and the last column of tables headed 'Wanted | Filter'.

usage: check-filter-examples.py NSP MANUAL...
"""

import pathlib
import re
import subprocess
import sys


def blocks(text):
    """Yields the lines of the blocks that hold examples."""
    first, examples = True, False
    for part in re.split(r"^(```\n.*?^```$)", text, flags=re.M | re.S):
        if not part.startswith("```\n"):
            examples = examples or "# EXAMPLES" in part
        elif first or examples:
            yield from part.splitlines()[1:-1]
            first = False


def table(text):
    """Yields the filters of tables for those who look for one."""
    inside = False
    for line in text.splitlines():
        inside = line == "| Wanted | Filter |" or (inside and line[:1] == "|")
        found = re.fullmatch(r"\|.*\| `(.*)` \|", line)
        if inside and found:
            yield found[1].replace("\\|", "|")


def filters(path):
    text = path.read_text()
    for line in blocks(text):
        if line.strip() and not line.startswith(("nsp ", " ")):
            yield re.split(r"\s{2,}", line.strip())[0]
    yield from table(text)


def main(nsp, *paths):
    found = [f for path in paths for f in filters(pathlib.Path(path))]
    done = subprocess.run([nsp, "filter", "check", "--file", "-"],
                          input="".join(f + "\n" for f in found), text=True,
                          capture_output=True, check=False)
    print(f"{len(found)} filters")
    print(done.stderr, end="")
    return done.returncode or len(found) < 50


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
