#!/usr/bin/env bash
# timeout: 900
# PUs come and go under load, units stop, restart and vanish while a plan is applied, systemd reloads in between: what holds afterwards is the plan.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=SCRIPTDIR/workloads.sh
. "$(dirname "$0")/workloads.sh"

agent_and_proxy_units
agent_and_proxy_conf
ok "sidecard starts" start_sidecard
ok "agent and proxy start" systemctl start agent.service proxy.service
# The kernel's own answer is what was published.
holds() {
	local proxy published
	proxy=$(pid_of_unit proxy)
	published=$(env_of proxy CPUS)
	echo "published $published, has $(cpus_of "$proxy")"
	[[ -n "$published" && "$(cpus_of "$proxy")" == "$published" ]] &&
		cpus_subset "$published" "$(</sys/devices/system/cpu/online)"
}
eventually 60 "the plan holds" holds
cpus=$(env_of proxy CPUS)
first=${cpus%%[-,]*}
start_workload_unit load -- bash -c 'while :; do :; done'
ok "a PU of the proxy goes offline" offline_cpu "$((first + 1))"
eventually 90 "the plan holds without it" holds
moved() { cpus_disjoint "$(env_of proxy CPUS)" "$((first + 1))"; }
eventually 90 "the proxy has other PUs" moved
is "still 4 of them" "$(list_count "$(env_of proxy CPUS)")" 4
ok "it comes back" online_cpu "$((first + 1))"
eventually 90 "the plan holds with it" holds
cpus=$(env_of proxy CPUS)
node=$(nodes_of_cpus "$cpus" | awk '{ print $1 }')
for i in 0 1 2 3; do
	((node * 4 + i == 0)) || offline_cpu "$((node * 4 + i))" || true
done
diag "node $node went: online $(</sys/devices/system/cpu/online)"
eventually 120 "the plan holds after a node lost its PUs" holds
for i in 0 1 2 3; do
	((node * 4 + i == 0)) || online_cpu "$((node * 4 + i))" || true
done
eventually 120 "the plan holds when they are back" holds

# --- units and systemd itself, while plans are being applied
for i in 1 2 3; do
	systemctl restart --no-block proxy.service
	systemctl kill -s HUP sidecard
	systemctl daemon-reload
	systemctl restart --no-block agent.service
done
eventually 120 "the plan holds after restarts and daemon-reloads" holds
ok "the proxy stops" systemctl stop proxy.service
ok "sidecard stays up" systemctl is-active sidecard
ok "the proxy starts" systemctl start proxy.service
eventually 120 "the plan holds for the new process" holds
ok "daemon-reexec" systemctl daemon-reexec
eventually 120 "the plan holds after daemon-reexec" holds
# Somebody else writes.
ok "somebody sets the proxy's AllowedCPUs" systemctl set-property --runtime proxy.service AllowedCPUs=0-15
eventually 120 "the plan is put back" holds
