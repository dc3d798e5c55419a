#!/usr/bin/env bash
# The example of the mesh as it is installed, under real quotas: an agent and a proxy in one cgroup, with a sidecard of their own beside them.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"

example=/usr/share/doc/sidecard/examples/mesh/run.sh
# The container has 8 PUs, of nodes 0 and 1: quota in per cent, threads of the agent and of the proxy.
shares() {
	awk '/^WORKLOAD/ { all = "" } $1 == "agent" || $1 == "proxy" { all = all " " $(NF - (/cpu.max of/ ? 3 : 1)) } END { print substr(all, 2) }' /run/mesh.out
}
for row in '800 2 6' '400 1 3' '250 1 2' '50 1 1'; do
	read -r percent agent proxy <<<"$row"
	ok "the example runs under a quota of $percent %" systemd-run --quiet --scope -p "CPUQuota=$percent%" -- bash -c "exec taskset -c 0-7 $example >/run/mesh.out 2>&1"
	is "the agent has $agent and the proxy $proxy" "$(shares)" "$agent $proxy"
	[ "$(shares)" = "$agent $proxy" ] || diag "$(cat /run/mesh.out)"
done
diag "$(tail -n 6 /run/mesh.out)"
