#!/usr/bin/python3
"""Checks that nsp-effects(7) has a section with a good example for each effect.

Effects are the keys of impairments, and 'rate'; an example is a block of rules.

usage: check-effect-examples.py NSP MANUAL
"""

import json
import pathlib
import re
import subprocess
import sys


def effects(nsp):
    """The keys of impairments, each by one of its names."""
    schema = json.loads(subprocess.run([nsp, "policy", "schema"], check=True,
                                       capture_output=True).stdout)
    top = schema["allOf"][0]["properties"]["impairments"]["allOf"][0]
    keys = top["additionalProperties"]["properties"]
    by_text = {}
    for name, key in keys.items():  # Other names come after the key.
        by_text.setdefault(key["description"], name)
    return set(by_text.values()) - {"profile"} | {"rate"}


def check(nsp, title, block):
    text = "version: 1\nrules:\n" + block
    done = subprocess.run([nsp, "check", "-"], input=text, text=True,
                          capture_output=True, check=False)
    if done.returncode:
        print(f"{title}: {done.stderr}")
    return done.returncode == 0


def main(nsp, manual):
    text = pathlib.Path(manual).read_text()
    sections = dict(re.findall(r"^##? (.+)\n((?:(?!^#).*\n)*)", text, re.M))
    good = True
    count = 0
    for title, body in sections.items():
        for block in re.findall(r"^```\n(.*?)^```$", body, re.M | re.S):
            good &= check(nsp, title, block)
            count += 1
    for effect in sorted(effects(nsp)):
        if "```" not in sections.get(effect, ""):
            print(f"{effect}: no section with an example")
            good = False
    print(f"{count} examples")
    return not good or count < 15


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
