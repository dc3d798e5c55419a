#!/usr/bin/env bash
# timeout: 900
# kill -9 of the daemon at ten different moments: clients keep reading valid pages, the service is back, leases are intact, no right mask was
# rewritten.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=SCRIPTDIR/workloads.sh
. "$(dirname "$0")/workloads.sh"

agent_and_proxy_units
agent_and_proxy_conf
conf_file workloads.d/child.conf <<'E2'
[Workload]
Role=batch
[CPU]
Max=2
E2
ok "sidecard starts" start_sidecard
ok "agent and proxy start" systemctl start agent.service proxy.service
proxy=$(pid_of_unit proxy)
cpus=$(env_of proxy CPUS)
eventually 60 "the proxy has its PUs" prints "$cpus" cpus_of "$proxy"
start_workload_unit child -- sidecarctl run --workload child -- sleep 400001
registered() {
	grep -q '"workload":"child"' $run/state.json
}
eventually 60 "a child is registered" registered
child=$(pgrep -f '^sleep 400001$')
eventually 60 "the child has its place" prints "$(env_of child CPUS)" cpus_of "$child"
mask=$(cpus_of "$child")

reader_ok() {
	[[ "$(env_of proxy CPUS)" == "$cpus" && "$(env_of proxy PARALLELISM)" -ge 1 ]]
}
back() {
	[[ "$(systemctl is-active sidecard)" == active && "$(pid_of_unit sidecard)" != "$old" ]] && sidecarctl show proxy >/dev/null
}
for i in 1 2 3 4 5 6 7 8 9 10; do
	old=$(pid_of_unit sidecard)
	case $((i % 5)) in
	0) systemctl set-property --runtime proxy.slice "CPUQuota=$((i * 30 + 100))%" ;;
	1) systemctl kill -s HUP sidecard ;;
	2) systemctl restart --no-block agent.service ;;
	3) sidecarctl list >/dev/null ;;
	4) systemctl set-property --runtime --no-block proxy.service CPUWeight=$((i * 10 + 100)) ;;
	esac
	# The proxy's descriptors of time: its mask must never have been written with another value.
	kill -9 "$old"
	ok "published values stay valid after kill $i" reader_ok
	eventually 60 "the service is back after kill $i" back
	is "the proxy's mask was never another one after kill $i" "$(cpus_of "$proxy")" "$cpus"
done
eventually 60 "the child is still registered" registered
is "the child's mask is what it was" "$(cpus_of "$child")" "$mask"
is "the proxy is the same process" "$(pid_of_unit proxy)" "$proxy"

# A restart with an unchanged world writes nothing: watch the unit's files for writes while it happens.
eventually 60 "all has settled" sidecarctl status
before=$(journalctl -u sidecard -o cat | grep -c 'PUs ' || true)
old=$(pid_of_unit sidecard)
strace -f -qq -o /run/restart.trace -e trace=sched_setaffinity,sendmsg -p 1 2>/dev/null &
tracer=$!
at_exit "kill $tracer 2>/dev/null || true"
inotify_count() { stat -c %Y /sys/fs/cgroup/proxy.slice/proxy.service/cpuset.cpus; }
stamp=$(inotify_count)
kill -9 "$old"
eventually 60 "it is back once more" back
is "nothing wrote the proxy's cpuset" "$(inotify_count)" "$stamp"
diag "placements logged before: $before"
ok "the child ends" systemctl stop wl-child.service
gone() { not registered; }
eventually 60 "its registration ends with it" gone
