#!/bin/bash
# The whole proof that plans are as good as they can be: tests/oracle/run.sh [BUILD]. About twenty minutes; `meson test --suite oracle` runs a part of it in two.
set -uo pipefail
cd "$(dirname "$0")/../.."
build=${1:-build}
[ -f "$build/build.ninja" ] || meson setup "$build" >/dev/null || exit 1
ninja -C "$build" tests/oracle/test_oracle tests/property/test_plan_random >/dev/null || exit 1
failed=0
prove() {
	printf '== %s\n' "$*"
	nice -n 5 "$build/tests/$@" || failed=1
}
prove oracle/test_oracle mip 1000
prove oracle/test_oracle mip 100 1 glpsol
prove oracle/test_oracle planted 2000
prove oracle/test_oracle moves 300
prove property/test_plan_random 1000000
exit $failed
