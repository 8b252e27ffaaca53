"""A worker that a busy machine wakes late is passed by, as documented, and what it
did not see it neither counts nor changes. A test that fails where nsp told of that
says nothing, and is begun anew, unless a process crashed."""

import signal
import subprocess

from _pytest.runner import runtestprotocol

from live_hosts import PATIENCE, Process

ATTEMPTS = 8


def end_all():
    """What a test that failed has left running, or has not heard out."""
    for process in Process.started:
        if process.poll() is None:
            process.terminate()
            process.send_signal(signal.SIGCONT)
        try:
            process.communicate(timeout=PATIENCE)
        except (subprocess.TimeoutExpired, ValueError):  # Ended, if the latter.
            process.kill()


def attempt(item, nextitem):
    """Returns the reports, and whether they say something."""
    Process.started.clear()
    Process.crashes.clear()
    Process.passed_by = False
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if not any(report.failed for report in reports):
        return reports, True
    end_all()
    print("\n".join(Process.crashes))
    return reports, bool(Process.crashes) or not Process.passed_by


def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid,
                                       location=item.location)
    for left in reversed(range(ATTEMPTS)):
        reports, telling = attempt(item, nextitem)
        if telling or left == 0:
            break
        print(f"{item.nodeid}: packets were passed by; begun anew")
        item._initrequest()
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid,
                                        location=item.location)
    return True
