#!/bin/bash
# Throughput and tail latency of real runtimes under a tight quota: untuned (as many threads as the host has PUs), by the runtime's own rule, and with the
# variables of `sidecarctl env`. Each does one request of some 2 ms after the other, as fast as the quota lets it.
#
# The three take turns within each round, so that whatever else the machine does disturbs all alike; figures are medians over the rounds. Needs root (a cgroup
# with a quota), and takes the runtimes that are there, or those of RUNTIMES='java python'. usage: run.sh BUILD-DIRECTORY [ROUNDS [SECONDS [QUOTA-IN-PUS]]]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-build}" && pwd)
rounds=${2:-7}
seconds=${3:-3}
quota_pu=${4:-1}
quota_us=$(awk "BEGIN { print int($quota_pu * 100000) }")
work=$(mktemp -d)
group=sidecard-bench.$$
if [ "$(id -u)" != 0 ]; then
	echo "runtimes: needs root, for a cgroup with a quota"
	exit 77
fi
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
	cgroup=/sys/fs/cgroup/$group
	echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
	set_quota() { echo "$quota_us 100000" >"$cgroup/cpu.max" && echo 10000 >"$cgroup/cpu.weight"; }
elif [ -e /sys/fs/cgroup/cpu/cpu.cfs_quota_us ]; then
	cgroup=/sys/fs/cgroup/cpu/$group
	set_quota() { echo "$quota_us" >"$cgroup/cpu.cfs_quota_us" && echo 262144 >"$cgroup/cpu.shares"; }
else
	echo "runtimes: no cgroup with the cpu controller"
	exit 77
fi
trap 'rmdir "$cgroup" 2>/dev/null || true; rm -rf "$work"' EXIT

# --- the runtimes that are there, and the number of rounds that take some 2 ms on a processor of our days
runtimes=()
declare -A n_rounds=([java]=1200000 [node]=1200000 [python]=40000 [rust]=1200000 [openmp]=1200000)
if command -v javac >/dev/null; then
	javac -d "$work" "$here/Requests.java"
	runtimes+=(java)
fi
command -v node >/dev/null && runtimes+=(node)
command -v python3 >/dev/null && runtimes+=(python)
command -v rustc >/dev/null && rustc -O --edition 2021 -o "$work/rust" "$here/requests.rs" && runtimes+=(rust)
gcc -O2 -fopenmp -o "$work/openmp" "$here/openmp.c" && runtimes+=(openmp)
if [ -n "${RUNTIMES:-}" ]; then
	read -ra runtimes <<<"$RUNTIMES"
elif [ ${#runtimes[@]} -lt 3 ]; then
	echo "runtimes: only '${runtimes[*]}' here, expected three at least"
	exit 77
fi
mkdir -p "$work/conf/workloads.d"
for runtime in "${runtimes[@]}"; do
	printf '[Workload]\nPlugin=%s\n' "${runtime/java/jvm}" >"$work/conf/workloads.d/$runtime.conf"
	# It is a service of several processes.
	[ "$runtime" != python ] || printf '[Plugin]\nparallel=processes\n' >>"$work/conf/workloads.d/$runtime.conf"
done
printf '[Partition]\nHousekeeping=none\n' >"$work/conf/sidecard.conf"

# command_of RUNTIME VARIANT: fills $command.
command_of() {
	local arguments=("$seconds" "${n_rounds[$1]}")
	case $1 in
	java)
		command=(java)
		[ "$2" != untuned ] || command+=(-XX:-UseContainerSupport)
		command+=(-cp "$work" Requests "${arguments[@]}") ;;
	node) command=(node "$here/requests.js" "${arguments[@]}" "$2") ;;
	python) command=(python3 "$here/requests.py" "${arguments[@]}" "$2") ;;
	rust) command=("$work/rust" "${arguments[@]}" "$2") ;;
	openmp) command=("$work/openmp" "${arguments[@]}") ;;
	esac
}

stat() { awk -v key="$1" '$1 == key { print $2 }' "$cgroup/cpu.stat"; }

# once RUNTIME VARIANT: one line "RUNTIME VARIANT THREADS REQUESTS/S P50 P99 THROTTLED-PERMILLE" to $work/figures.
once() {
	mkdir "$cgroup"
	set_quota
	command_of "$1" "$2"
	(
		echo 0 >"$cgroup/cgroup.procs"
		if [ "$2" = sidecard ]; then
			eval "$("$build/sidecard/ctl/sidecarctl" env "$1" --shell --conf "$work/conf" --quota "$quota_pu" --plugin-dir "$build/plugins")"
			command=(taskset -c "$SIDECARD_CPUS" "${command[@]}")
		fi
		exec "${command[@]}"
	) >"$work/out" 2>"$work/err"
	sort -n "$work/out" | awk -v what="$1 $2" -v threads="$(grep -E '^[0-9]+$' "$work/err" | tail -n 1)" -v seconds="$seconds" -v periods="$(stat nr_periods)" \
		-v throttled="$(stat nr_throttled)" '{ us[NR] = $1 }
		END { if (NR < 100) exit 1
			printf "%s %d %.1f %d %d %.1f\n", what, threads, NR / seconds, us[int((NR + 1) / 2)], us[int(NR * 0.99)], periods ? throttled * 1000 / periods : 0 }' \
		>>"$work/figures"
	rmdir "$cgroup"
}

for ((round = 0; round < rounds; round++)); do
	for runtime in "${runtimes[@]}"; do
		# Each begins once a time.
		for ((turn = 0; turn < 3; turn++)); do
			variants=(untuned own sidecard)
			once "$runtime" "${variants[$(((turn + round) % 3))]}"
		done
	done
done

# --- medians, and the targets
median() { # runtime, variant, column
	awk -v a="$1" -v b="$2" -v c="$3" '$1 == a && $2 == b { print $c }' "$work/figures" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
printf 'quota %s PUs of %s, %s rounds of %s s; medians\n' "$quota_pu" "$(nproc)" "$rounds" "$seconds"
printf '%-8s %-9s %7s %10s %9s %9s %10s\n' RUNTIME VARIANT THREADS REQUESTS/S 'P50 us' 'P99 us' THROTTLED
for runtime in "${runtimes[@]}"; do
	for variant in untuned own sidecard; do
		printf '%-8s %-9s %7s %10s %9s %9s %9s%%\n' "$runtime" "$variant" "$(median "$runtime" "$variant" 3)" "$(median "$runtime" "$variant" 4)" \
			"$(median "$runtime" "$variant" 5)" "$(median "$runtime" "$variant" 6)" "$(awk "BEGIN { print $(median "$runtime" "$variant" 7) / 10 }")"
	done
done
for runtime in "${runtimes[@]}"; do
	awk -v runtime="$runtime" -v u="$(median "$runtime" untuned 4)" -v o="$(median "$runtime" own 4)" -v s="$(median "$runtime" sidecard 4)" \
		-v pu="$(median "$runtime" untuned 6)" -v po="$(median "$runtime" own 6)" -v ps="$(median "$runtime" sidecard 6)" 'BEGIN {
		printf "%-8s p99 %.1f times lower than untuned, throughput %+.1f %%; than own rule: p99 %.2f times lower, throughput %+.1f %%\n",
			runtime, pu / ps, (s / u - 1) * 100, po / ps, (s / o - 1) * 100 }'
done
