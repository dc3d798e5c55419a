#!/bin/bash
# Every figure of the planner in one table: planner.sh BENCH_PLANNER TEST_ORACLE TEST_PLAN_RANDOM [full]. `meson test --benchmark planner --verbose` calls it.
# Without "full" the proofs run on a part of their cases (about four minutes in all); with it on all of them.
set -uo pipefail
bench=$1
oracle=$2
property=$3
size=${4:-part}
failed=0
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

if [ "$size" = full ]; then
	n_mip=1000 n_moves=300 n_planted=2000 n_transitions=1000000
else
	n_mip=150 n_moves=60 n_planted=300 n_transitions=100000
fi

say() { # what, target, median, p99, runs, remark
	printf '%-58s | %-14s | %12s | %12s | %7s | %s\n' "$@"
}

# Instructions of the planner alone; the count is the same in every run, whatever else the machine does.
count() { # PUs, workloads, changes
	valgrind --tool=callgrind --toggle-collect=scene_plan_by --callgrind-out-file="$directory/callgrind" \
		"$bench" once "$1" "$2" "$3" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

counts() {
	local whole changed
	if ! command -v valgrind >/dev/null; then
		say "instructions" "" "-" "" "" "valgrind is not installed"
		return
	fi
	for sizes in "256 100" "8192 10000"; do
		set -- $sizes
		whole=$(count "$1" "$2" 0)
		changed=$(count "$1" "$2" 10)
		say "instructions of a whole plan: $1 PUs x $2 workloads" "" "$whole" "" 1 "callgrind"
		say "instructions of a change: $1 PUs x $2 workloads" "" "$(((changed - whole) / 10))" "" 10 "callgrind, mean"
	done
}

# numad advises for the machine that it runs on, and measures for two seconds before it does.
numad_row() {
	local before after
	if ! command -v numad >/dev/null || [ "$(id -u)" != 0 ]; then
		say "  numad -w 1:64, this machine" "" "-" "" "" "numad is not installed, or we are not root"
		return
	fi
	before=$(date +%s%N)
	if timeout 60 numad -w 1:64 >"$directory/numad" 2>&1; then
		after=$(date +%s%N)
		say "  numad -w 1:64, this machine" "" "$(((after - before) / 1000)).0 us" "" 1 "one workload, node(s) $(tr -d '\n' <"$directory/numad")"
	else
		say "  numad -w 1:64, this machine" "" "-" "" 1 "failed: $(head -n 1 "$directory/numad")"
	fi
}

proof() { # what, command...
	local what=$1 r
	shift
	printf '\n%s\n' "$what"
	nice -n 5 "$@" >"$directory/proof" 2>&1
	r=$?
	# The cases one by one are for who replays them.
	grep -v '^seed ' "$directory/proof"
	if [ $r = 77 ]; then
		echo "  not run: no solver"
	elif [ $r != 0 ]; then
		echo "  TARGET MISSED; the first cases:"
		grep '^seed ' "$directory/proof" | head -n 5
		failed=1
	fi
}

"$bench" || failed=1
numad_row
counts
proof "Gap to the proven optimum, items 3, 6 and 7 ($n_mip instances; target 0 on 99 %, worst 1 %)" "$oracle" mip "$n_mip"
proof "Planted optima ($n_planted machines; target 0 %)" "$oracle" planted "$n_planted"
proof "PUs moved when one workload changes ($n_moves changes; target 1.1 times the least)" "$oracle" moves "$n_moves"
proof "Two owners, outside the allowed set, above quota ($n_transitions transitions; target 0)" "$property" "$n_transitions"
exit $failed
