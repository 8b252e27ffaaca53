#!/usr/bin/python3
"""Checks the length of C functions and files.

Warns of a function above 60 lines or a file above 600; fails above 100 and
1000. Needs universal-ctags.
"""

import json
import subprocess
import sys

FUNCTION_WARN, FUNCTION_MAX = 60, 100
FILE_WARN, FILE_MAX = 600, 1000


def main():
    files = subprocess.run(["git", "ls-files", "*.c", "*.h"], check=True,
                           capture_output=True, text=True).stdout.split()
    lengths = []
    for path in files:
        with open(path) as source:
            lengths.append((sum(1 for _ in source), path, FILE_WARN, FILE_MAX))
    tags = subprocess.run(
        ["ctags", "--output-format=json", "--kinds-C=f", "--fields=+ne",
         "--language-force=C", "-f", "-", *files],
        check=True, capture_output=True, text=True).stdout
    for tag in map(json.loads, tags.splitlines()):
        if "end" in tag:
            lengths.append((tag["end"] - tag["line"] + 1,
                            f"{tag['path']}:{tag['line']}: {tag['name']}()",
                            FUNCTION_WARN, FUNCTION_MAX))
    bad = 0
    for lines, place, warn, most in sorted(lengths, reverse=True):
        if lines > most:
            print(f"error: {place}: {lines} lines, at most {most}")
            bad += 1
        elif lines > warn:
            print(f"warning: {place}: {lines} lines, aim below {warn}")
    print(f"check-sizes: {len(lengths)} files and functions, {bad} too long")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
