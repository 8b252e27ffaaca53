#!/bin/sh
# Installs what is missing of packaging/debian-packages.txt.
#
#     tools/setup.sh SECTION...       e.g. tools/setup.sh build check
#
# Silent when everything is there. Without root or sudo it prints the command to
# run and exits with 0: what is there may be enough, and the build says what is
# not.
set -eu

list=$(dirname "$0")/../packaging/debian-packages.txt

packages_of() {
    awk -v wanted=" $* " \
        '!/^#/ && index(wanted, " " $1 " ") { print $2 }' "$list"
}

# Names the packages among its arguments that are not installed.
missing_of() {
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" \
        2>/dev/null | awk '$1 == "installed" { print $2 }') || true
    for package in "$@"; do
        case "
$installed
" in
        *"
$package
"*) ;;
        *) echo "$package" ;;
        esac
    done
}

# True when apt's package lists were never fetched or are older than a day.
lists_stale() {
    [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' \
        -mtime -1 2>/dev/null | head -n 1)" ]
}

[ $# -gt 0 ] || set -- build check
if ! command -v dpkg-query >/dev/null; then
    echo "setup: no dpkg here; the build needs what $list names" >&2
    exit 0
fi

missing=$(missing_of $(packages_of "$@"))
[ -n "$missing" ] || exit 0

echo "setup: installing" $missing
if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root=sudo
else
    echo "setup: needs root; going on without. To install, run as root:" >&2
    echo "    apt-get update && apt-get install -y" $missing >&2
    exit 0
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
    "$@" </dev/null >"$log" 2>&1 && return
    cat "$log" >&2
    echo "setup: '$*' failed; is the package archive reachable?" >&2
    exit 1
}
if lists_stale; then
    quietly $as_root apt-get -q update
fi
quietly $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
    -o DPkg::Lock::Timeout=120 install --no-install-recommends $missing
