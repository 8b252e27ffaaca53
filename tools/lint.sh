#!/bin/bash
# Static checks of the source. BUILD is a configured build directory.
#
#     tools/lint.sh BUILD
#
# Prints what each check says and ends with `N passed, N failed, N skipped`.
set -u
cd "$(dirname "$0")/.." || exit
build=${1:-build}
passed=0
failed=0

# check NAME COMMAND...
check() {
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "lint: $name failed" >&2
    fi
}

format() {
    git ls-files -z '*.c' '*.h' | xargs -0 -P "$(nproc)" -n 16 \
        clang-format-14 --dry-run -Werror && return
    echo "not laid out as .clang-format says (make format)"
    return 1
}

# Sources of the library and of nsp that the build knows.
sources() {
    python3 -c '
import json, os, sys
top = os.getcwd() + "/"
for entry in json.load(open(sys.argv[1])):
    path = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
    if path.startswith(top):
        path = path[len(top):]
        if path.split("/")[0] in ("src", "lab", "config", "verify", "cli"):
            print(path)
' "$build/compile_commands.json" | sort -u
}

tidy() {
    sources | xargs -P "$(nproc)" -n 4 clang-tidy-14 --quiet -p "$build" 2>&1 |
        sed -E '/warnings? (generated|treated)|^Suppressed|^Use -header/d'
    return "${PIPESTATUS[1]}"
}

bugs() {
    sources | xargs cppcheck --quiet --std=c11 \
        --enable=warning,performance,portability --inline-suppr \
        --suppressions-list=tools/cppcheck-suppressions.txt \
        --error-exitcode=1 -j "$(nproc)" -Iinclude -Isrc -I. -D__linux__
}

check format format
check layers tools/check-layers.py
check sizes tools/check-sizes.py
check headers tools/check-headers.sh
check clang-tidy tidy
check cppcheck bugs
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
