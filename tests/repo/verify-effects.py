#!/usr/bin/python3
"""Checks that 'nsp verify' passes each example of nsp-effects(7) and, with
--profiles, each profile: that the engine does what they say.

usage: verify-effects.py [--profiles] [--packets N] NSP MANUAL
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile


def verify(name, command):
    """Returns what failed, as lines to print, and what passed, as effects."""
    done = subprocess.run([*command, "--json"], stdout=subprocess.PIPE,
                          check=False)
    report = json.loads(done.stdout)
    checks = [check for rule in report.get("rules", ())
              for check in rule["checks"]]
    failed = [f"{name}: {check['effect']}, {check['quantity']}: "
              f"{check['achieved']}, not {check['allowed']}"
              for check in checks if check["result"] == "fail"]
    failed += [f"{name}: {check['note']}" for check in checks
               if check["effect"] == "rule"]  # Of which nothing was tested.
    if done.returncode != 0 and not failed:
        failed = [f"{name}: {report.get('error', done.returncode)}"]
    return failed, [check["effect"] for check in checks
                    if check["result"] == "pass"]


def examples(manual):
    """Pairs of a section and a policy of its examples."""
    text = pathlib.Path(manual).read_text(encoding="utf-8")
    for title, body in re.findall(r"^##? (.+)\n((?:(?!^#).*\n)*)", text, re.M):
        for block in re.findall(r"^```\n(.*?)^```$", body, re.M | re.S):
            yield title, "version: 1\nrules:\n" + block


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--profiles", action="store_true")
    parser.add_argument("--packets", default="5000")
    parser.add_argument("nsp")
    parser.add_argument("manual")
    args = parser.parse_args()
    base = [args.nsp, "verify", "--packets", args.packets]
    failed, passed = [], []
    with tempfile.TemporaryDirectory() as folder:
        policy = pathlib.Path(folder) / "policy.yaml"
        for title, text in examples(args.manual):
            policy.write_text(text, encoding="utf-8")
            wrong, right = verify(title, [*base, str(policy)])
            failed, passed = failed + wrong, passed + right
            if set(right) <= {"packets"}:
                failed.append(f"{title}: nothing was tested")
    if args.profiles:
        listed = subprocess.run([args.nsp, "profile", "list", "--json"],
                                check=True, stdout=subprocess.PIPE)
        for name in (profile["name"] for profile in json.loads(listed.stdout)):
            wrong, right = verify(name, [*base, "--profile", name])
            failed, passed = failed + wrong, passed + right
    print(*failed, sep="\n")
    print(f"{len(passed)} checks passed, {len(failed)} failed")
    return bool(failed) or len(passed) < 100


if __name__ == "__main__":
    sys.exit(main())
