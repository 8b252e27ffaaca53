#!/bin/bash
# Builds the fuzz targets with libFuzzer, ASan and UBSan, and runs each, as many
# at a time as there are processors.
#
#     tools/run-fuzz.sh BUILD SECONDS [LIBFUZZER_OPTION...]
#
# With 0 SECONDS it only builds them.
#
# New inputs stay in BUILD/found/<target>; what crashes is kept in BUILD and
# belongs in fuzz/corpus once mended.
set -eu
cd "$(dirname "$0")/.."
build=$1
seconds=$2
shift 2
options=("$@")

[ -e "$build/build.ninja" ] ||
    CC=clang-14 meson setup -Dfuzz=true -Dtests=disabled \
        -Db_sanitize=address,undefined -Db_lundef=false "$build" >/dev/null
ninja -C "$build" --quiet
[ "$seconds" -gt 0 ] || exit 0

# fuzz TARGET: leaves BUILD/<name>.passed where nothing was found.
fuzz() {
    local target=$1 name dictionary=
    name=${target##*/fuzz_}
    mkdir -p "$build/found/$name"
    [ ! -f "fuzz/$name.dict" ] || dictionary=-dict=fuzz/$name.dict
    # The time-out is of the wall clock: what takes a second alone may take many
    # beside others, what never ends takes all.
    # shellcheck disable=SC2046,SC2086 # Words that may be missing.
    if "$target" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 \
        "${options[@]}" \
        -print_final_stats=1 -artifact_prefix="$build/$name-" $dictionary \
        "$build/found/$name" $(find fuzz/corpus -maxdepth 1 -name "$name") \
        >"$build/$name.log" 2>&1; then
        touch "$build/$name.passed"
        echo "fuzz $name: $(sed -n 's/^stat::number_of_executed_units: *//p' \
            "$build/$name.log") runs, nothing found"
    else
        tail -n 40 "$build/$name.log"
        echo "fuzz $name: failed"
    fi
}

rm -f "$build"/*.passed
count=0
for target in "$build"/fuzz/fuzz_*; do
    [ -f "$target" ] && [ -x "$target" ] || continue
    count=$((count + 1))
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
        wait -n
    done
    fuzz "$target" &
done
wait
passed=$(find "$build" -maxdepth 1 -name '*.passed' | wc -l)
echo "$passed passed, $((count - passed)) failed, 0 skipped"
[ "$passed" -eq "$count" ] && [ "$count" -gt 0 ]
