#!/bin/bash
# Runs each fuzzer for FUZZ_SECONDS (20 by default) from its corpus, with address and undefined behaviour checks. What it finds is left in build-fuzz/.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=build-fuzz
if [ ! -f $build/build.ninja ]; then
	CC=clang meson setup $build -Dfuzz=true -Dtests=enabled -Db_sanitize=address,undefined -Db_lundef=false \
		-Dc_args=-fsanitize=fuzzer-no-link >$build.log 2>&1 || { tail -n 20 $build.log; exit 1; }
fi
ninja -C $build $(cd tests/fuzz && printf 'tests/fuzz/%s ' fuzz_*.c | sed 's/\.c//g') \
	$(cd plugins && printf 'plugins/%s ' *.c | sed 's/\.c/.so/g') >$build.log 2>&1 || { tail -n 40 $build.log; exit 1; }
for source in tests/fuzz/fuzz_*.c; do
	name=$(basename "$source" .c)
	mkdir -p "$build/found-$name"
	corpus=()
	[ -d "tests/fuzz/corpus/${name#fuzz_}" ] && corpus=("tests/fuzz/corpus/${name#fuzz_}")
	if ! "$build/tests/fuzz/$name" -max_total_time="${FUZZ_SECONDS:-20}" -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
		-artifact_prefix="$build/$name-" "$build/found-$name" "${corpus[@]}" >"$build/$name.log" 2>&1; then
		tail -n 60 "$build/$name.log"
		exit 1
	fi
	printf '        %s: %s executions\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.log")"
done
