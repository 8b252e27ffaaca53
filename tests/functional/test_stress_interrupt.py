#!/usr/bin/python3
"""What an interrupted 'nsp stress' claims: no more than it did. Prints TAP.

usage: test_stress_interrupt.py NSP
"""

import json
import pathlib
import signal
import subprocess
import sys

MODES = {
    "stability": ["--cycles", "1000000000"],
    "chaos": ["--workers", "2", "--ops", "1000000000"],
}


def wait_until_caught(process, number):
    """Until the process has a handler for the signal."""
    path = pathlib.Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        fields = dict(line.split(":", 1)
                      for line in path.read_text().splitlines())
        if int(fields["SigCgt"], 16) >> (number - 1) & 1:
            return
    raise SystemExit("nsp ended before it was interrupted")


def interrupt(command):
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as nsp:
        wait_until_caught(nsp, signal.SIGINT)
        nsp.send_signal(signal.SIGINT)
        return nsp.communicate()[0], nsp.returncode


def check(nsp, mode, options):
    text, status = interrupt([nsp, "stress", mode, *options, "--json"])
    report = json.loads(text)
    assert status == 1, status
    assert report["ok"] is False and report["interrupted"] is True, report
    assert report["operations"] < report["asked"], report
    assert report["failures"] == 0, report

    text, status = interrupt([nsp, "stress", mode, *options])
    assert status == 1, status
    assert "interrupted    after " in text, text


def main():
    print(f"1..{len(MODES)}")
    failed = 0
    for index, (mode, options) in enumerate(MODES.items(), 1):
        try:
            check(sys.argv[1], mode, options)
            print(f"ok {index} - {mode}")
        except AssertionError as error:
            failed += 1
            print(f"not ok {index} - {mode}\n# {error!r}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
