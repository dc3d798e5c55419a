#!/usr/bin/env bash
# timeout: 600
# Agent and proxy as two processes of one cgroup with a quota of 4 PUs: their numbers sum to 4 at most, their masks are disjoint.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=SCRIPTDIR/workloads.sh
. "$(dirname "$0")/workloads.sh"

unit_file pod.service <<'E2'
[Service]
CPUQuota=400%
ExecStart=/bin/bash -c 'sleep 100001 & sleep 100002 & wait'
E2
conf_file workloads.d/pod-agent.conf <<'E2'
[Workload]
Role=control-plane
[Match]
Unit=pod.service
CommandLine=sleep 100001
[CPU]
Min=1
Max=1
E2
conf_file workloads.d/pod-proxy.conf <<'E2'
[Workload]
Role=data-plane
[Match]
Unit=pod.service
CommandLine=sleep 100002
[CPU]
Min=2
Max=6
Exclusive=yes
[NUMA]
Policy=prefer
E2
systemctl daemon-reload
ok "sidecard starts" start_sidecard
ok "the pod starts" systemctl start pod.service
agent=
proxy=
found() {
	agent=$(pgrep -f '^sleep 100001$') && proxy=$(pgrep -f '^sleep 100002$')
}
eventually 30 "both processes run" found
found
are_disjoint() {
	cpus_disjoint "$(cpus_of "$agent")" "$(cpus_of "$proxy")"
}
own() {
	[[ "$(cpus_of "$proxy")" == "$(env_of pod-proxy CPUS)" && "$(cpus_of "$agent")" == "$(env_of pod-agent CPUS)" ]]
}
eventually 60 "each has the mask that was published" own
ok "their masks are disjoint" are_disjoint
diag "agent $(cpus_of "$agent") proxy $(cpus_of "$proxy")"
sum_is_at_most() {
	local a b
	a=$(env_of pod-agent PARALLELISM)
	b=$(env_of pod-proxy PARALLELISM)
	echo "$a + $b"
	((a + b <= $1 && a >= 1 && b >= 1))
}
eventually 60 "the numbers sum to at most 4" sum_is_at_most 4
is "the proxy has what the agent left" "$(env_of pod-proxy PARALLELISM)" 3
ok "the quota becomes 2 PUs" systemctl set-property --runtime pod.service CPUQuota=200%
eventually 60 "the numbers sum to at most 2" sum_is_at_most 2
ok "the masks are still disjoint" are_disjoint

# The processes end and come back with other numbers.
ok "the pod starts anew" systemctl restart pod.service
eventually 60 "both processes run again" found
found
eventually 90 "each has its mask again" own
