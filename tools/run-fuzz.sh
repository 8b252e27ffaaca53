#!/bin/sh
# Builds the fuzz targets with libFuzzer, ASan and UBSan, and runs each.
#
#     tools/run-fuzz.sh BUILD SECONDS
#
# New inputs stay in BUILD/found/<target>; what crashes is kept in BUILD and
# belongs in fuzz/corpus once mended.
set -eu
cd "$(dirname "$0")/.."
build=$1
seconds=$2

[ -e "$build/build.ninja" ] ||
    CC=clang-14 meson setup -Dfuzz=true -Dtests=disabled \
        -Db_sanitize=address,undefined -Db_lundef=false "$build" >/dev/null
ninja -C "$build" --quiet

passed=0
failed=0
for target in "$build"/fuzz/fuzz_*; do
    [ -f "$target" ] && [ -x "$target" ] || continue
    name=$(basename "$target" | sed 's/^fuzz_//')
    mkdir -p "$build/found/$name"
    dictionary=
    [ ! -f "fuzz/$name.dict" ] || dictionary=-dict=fuzz/$name.dict
    if "$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$build/$name-" $dictionary \
        "$build/found/$name" $(find fuzz/corpus -maxdepth 1 -name "$name") \
        >"$build/$name.log" 2>&1; then
        passed=$((passed + 1))
        echo "fuzz $name: $(sed -n 's/^stat::number_of_executed_units: *//p' \
            "$build/$name.log") runs, nothing found"
    else
        failed=$((failed + 1))
        tail -n 40 "$build/$name.log"
        echo "fuzz $name: failed"
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
