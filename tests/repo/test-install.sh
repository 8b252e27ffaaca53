#!/bin/sh
# Installs into an empty directory, checks what is there, and builds a program
# against it with what pkg-config says: shared, static, and as C++.
#
#     test-install.sh BUILD-DIRECTORY PREFIX CONSUMER.c
set -eu
build=$1
prefix=$2
consumer=$3

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
meson install -C "$build" --no-rebuild --quiet --destdir "$root" >/dev/null

fail() {
    echo "not ok - $*"
    exit 1
}

lib=$(dirname "$(find "$root" -name libnetshaper.a)")
[ -L "$lib/libnetshaper.so.0" ] || fail "libnetshaper.so.0 is not installed"
[ -x "$root$prefix/bin/nsp" ] || fail "nsp is not installed"
"$root$prefix/bin/nsp" version >/dev/null || fail "the installed nsp runs"
for header in "$(dirname "$consumer")"/../../include/netshaper/*.h; do
    [ -f "$root$prefix/include/netshaper/$(basename "$header")" ] ||
        fail "$(basename "$header") is not installed"
done
[ -n "$(find "$root" -name nsp.8)" ] || ! command -v scdoc >/dev/null ||
    fail "nsp.8 is not installed"

export PKG_CONFIG_SYSROOT_DIR="$root"
export PKG_CONFIG_PATH="$lib/pkgconfig"
flags="-Wall -Wextra -Werror -pedantic $(pkg-config --cflags netshaper)"

# runs PROGRAM, built from the consumer with the rest of the arguments.
runs() {
    program=$root/$1
    shift
    "$@" -o "$program" || fail "$(basename "$program") does not link"
    LD_LIBRARY_PATH="$lib" "$program" || fail "$(basename "$program") fails"
    echo "ok - $(basename "$program")"
}
echo 1..3
runs shared "${CC:-cc}" $flags -std=c11 "$consumer" \
    $(pkg-config --libs netshaper)
runs as-cplusplus "${CXX:-c++}" $flags -std=c++11 -xc++ "$consumer" -xnone \
    $(pkg-config --libs netshaper)
runs static "${CC:-cc}" $flags -std=c11 "$consumer" \
    $(pkg-config --static --libs netshaper | sed 's|-lnetshaper|-l:libnetshaper.a|')
! ldd "$root/static" | grep -q libnetshaper || fail "static is not static"
