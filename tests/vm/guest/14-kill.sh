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
# (the reply to a registration waits for the round that saw the child)
eventually 60 "it runs" pgrep -f '^sleep 400001$'
child=$(pgrep -f '^sleep 400001$')
eventually 60 "the child has its place" prints "$(env_of child CPUS)" cpus_of "$child"
mask=$(cpus_of "$child")

# Every write that could touch a place is counted, ours and others': sched_setaffinity by the kernel's own tracer, what
# PID 1 is asked for by a monitor on the bus, the cpuset file by inotify.
tracing=/sys/kernel/tracing
mountpoint -q $tracing || mount -t tracefs tracefs $tracing
echo 0 >$tracing/events/enable
: >$tracing/trace
echo 1 >$tracing/events/syscalls/sys_enter_sched_setaffinity/enable
at_exit "echo 0 >$tracing/events/syscalls/sys_enter_sched_setaffinity/enable"
affinity_writes() { # PID
	grep -c "sched_setaffinity(pid: $(printf '%x' "$1")," $tracing/trace || true
}
ok "we listen on the bus" listen_on_bus /run/kill.json --match="type='method_call',member='SetUnitProperties'"
unit_writes() { # UNIT
	grep "\"$1\"" /run/kill.json | grep -c AllowedCPUs || true
}
# Both counters see what they are there for.
taskset -p "$(taskset -p $$ | sed 's/.*: //')" $$ >/dev/null
is "the tracer sees a mask that is set" "$(affinity_writes $$)" 1
# (systemctl would ask PID 1 past the bus)
busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager SetUnitProperties 'sba(sv)' \
	agent.service true 1 CPUWeight t 101
eventually 30 "the monitor sees a property that is set" grep -q CPUWeight /run/kill.json
observe writes /sys/fs/cgroup/proxy.slice/proxy.service/cpuset.cpus >/run/cpuset.writes &
at_exit "kill $!"
eventually 30 "we watch the cpuset file" grep -q watching /run/cpuset.writes

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
	kill -9 "$old"
	ok "published values stay valid after kill $i" reader_ok
	eventually 60 "the service is back after kill $i" back
	is "the proxy's mask was never another one after kill $i" "$(cpus_of "$proxy")" "$cpus"
done
eventually 60 "the child is still registered" registered
is "the child's mask is what it was" "$(cpus_of "$child")" "$mask"
# Before Linux 6.2 a write to a cpuset makes the kernel forget the masks of the threads below it: those are set again.
if [[ "$(printf '%s\n' 6.2 "$(uname -r)" | sort -V | head -n 1)" == 6.2 ]]; then
	is "and was never written again" "$(affinity_writes "$child")" 0
else
	skip "and was never written again" "this kernel forgets masks: $(affinity_writes "$child") times"
fi
is "PID 1 was never asked to set the proxy's PUs again" "$(unit_writes proxy.service)" 0
diag "writes to the proxy's cpuset file in all, PID 1's own among them: $(grep -c written /run/cpuset.writes || true)"
is "the proxy is the same process" "$(pid_of_unit proxy)" "$proxy"

# A restart with an unchanged world writes nothing at all.
eventually 60 "all has settled" sidecarctl status
old=$(pid_of_unit sidecard)
writes=$(grep -c written /run/cpuset.writes || true)
asked=$(grep -c AllowedCPUs /run/kill.json || true)
masks=$(affinity_writes "$child")
kill -9 "$old"
eventually 60 "it is back once more" back
is "nothing wrote the proxy's cpuset" "$(grep -c written /run/cpuset.writes || true)" "$writes"
is "PID 1 was asked for no PUs of anybody" "$(grep -c AllowedCPUs /run/kill.json || true)" "$asked"
diag "$(grep AllowedCPUs /run/kill.json | tail -n +$((asked + 1)) | jq -c '[.sender, .payload.data[0], .payload.data[2]]' | head -c 2000)"
is "no thread's mask was written" "$(affinity_writes "$child")" "$masks"
ok "the child ends" systemctl stop wl-child.service
gone() { not registered; }
eventually 60 "its registration ends with it" gone
