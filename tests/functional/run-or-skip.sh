#!/bin/sh
# Runs a command whose exit status 3 says "not possible here": a skipped test.
"$@"
status=$?
[ $status -eq 3 ] && exit 77
exit $status
