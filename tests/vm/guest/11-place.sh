#!/usr/bin/env bash
# timeout: 600
# Control plane and data plane under one slice with a quota: each real process has its own PUs, node and number, and
# everybody is told of a change. The main job.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=SCRIPTDIR/workloads.sh
. "$(dirname "$0")/workloads.sh"

agent_and_proxy_units
agent_and_proxy_conf
ok "sidecard starts" start_sidecard
ok "both are placed" sidecarctl status
ok "the number is there before the process" test -s $run/env/proxy.env
ok "agent and proxy start" systemctl start agent.service proxy.service
agent=$(pid_of_unit agent)
proxy=$(pid_of_unit proxy)
eventually 30 "the proxy has said what it saw" test -s /run/proxy.saw
eventually 30 "the agent has said what it saw" test -s /run/agent.saw

cpus=$(env_of proxy CPUS)
diag "proxy: PUs $cpus; agent: PUs $(env_of agent CPUS)"
is "the proxy has 4 PUs" "$(list_count "$cpus")" 4
is "on one node" "$(nodes_of_cpus "$cpus" | wc -w)" 1
is "in whole cores" "$(env_of proxy N_CORE)" 2
is "the proxy's process saw them" "$(saw proxy CPUS)" "$cpus"
is "it saw its number" "$(saw proxy PARALLELISM)" 4
eventually 60 "it may run on them alone" prints "$cpus" cpus_of "$proxy"
is "it began on them" "$(sed -n 's/^Cpus_allowed_list:\t//p' /run/proxy.saw)" "$cpus"
is "the agent saw its number" "$(saw agent PARALLELISM)" 1
eventually 60 "the agent is off the proxy's PUs" cpus_disjoint "$(cpus_of "$agent")" "$cpus"
node=$(nodes_of_cpus "$cpus")
near() {
	local all there
	there=$(numa_pages_on "$proxy" "$node")
	((there >= 1000))
}
eventually 60 "the proxy's pages lie on its node" near
diag "pages: $(numa_pages "$proxy" | paste -sd';')"
is "it may allocate there alone" "$(mems_of "$proxy")" "$node"
eventually 60 "nobody of system.slice runs on the proxy's PUs" children_off system.slice "$cpus"
eventually 60 "nor init.scope" children_off init.scope "$cpus"
is "the bus says the same" "$(bus_get proxy CPUs)" "$cpus"
is "the socket says the same" "$(get proxy cpus)" "$cpus"

# A service that starts later is kept off too.
start_workload_unit later
eventually 60 "a service that starts later is off them too" cpus_disjoint "$(cpus_of "$(pid_of_unit wl-later)")" "$cpus"

# --- a quota changes: everybody carries the same new generation
coproc watcher { exec sidecarctl watch proxy --json; }
read -r -t 60 first <&"${watcher[0]}" || true
before=$(env_of proxy GENERATION)
ok "a program compiled against the library reads its page" observe page proxy
is "the page says the same as the file" "$(page_of proxy GENERATION)" "$before"
ok "we listen on the bus" listen_on_bus /run/monitor.json io.sidecard1
ok "the slice's quota becomes 150%" systemctl set-property --runtime proxy.slice CPUQuota=150%
changed() {
	[[ "$(env_of proxy GENERATION)" != "$before" && "$(env_of proxy QUOTA_MCPU)" == 1500 ]]
}
eventually 60 "the env file has a new generation" changed
generation=$(env_of proxy GENERATION)
is "the number follows" "$(env_of proxy PARALLELISM)" 1
is "the reason is the slice's" "$(env_of proxy LIMITED_BY)" "cpu.max of /proxy.slice"
is "the page carries the same generation" "$(page_of proxy GENERATION)" "$generation"
is "and the same number" "$(page_of proxy PARALLELISM)" 1
is "and the same quota" "$(page_of proxy QUOTA_MCPU)" 1500
is "the bus carries the same generation" "$(bus_get proxy Generation)" "$generation"
is "the socket too" "$(get proxy generation)" "$generation"
read -r -t 60 line <&"${watcher[0]}" || line=
is "the watcher was told the same generation" "$(jq -r '.generation' <<<"$line")" "$generation"
is "and that its PUs did not move" "$(jq -r '.changed[0].cpus' <<<"$line")" "$cpus"
signalled() {
	grep PropertiesChanged /run/monitor.json | grep workload/proxy | grep -q "\"Generation\":{\"type\":\"t\",\"data\":$generation}"
}
eventually 60 "the D-Bus signal carried it" signalled
ok "the quota goes" systemctl set-property --runtime proxy.slice CPUQuota=
unlimited() {
	[[ "$(env_of proxy QUOTA_MCPU)" == max && "$(env_of proxy PARALLELISM)" == 4 ]]
}
eventually 60 "unlimited again" unlimited
is "so says the page" "$(page_of proxy QUOTA_MCPU) $(page_of proxy GENERATION)" "max $(env_of proxy GENERATION)"
ok "a quota on the unit itself" systemctl set-property --runtime proxy.service CPUQuota=250%
eventually 60 "is seen too" prints 2500 env_of proxy QUOTA_MCPU
is "by the page too" "$(page_of proxy QUOTA_MCPU) $(page_of proxy GENERATION)" "2500 $(env_of proxy GENERATION)"
ok "and goes again" systemctl set-property --runtime proxy.service CPUQuota=
eventually 60 "unlimited once more" prints max env_of proxy QUOTA_MCPU

# --- nothing is written when nothing changed
is "the PUs never moved" "$(env_of proxy CPUS)" "$cpus"

# --- the way out
kill "$watcher_PID" 2>/dev/null || true
ok "sidecard stops" systemctl stop sidecard.socket sidecard.service
eventually 60 "the proxy may run everywhere again" prints 0-15 cpus_of "$proxy"
is "the env file stays" "$(env_of proxy PARALLELISM)" 4
is "no drop-in of ours is left" "$(find /run/systemd/system.control -name '50-Allowed*' 2>/dev/null | paste -sd' ')" ""
