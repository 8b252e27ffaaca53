#!/bin/sh
# Checks that every header compiles alone: public ones as C11 and as C++11
# without extensions, with no include path but their own; the library's as C11.
set -eu
cd "$(dirname "$0")/.."
bad=0
count=0

# alone HEADER COMPILER...
alone() {
    header=$1
    shift
    count=$((count + 1))
    printf '#include "%s"\nextern int nsp_a_declaration;\n' "$header" |
        "$@" -Wall -Wextra -Werror -Wundef -fsyntax-only - || {
        echo "check-headers: $header: not alone with $*"
        bad=$((bad + 1))
    }
}

for path in include/netshaper/*.h; do
    header=${path#include/}
    alone "$header" "${CC:-cc}" -std=c11 -pedantic -xc -Iinclude
    alone "$header" "${CXX:-c++}" -std=c++11 -pedantic -xc++ -Iinclude
done
for path in $(find src lab config verify cli -name '*.h' | sort); do
    alone "${path#src/}" "${CC:-cc}" -std=c11 -D_POSIX_C_SOURCE=200809L \
        -Wno-unused-function -xc -Iinclude -Isrc -I.
done
echo "check-headers: $count compilations, $bad failed"
[ "$bad" -eq 0 ]
