"""tools/run-tests.py counts what programs print."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "run-tests.py"
SPEC = importlib.util.spec_from_file_location("run_tests", TOOL)
run_tests = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run_tests)


def counted(stdout, result="OK", stderr=""):
    cases = run_tests.cases_of({"name": "unit / prog", "stdout": stdout,
                                "stderr": stderr, "result": result,
                                "returncode": 1})
    return [(case.name, case.result, case.reason) for case in cases]


def test_cmocka_failure_listed_twice_counts_once():
    assert counted("[==========] Running 3 test(s).\n"
                   "[ RUN      ] a\n[       OK ] a\n"
                   "[ RUN      ] b\nskip: no root\n[  SKIPPED ] b\n"
                   "[==========] 3 test(s) run.\n[  PASSED  ] 1 test(s).\n"
                   "[  SKIPPED ] 1 test(s), listed below:\n[  SKIPPED ] b\n",
                   "FAIL", "[  ERROR   ] --- 0x1 != 0x2\n"
                   "[  FAILED  ] c\n[  FAILED  ] c\n") == [
        ("prog: a", "passed", ""), ("prog: b", "skipped", "no root"),
        ("prog: c", "failed", "")]


def test_crash_after_passed_cases_is_a_failure():
    assert counted("[       OK ] a\n", "FAIL")[1:] == [
        ("prog", "failed", "fail, exit status 1")]


def test_tap_case_that_was_planned_and_never_reported_is_a_failure():
    assert [result for _, result, _ in counted(
        "1..4\nok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP no veth\n", "FAIL"
    )] == ["passed", "failed", "skipped", "failed"]


def test_pytest_summary():
    assert counted("PASSED t.py::a[x y]\nFAILED t.py::b - assert 1 == 2\n"
                   "SKIPPED [2] t.py:7: needs root\n", "FAIL") == [
        ("prog: t.py::a[x y]", "passed", ""),
        ("prog: t.py::b", "failed", "assert 1 == 2"),
        ("prog: t.py:7", "skipped", "needs root"),
        ("prog: t.py:7", "skipped", "needs root")]


@pytest.mark.parametrize("result, expected", [
    ("OK", "passed"), ("SKIP", "skipped"), ("FAIL", "failed"),
    ("TIMEOUT", "failed"), ("ERROR", "failed")])
def test_program_without_cases_is_one(result, expected):
    assert [case[1] for case in counted("hello\n", result)] == [expected]


# --- What is run once more ----------------------------------------------------

def program(name, result="FAIL", suite="functional+threads", stdout="",
            returncode=1):
    return {"name": f"netshaper:{suite} / {name}", "result": result,
            "stdout": stdout, "stderr": "", "returncode": returncode}


def run_again(tests, *results, limit=2):
    """What run_again() returns of 'tests', by name and result, and who was
    unsteady; 'results' are those of the second run."""
    asked = []

    def run_alone(names):
        asked.extend(names)
        return [program(name, result) for name, result in zip(names, results)]

    after, unsteady = run_tests.run_again(tests, limit, run_alone)
    assert len(asked) == len(results)
    return ([test["result"] for test in after],
            [run_tests.program_of(test) for test in unsteady])


def test_a_live_test_that_passes_alone_is_unsteady():
    assert run_again([program("a", "OK"), program("b"), program("c", "TIMEOUT")],
                     "OK", "OK") == (["OK", "OK", "OK"], ["b", "c"])


def test_a_live_test_that_fails_again_is_a_failure():
    assert run_again([program("a"), program("b")], "OK", "FAIL") == (
        ["OK", "FAIL"], ["a"])
    assert run_again([program("a")], "SKIP") == (["FAIL"], [])


@pytest.mark.parametrize("tests", [
    [program(name) for name in "abc"],
    [program("a"), program("b", suite="unit")],
    [program("a", suite="model+threads")],
    [program("a", stdout="WARNING: ThreadSanitizer: data race (pid=7)")],
    [program("a", stdout="==7==ERROR: AddressSanitizer: heap-use-after-free")],
    [program("a", stdout="==7==ERROR: LeakSanitizer: detected memory leaks")],
    [program("a", stdout="x.c:3:5: runtime error: signed integer overflow")],
    [program("a", stdout="Test failed with exception: Segmentation fault(11)")],
    [program("a", stdout="['nsp']: died of SIGABRT")],
    [program("a", stdout="E       assert -11 == 0")],
    [program("a", returncode=-6)], [program("a", returncode=139)],
], ids=["too many", "a unit test, too", "a model", "a race", "memory", "a leak",
        "undefined", "a fault", "a crash", "a status", "abort", "a shell's"])
def test_all_else_is_not_excused(tests):
    assert run_again(tests) == ([test["result"] for test in tests], [])


def test_nothing_is_run_again_unless_asked_for_or_where_all_is_well():
    assert run_again([program("a")], limit=0) == (["FAIL"], [])
    assert run_again([program("a", "OK")]) == (["OK"], [])


def test_what_a_sanitizer_reports_anywhere_is_found(tmp_path):
    reports = run_tests.Reports(tmp_path / "sanitizers")
    environment = reports.environment()
    assert environment["TSAN_OPTIONS"].endswith(
        f"log_path={tmp_path}/sanitizers/report")
    (tmp_path / "sanitizers" / "report.1").write_text(
        "==1==WARNING: AddressSanitizer failed to allocate 0x7f bytes\n")
    assert reports.texts() == []
    race = "WARNING: ThreadSanitizer: data race (pid=2)\n"
    (tmp_path / "sanitizers" / "report.2").write_text(race)
    assert reports.texts() == [race]


# A meson of which the first run fails and another passes; it may report.
MESON = """#!/bin/sh
echo "$*" >> $3/calls
result=OK status=0 out='PASSED t.py::live'
[ -e $3/again ] || result=FAIL status=1 out='FAILED t.py::live - late'
touch $3/again
$REPORT
cat > $3/meson-logs/testlog.json <<END
{"name": "nsp:functional / live", "stdout": "$out", "result": "$result", \\
"returncode": $status}
END
exit $status
"""


@pytest.mark.parametrize("report, options, last, unsteady, status", [
    ("", ["--unsteady", "2"], "1 passed, 0 failed, 0 skipped", True, 0),
    ("", [], "0 passed, 1 failed, 0 skipped", False, 1),
    ("report", ["--unsteady", "2"], "0 passed, 1 failed, 0 skipped", False, 1),
])
def test_the_whole_says_what_was_unsteady(tmp_path, report, options, last,
                                          unsteady, status):
    (tmp_path / "meson").write_text(MESON)
    (tmp_path / "meson").chmod(0o755)
    (tmp_path / "report").write_text(
        "#!/bin/sh\necho 'x.c:1:1: runtime error: overflow' > "
        f"{tmp_path}/meson-logs/sanitizers/report.3\n")
    (tmp_path / "report").chmod(0o755)
    done = subprocess.run(
        [sys.executable, TOOL, "--build", tmp_path, *options, "--", "--suite",
         "x"], capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}",
             "REPORT": report})
    lines = done.stdout.splitlines()
    assert done.returncode == status, done.stderr
    assert last in lines
    assert ("unsteady  live: t.py::live: late" in lines) == unsteady
    assert ("failed   live: t.py::live: late" in lines) != unsteady
    assert lines.count("wrote     live: FAILED t.py::live - late") == 1
    calls = (tmp_path / "calls").read_text().splitlines()
    if unsteady:
        assert "--num-processes 1 " in calls[1]
        assert calls[1].endswith("--suite x live")
    assert len(calls) == 1 + unsteady
