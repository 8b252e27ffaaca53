#!/usr/bin/python3
"""nsp demo runs to its end and reports what it measured.

Whether the machine is idle enough for every row to be inside what it allows is
the demo's own verdict, not this test's.

Usage: test_demo.py NSP README
"""

import json
import subprocess
import sys

PHASES = ["untouched", "20 Mbit/s", "plus 40 ms", "plus 1 % loss",
          "untouched again"]


def table_of(readme):
    """Phase and quantity of each row of the table in the README."""
    with open(readme, encoding="utf-8") as file:
        lines = file.read().splitlines()
    at = next(i for i, line in enumerate(lines) if "measured" in line)
    split = lines[at].index("measured"), lines[at].index("asked") - 3
    rows = []
    while lines[at := at + 1]:
        line = lines[at]
        rows.append([line[:split[0]].strip(),
                     line[split[0]:split[1]].strip()])
    return rows


def main():
    run = subprocess.run([sys.argv[1], "demo", "--json",
                          "--seconds-per-phase", "2"],
                         stdout=subprocess.PIPE, check=False, timeout=100)
    report = json.loads(run.stdout)
    if run.returncode == 3:
        print(report["error"])
        return 77
    assert run.returncode == (0 if report["ok"] else 1), run.returncode
    assert [phase["name"] for phase in report["phases"]] == PHASES

    for phase in report["phases"]:
        dropped = sum(phase["dropped_pkts"].values())
        assert phase["intercepted_pkts"] > phase["probes_sent"] > 0, phase
        assert phase["intercepted_pkts"] == phase["delivered_pkts"] + dropped
        assert phase["tcp_goodput_bitps"] > 0, phase
    lossy = report["phases"][3]
    # Of one in a hundred, none may be lost where a slow machine sends few.
    assert (lossy["dropped_pkts"]["loss"] > 0 or
            lossy["intercepted_pkts"] < 3000), lossy

    rows = report["rows"]
    assert len(rows) == 8, rows
    assert [[row["phase"], row["quantity"]] for row in rows] == table_of(
        sys.argv[2]), "README does not show what the demo prints"

    judged = [row for row in rows if row["judged"]]
    assert len(judged) == len(rows) - 1
    assert report["ok"] == all(row["ok"] for row in judged)
    for row in judged:
        inside = row["allowed_low"] <= row["achieved"] <= row["allowed_high"]
        assert row["ok"] == inside, row
    return 0


sys.exit(main())
