"""tools/run-tests.py counts what programs print."""

import importlib.util
import pathlib

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
                   "FAIL", "[  FAILED  ] c\n[  FAILED  ] c\n") == [
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
        ("prog: t.py::a[x y]", "passed", ""), ("prog: t.py::b", "failed", ""),
        ("prog: t.py:7", "skipped", "needs root"),
        ("prog: t.py:7", "skipped", "needs root")]


@pytest.mark.parametrize("result, expected", [
    ("OK", "passed"), ("SKIP", "skipped"), ("FAIL", "failed"),
    ("TIMEOUT", "failed"), ("ERROR", "failed")])
def test_program_without_cases_is_one(result, expected):
    assert [case[1] for case in counted("hello\n", result)] == [expected]
