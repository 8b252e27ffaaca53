#!/bin/bash
# Builds the fuzz targets with libFuzzer, ASan and UBSan, and runs each, as many
# at a time as there are processors.
#
#     tools/run-fuzz.sh BUILD SECONDS|same|build
#
# For SECONDS each it looks for what is new. With 'same' it tries the same inputs
# on any machine and at any time, some 10 s each. With 'build' it only builds them.
#
# New inputs stay in BUILD/found/<target>; what crashes is kept in BUILD and
# belongs in fuzz/corpus once mended.
set -eu
cd "$(dirname "$0")/.."
build=$1
what=$2

[ -e "$build/build.ninja" ] ||
    CC=clang-14 meson setup -Dfuzz=true -Dtests=disabled \
        -Db_sanitize=address,undefined -Db_lundef=false "$build" >/dev/null
ninja -C "$build" --quiet
[ "$what" != build ] || exit 0

# Of one seed libFuzzer always makes the same, as long as it begins with the same
# inputs in the same order and is not told what is compared with what: with
# addresses, too.
declare -A same_runs=(
    [dist_file]=450000 [filter]=24000 [flow_table]=3700 [pcapfile]=17000
    [pkt_parse]=1400000 [policy_file]=15000 [profile]=90000 [set_file]=550000
    [trace_file]=620000 [units]=1500000
)
same_inputs() {
    find "fuzz/corpus/$1" -type f | LC_ALL=C sort | paste -sd ,
}

# tell NAME STATUS: what its log has from the first report on, without bytes of
# shadow and statistics, and the input that it kept, if that is not large. Each line
# tells what it is: a log keeps those that begin so.
tell() {
    local name=$1 log=$build/$1.log report input
    report=$(sed -nE '/: broken: |runtime error: |ERROR: |Sanitizer/,$p' "$log" |
        sed '/^Shadow bytes around/,/ABORTING$/d; /^stat::/d')
    [ -n "$report" ] || report=$(tail -n 40 "$log")
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    {
        head -n 100 <<<"$report"
        if [ -f "$input" ] && [ "$(stat -c %s "$input")" -lt 8192 ]; then
            echo "$input in base64: $(base64 -w 0 "$input")"
        fi
    } | sed "s/^/wrote     fuzz $name: /"
    echo "failed   fuzz $name: exit status $2${input:+, $input}"
}

# fuzz TARGET: leaves BUILD/<name>.passed where nothing was found.
fuzz() {
    local target=$1 name dictionary status=0
    name=${target##*/fuzz_}
    dictionary=fuzz/$name.dict
    if [ "$what" = same ]; then
        # A machine that takes half a minute for a second tries fewer.
        set -- -runs="${same_runs[$name]}" -max_total_time=300 -seed=1 \
            -use_cmp=0 -seed_inputs="$(same_inputs "$name")"
    else
        mkdir -p "$build/found/$name"
        set -- -max_total_time="$what" "$build/found/$name" "fuzz/corpus/$name"
    fi
    [ ! -f "$dictionary" ] || set -- -dict="$dictionary" "$@"
    # The time-out is of the wall clock: what takes a second alone may take many
    # beside others, what never ends takes all.
    "$target" -timeout=60 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$build/$name-" "$@" >"$build/$name.log" 2>&1 ||
        status=$?
    if [ "$status" -eq 0 ]; then
        touch "$build/$name.passed"
        echo "fuzz $name: $(sed -n 's/^stat::number_of_executed_units: *//p' \
            "$build/$name.log") runs, nothing found"
    else
        tell "$name" "$status"
    fi
}

rm -f "$build"/*.passed
count=0
for target in "$build"/fuzz/fuzz_*; do
    [ -f "$target" ] && [ -x "$target" ] || continue
    count=$((count + 1))
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
        wait -n || true
    done
    fuzz "$target" &
done
wait
passed=$(find "$build" -maxdepth 1 -name '*.passed' | wc -l)
echo "$passed passed, $((count - passed)) failed, 0 skipped"
[ "$passed" -eq "$count" ] && [ "$count" -gt 0 ]
