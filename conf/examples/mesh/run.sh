#!/bin/bash
# An agent and a proxy in one container with one quota. First what they would get in containers of several sizes, planned without a daemon; then for
# real on this machine, with two programs that sleep in their place. Needs no systemd and no privilege; run it under a quota, if you like:
#
#	systemd-run --scope -p CPUQuota=400% conf/examples/mesh/run.sh
#
# usage: run.sh [BUILD-DIRECTORY], where sidecard is not installed. Ends with status 1 where a sum exceeds its quota.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -gt 0 ]; then
	build=$(cd "$1" && pwd)
	export PATH=$build/sidecard:$build/sidecard/ctl:$PATH
	options=(--plugin-dir "$build/plugins")
else
	options=()
fi
work=$(mktemp -d)
pids=()
cleanup() {
	kill "${pids[@]}" 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
wrong=0

# The threads of both against what the container has, in thousandths of a PU; each has at least one.
check() { # threads of the agent, of the proxy, bandwidth
	if (($1 + $2 > 2 && ($1 + $2) * 1000 > ($3 + 999) / 1000 * 1000)); then
		echo "together they have more threads than PUs"
		wrong=1
	fi
}

# --- planned
plan() { # quota in thousandths, machine, what it is, PUs of a node
	local quota
	quota=$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))
	(
		eval "$(sidecarctl env agent --shell --conf "$here" --machine "$2" --quota "$quota" "${options[@]}")"
		agent=$SIDECARD_PARALLELISM agent_on="$SIDECARD_CPUS"
		eval "$(sidecarctl env proxy --shell --conf "$here" --machine "$2" --quota "$quota" "${options[@]}")"
		printf '%-5s  %-26s  %5s %-6s  %5s %-6s  %s\n' "$quota" "$3" "$agent" "$agent_on" "$SIDECARD_PARALLELISM" "$SIDECARD_CPUS" \
			"$SIDECARD_NODES"
		check "$agent" "$SIDECARD_PARALLELISM" "$1"
		if ((SIDECARD_PARALLELISM <= $4)) && [[ $SIDECARD_NODES == *[-,]* ]]; then
			echo "the proxy's threads fit on one node, and it has PUs of several"
			wrong=1
		fi
		exit $wrong
	) || wrong=1
}
printf 'QUOTA  MACHINE                     AGENT PUS     PROXY PUS     NODES\n'
plan 8000 'synthetic:node:1 core:8 pu:1' '8 cores' 8
plan 4000 'synthetic:node:1 core:8 pu:1' '8 cores' 8
plan 4000 'synthetic:node:1 core:4 pu:1' '4 cores' 4
plan 8000 'synthetic:node:2 core:8 pu:1' '2 nodes of 8 cores' 8
plan 8000 'synthetic:node:2 core:6 pu:1' '2 nodes of 6 cores' 6
plan 4000 'synthetic:node:2 core:4 pu:1' '2 nodes of 4 cores' 4
plan 4000 'synthetic:node:2 core:2 pu:2' '2 nodes of 2 cores, 4 PUs' 4
plan 2500 'synthetic:node:2 core:4 pu:1' '2 nodes of 4 cores' 4
plan 1500 'synthetic:node:1 core:8 pu:1' '8 cores' 8
plan 500 'synthetic:node:1 core:8 pu:1' '8 cores' 8

# --- for real: programs are told apart by the file that they run
mkdir -p "$work/conf/workloads.d" "$work/bin"
cp "$here/sidecard.conf" "$work/conf"
for name in agent proxy; do
	sed "s,^Executable=/usr/local/bin,Executable=$work/bin," "$here/workloads.d/$name.conf" >"$work/conf/workloads.d/$name.conf"
done
for program in pilot-agent envoy; do
	cp "$(command -v sleep)" "$work/bin/$program"
	"$work/bin/$program" 1000 &
	pids+=($!)
done
sidecard --no-bus --conf "$work/conf" --runtime-dir "$work/run" --log-level err "${options[@]}" </dev/null &
pids+=($!)
value() { sed -n "s/^SIDECARD_$2=//p" "$work/run/env/$1.env" 2>/dev/null | tr -d '"'; }
allowed() { sed -n 's/^Cpus_allowed_list:\t//p' "/proc/$1/status"; }
placed() {
	[ "$(allowed "${pids[0]}")" = "$(value agent CPUS)" ] && [ "$(allowed "${pids[1]}")" = "$(value proxy CPUS)" ]
}
for _ in $(seq 150); do
	placed && break
	sleep 0.2
done
printf '\nOn this machine:\n'
sidecarctl list --runtime-dir "$work/run" || true
printf 'the agent may run on PUs %s, the proxy on PUs %s\n' "$(allowed "${pids[0]}")" "$(allowed "${pids[1]}")"
placed || {
	echo "a program is not where it was placed"
	wrong=1
}
quota=$(value proxy QUOTA_MCPU)
[ "$quota" != max ] || quota=$(($(nproc) * 1000))
check "$(value agent PARALLELISM)" "$(value proxy PARALLELISM)" "$quota"
exit $wrong
