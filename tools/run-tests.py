#!/usr/bin/python3
"""Runs the tests of a build directory and counts their cases.

Meson counts programs; this counts what they hold. It reads the programs'
output as cmocka, TAP or `pytest -rA` print it; a program that prints none of
these is one case. A program that dies after its last case is one more, failed.

Ends with the skipped cases and their reasons, the unsteady ones, the end of what
programs that failed wrote, the failed cases, and the line `N passed, N failed, N
skipped`. Exit status: 0 unless a case failed, none was found, or one was skipped
that may not be (--only-skips).

A live test may take a slow machine for a wrong answer. With --unsteady N, up to N
functional programs that failed are run once more, alone; those that pass then
count as passed, and what failed before is listed as unsteady, with the end of what
it wrote. Nothing is excused where a sanitizer has reported something or a process
crashed, or where anything else failed, too.
"""

import argparse
import fnmatch
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

CMOCKA_WORDS = {"OK": "passed", "FAILED": "failed", "ERROR": "failed",
                "SKIPPED": "skipped"}
CMOCKA_CASE = re.compile(r"^\[\s+(OK|FAILED|ERROR|SKIPPED)\s+\] (?!\d+ test\(s\)|--- )(\S.*?)\s*$")
TAP_PLAN = re.compile(r"^1\.\.(\d+)(?:\s+#\s*SKIP\w*\s*(.*))?$", re.I)
TAP_CASE = re.compile(
    r"^(not )?ok\b\s*\d*\s*-?\s*(.*?)(?:\s*#\s*(SKIP|TODO)\w*\s*(.*))?$", re.I)
PYTEST_WORDS = {"PASSED": "passed", "XFAIL": "passed", "FAILED": "failed",
                "ERROR": "failed", "XPASS": "failed"}
PYTEST_CASE = re.compile(
    r"^(PASSED|FAILED|ERROR|XFAIL|XPASS) (\S+::.*?)(?: - (.*))?$")
PYTEST_SKIPS = re.compile(r"^SKIPPED \[(\d+)\] (.*?): (.*)$")
SKIP_REASON = re.compile(r"^skip: (.*)$")
# What no slow machine brings about.
REPORT = re.compile(r"(?:Address|Leak|Thread|UndefinedBehavior)Sanitizer: |"
                    r"runtime error: ")
CRASH = re.compile(r"Test failed with exception|assert -\d+ == 0|"
                   r"died (?:of|with) <?(?:Signals\.)?SIG")
GOOD = ("OK", "SKIP", "EXPECTEDFAIL")


class Case:
    def __init__(self, name, result, reason=""):
        self.name, self.result, self.reason = name, result, reason


def cmocka_cases(lines):
    """Cases by name; the list of failures at the end repeats some."""
    cases, reason = {}, ""
    for line in lines:
        said = SKIP_REASON.match(line)
        if said:
            reason = said.group(1)
        found = CMOCKA_CASE.match(line)
        if found and found.group(2) not in cases:
            cases[found.group(2)] = Case(
                found.group(2), CMOCKA_WORDS[found.group(1)], reason)
            reason = ""
    return list(cases.values())


def tap_cases(lines):
    plan = next((m for m in map(TAP_PLAN.match, lines) if m), None)
    if not plan:
        return []
    if plan.group(1) == "0":
        return [Case("", "skipped", plan.group(2) or "nothing planned")]
    cases = []
    for found in filter(None, map(TAP_CASE.match, lines)):
        failed, name, directive, reason = found.groups()
        result = "failed" if failed else "passed"
        if directive:
            result = "skipped" if directive.upper() == "SKIP" else "passed"
        cases.append(Case(name, result, reason or ""))
    for _ in range(int(plan.group(1)) - len(cases)):
        cases.append(Case("(planned, never reported)", "failed"))
    return cases


def pytest_cases(lines):
    cases = []
    for line in lines:
        found = PYTEST_CASE.match(line)
        if found:
            cases.append(Case(found.group(2), PYTEST_WORDS[found.group(1)],
                              found.group(3) or ""))
        found = PYTEST_SKIPS.match(line)
        if found:
            for _ in range(int(found.group(1))):
                cases.append(Case(found.group(2), "skipped", found.group(3)))
    return cases


def output_of(test):
    return test.get("stdout", "") + "\n" + test.get("stderr", "")


def program_of(test):
    return test["name"].split(" / ")[-1]


def cases_of(test):
    """The cases of one program, named 'program: case'."""
    lines = output_of(test).splitlines()
    program = program_of(test)
    ended = test["result"]

    cases = cmocka_cases(lines) or pytest_cases(lines) or tap_cases(lines)
    if not cases and ended == "SKIP":
        said = [m.group(1) for m in map(SKIP_REASON.match, lines) if m]
        last = next((line for line in reversed(lines) if line.strip()), "")
        cases = [Case("", "skipped", said[-1] if said else last.strip())]
    elif not cases and ended in GOOD:
        cases = [Case("", "passed")]
    if ended not in GOOD and not any(
            case.result == "failed" for case in cases):
        cases.append(Case("", "failed", "%s, exit status %s"
                          % (ended.lower(), test.get("returncode"))))
    for case in cases:
        case.name = program + (": " + case.name if case.name else "")
    return cases


class Reports:
    """What sanitizers report in any process, also where its test asks for no
    output or began anew: in files of a folder that all users may write."""

    def __init__(self, folder):
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        folder.chmod(0o1777)

    def environment(self):
        path = f"log_path={self.folder.resolve() / 'report'}"
        return {name: ":".join(filter(None, (os.environ.get(name), path)))
                for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS")}

    def texts(self):
        """But for warnings of memory that was asked for and refused."""
        texts = (path.read_text(errors="replace")
                 for path in sorted(self.folder.iterdir()))
        return [text for text in texts if REPORT.search(text)]


def run(build, arguments, processes, reports):
    """Runs meson and returns what it logged of each test."""
    log = build / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    status = subprocess.run(
        ["meson", "test", "-C", str(build), "--no-rebuild",
         "--num-processes", str(processes), "--print-errorlogs", *arguments],
        env={**os.environ, **reports.environment()}, check=False).returncode
    if not log.exists():
        sys.exit(f"run-tests: meson test ran nothing (status {status})")
    return status, [json.loads(line) for line in log.read_text().splitlines()]


def may_be_unsteady(test):
    suites = test["name"].split(" / ")[0].split(":")[-1].split("+")
    crashed = test["result"] != "TIMEOUT" and not 0 <= test["returncode"] < 128
    output = output_of(test)
    return ("functional" in suites and not crashed and
            not REPORT.search(output) and not CRASH.search(output))


def run_again(tests, limit, run_alone):
    """Runs those of 'tests' that failed once more, by run_alone(names), if all
    may be unsteady and they are not too many. Returns the tests, in which those
    that pass now have taken the place of those that failed, and these."""
    failed = [test for test in tests if test["result"] not in GOOD]
    if not 0 < len(failed) <= limit or not all(map(may_be_unsteady, failed)):
        return tests, []
    passed = {test["name"]: test
              for test in run_alone([program_of(test) for test in failed])
              if test["result"] == "OK"}
    return ([passed.get(test["name"], test) for test in tests],
            [test for test in failed if test["name"] in passed])


# Each line tells what it is: a log keeps those that begin so.
WROTE_LINES = 60
NO_NEWS = re.compile(r"\s*$|\[\s+(?:RUN|OK)\s+\] |PASSED ")


def print_wrote(test):
    lines = [line for line in output_of(test).splitlines()
             if not NO_NEWS.match(line)]
    for line in lines[-WROTE_LINES:]:
        print(f"wrote     {program_of(test)}: {line}")


def print_unsteady(test):
    for case in cases_of(test):
        if case.result == "failed":
            print(f"unsteady  {case.name}: {case.reason or 'failed at first'}")
    print_wrote(test)


def unexpected_skips(skipped, allowed):
    """Those of 'skipped' that no pattern in the file 'allowed' names."""
    if not allowed:
        return []
    lines = [line.strip() for line in allowed.read_text().splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    return [case for case in skipped
            if not any(fnmatch.fnmatch(case.name, p) for p in patterns)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default="build")
    parser.add_argument("--only-skips", type=pathlib.Path, metavar="FILE",
                        help="patterns of the cases that may be skipped, "
                        "one a line; any other skipped case is a failure")
    parser.add_argument("--unsteady", type=int, default=0, metavar="N",
                        help="how many functional programs may pass when they "
                        "are run once more, alone (0)")
    parser.add_argument("meson", nargs="*", help="arguments of meson test")
    args = parser.parse_args()

    reports = Reports(args.build / "meson-logs" / "sanitizers")
    # Live tests wait more than they work.
    status, tests = run(args.build, args.meson, 2 * (os.cpu_count() or 1),
                        reports)
    unsteady = []
    if not reports.texts():
        tests, unsteady = run_again(
            tests, args.unsteady,
            lambda names: run(args.build, [*args.meson, *names], 1, reports)[1])
    cases = [case for test in tests for case in cases_of(test)]
    count = {result: [case for case in cases if case.result == result]
             for result in ("passed", "failed", "skipped")}

    print()
    for case in count["skipped"]:
        print(f"skipped  {case.name}: {case.reason or 'no reason given'}")
    for test in unsteady:
        print_unsteady(test)
    for test in tests:
        if test["result"] not in GOOD:
            print_wrote(test)
    for case in count["failed"]:
        print(f"failed   {case.name}" +
              (f": {case.reason}" if case.reason else ""))
    print("%d passed, %d failed, %d skipped"
          % tuple(len(count[r]) for r in ("passed", "failed", "skipped")))
    bad = (count["failed"] or not count["passed"] or
           (status != 0 and not unsteady))
    for text in reports.texts():
        print("run-tests: a sanitizer reports:")
        for line in text.splitlines():
            print(f"wrote     in any process: {line}")
        bad = True
    for case in unexpected_skips(count["skipped"], args.only_skips):
        print(f"run-tests: may not be skipped here: {case.name}")
        bad = True
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
