#!/bin/bash
# Runs every test there is and ends with one line "N passed, M failed". `tests/run.sh fast` leaves the virtual machines out and says so.
set -uo pipefail
cd "$(dirname "$0")/.."
mode=${1:-all}
passed=0
failed=0

count() { # passed, failed
	passed=$((passed + $1))
	failed=$((failed + $2))
}

step() { # what, command...
	local what=$1
	shift
	if "$@"; then
		printf 'ok      %s\n' "$what"
		count 1 0
	else
		printf 'FAILED  %s\n' "$what"
		count 0 1
	fi
}

# One build and its tests: directory, compiler, what of it to run, meson options.
build_and_test() {
	local dir=$1 compiler=$2 suites=$3
	shift 3
	rm -rf "$dir"
	if ! CC=$compiler meson setup "$dir" -Dwerror=true -Dtests=enabled "$@" >"$dir.log" 2>&1 ||
		! ninja -C "$dir" >>"$dir.log" 2>&1; then
		tail -n 60 "$dir.log"
		printf 'FAILED  build %s\n' "$dir"
		count 0 1
		return
	fi
	printf 'ok      build %s (%s %s)\n' "$dir" "$compiler" "$*"
	count 1 0
	[ "$suites" = none ] && return
	meson test -C "$dir" --no-rebuild --print-errorlogs --timeout-multiplier 4 >"$dir.log" 2>&1
	grep -E '^ *[0-9]+/[0-9]+ |^[▶]' "$dir.log" | sed 's/^/        /'
	local ok fail
	ok=$(sed -n 's/^Ok: *\([0-9]*\).*/\1/p' "$dir.log" | tail -n 1)
	fail=$(awk '/^(Fail|Timeout|Unexpected Pass):/ { n += $NF } END { print n + 0 }' "$dir.log")
	count "${ok:-0}" "${fail:-1}"
	if [ "${fail:-1}" != 0 ]; then
		sed -n '/Summary of Failures/,$p' "$dir.log"
		grep -nE 'ERROR: AddressSanitizer|runtime error|SUMMARY' "$dir/meson-logs/testlog.txt" | head -n 40
		tail -n 150 "$dir/meson-logs/testlog.txt"
	fi
}

for check in tests/check_*.sh; do
	step "$(basename "$check" .sh)" "$check"
done
build_and_test build-gcc gcc all -Db_sanitize=address,undefined
step "D-Bus noise, a bus that dies" tests/fuzz/bus.sh build-gcc
build_and_test build-clang clang none
build_and_test build-ndebug gcc none -Dbuildtype=plain -Dc_args=-O0 -Db_ndebug=true
if [ -x tests/fuzz/run.sh ]; then
	step "fuzzers" tests/fuzz/run.sh
fi
if [ "$mode" = fast ]; then
	echo "virtual machines left out"
else
	log=$(mktemp)
	tests/vm/run.sh 2>&1 | tee "$log"
	ok=$(sed -n 's/^vm .*: \([0-9]*\) passed, .*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
	fail=$(sed -n 's/^vm .*, \([0-9]*\) failed.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
	# Nothing is skipped: a machine that did not come up has no line, and that is a failure.
	[ "$(grep -c '^vm .*passed, ' "$log")" -ge 2 ] || fail=$((fail + 1))
	count "$ok" "$fail"
	rm -f "$log"
fi
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
