#!/bin/sh
# sidecarctl capture, end to end: what it saves is this machine, whole or not at all.
# Usage: capture.sh SIDECARCTL PROBE
set -eu
sidecarctl=$1
probe=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() {
	echo "$*" >&2
	exit 1
}

"$sidecarctl" capture "$scratch/machine" >"$scratch/out"
for file in MANIFEST topology.xml topology.txt cgroup.txt proc/cpuinfo proc/self/cgroup \
	sys/devices/system/cpu/online; do
	[ -s "$scratch/machine/$file" ] || fail "no $file was captured"
done
[ "$(tail -n 1 "$scratch/machine/MANIFEST")" = end ] || fail "MANIFEST is not whole"
# Memory may be hot-plugged between two looks; PUs are what plans are made of.
"$probe" topology "$scratch/machine" | grep '^pu ' >"$scratch/loaded"
grep '^pu ' "$scratch/machine/topology.txt" | cmp - "$scratch/loaded" || fail "another machine"
cmp "$scratch/machine/sys/devices/system/cpu/online" /sys/devices/system/cpu/online
find "$scratch/machine" -name 'cgroup.procs' -o -name 'cmdline' -o -name 'environ' |
	grep . && fail "a capture must not hold processes"

"$sidecarctl" capture "$scratch/machine" 2>"$scratch/err" && fail "a capture was written over"
grep -q 'is not empty' "$scratch/err" || fail "refused without its reason"
"$sidecarctl" capture "$scratch/no/such/place" 2>/dev/null && fail "captured into nowhere"
mkdir "$scratch/empty"
"$sidecarctl" capture "$scratch/empty/" >/dev/null
[ -s "$scratch/empty/MANIFEST" ] || fail "an empty directory was not used"
set -- "$scratch"/*.tmp-*
[ ! -e "$1" ] || fail "left behind: $*"
