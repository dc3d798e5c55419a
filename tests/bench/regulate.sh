#!/bin/bash
# What regulators cost when nothing happens: wake-ups and CPU time of the daemon with N_WORKLOADS of them, off, locked and in a loop at its default interval, on
# a tmpfs tree that stands in for cgroupfs. usage: regulate.sh SIDECARD [N_WORKLOADS [SECONDS]]
set -euo pipefail
program=$1
n=${2:-100}
seconds=${3:-20}
root=$(mktemp -d /dev/shm/sidecard-bench.XXXXXX)
daemon=
trap 'kill $daemon 2>/dev/null || true; wait; rm -rf "$root"' EXIT
group() {
	mkdir -p "$1"
	echo 'cpuset cpu' >"$1/cgroup.controllers"
	: >"$1/cgroup.subtree_control"
	: >"$1/cgroup.procs"
	printf 'populated 1\nfrozen 0\n' >"$1/cgroup.events"
	echo 'max 100000' >"$1/cpu.max"
	echo 100 >"$1/cpu.weight"
	echo >"$1/cpuset.cpus"
	echo 0-255 >"$1/cpuset.cpus.effective"
	echo 0 >"$1/cpuset.mems.effective"
	printf 'usage_usec 1000\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n' >"$1/cpu.stat"
	echo 'some avg10=0.00 avg60=0.00 avg300=0.00 total=0' | tee "$1/cpu.pressure" >"$1/io.pressure"
}
mkdir -p "$root/conf/workloads.d" "$root/conf/pools.d"
group "$root/tree"
for i in $(seq "$n"); do
	group "$root/tree/w$i"
	printf '[Match]\nCgroup=/w%d\n[CPU]\nMax=4\n' "$i" >"$root/conf/workloads.d/w$i.conf"
done
count() { awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$daemon/status"; }
ticks() { awk '{ print $14 + $15 }' "/proc/$daemon/stat"; }
for type in none staged loop; do
	printf '[Regulator]\nType=%s\nColdStart=1s\nProbe=500ms\n' "$type" >"$root/conf/pools.d/default.conf"
	rm -rf "$root/run"
	"$program" --no-bus --dry-run --log-level info --conf "$root/conf" --runtime-dir "$root/run" --cgroup-root "$root/tree" \
		--machine 'synthetic:pack:4 [numa] l3:8 core:4 pu:2' </dev/null >"$root/log" 2>&1 &
	daemon=$!
	sleep 6
	[ $type != staged ] || [ "$(grep -c 'stage steady' "$root/log")" = "$n" ] || echo "not all are locked"
	before=$(count) ticks=$(ticks)
	sleep "$seconds"
	printf '%d workloads, Type=%-6s  %6d wake-ups, %5.2f s of CPU time in %d s\n' "$n" $type $(($(count) - before)) \
		"$(echo "($(ticks) - $ticks) / $(getconf CLK_TCK)" | bc -l)" "$seconds"
	kill $daemon
	wait $daemon || true
done
