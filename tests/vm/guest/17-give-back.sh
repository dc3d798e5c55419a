#!/usr/bin/env bash
# timeout: 900
# What was there before sidecard comes back: at once where a reload leaves a place to itself, and after a kill -9 at any moment of a first write.
# Processes of other users are known by their executable, and new ones are found without polling.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=SCRIPTDIR/workloads.sh
. "$(dirname "$0")/workloads.sh"

# What an earlier test's administrator has set is not ours to tidy up.
rm -rf /run/systemd/system.control/*.d
agent_and_proxy_units
agent_and_proxy_conf
rm $conf/sidecard.conf # without ConfineSystem= a unit that is left to itself may run everywhere

# --- processes by their executable
cp /usr/bin/sleep /usr/local/bin/nap
at_exit "rm -f /usr/local/bin/nap"
conf_file workloads.d/nap.conf <<'E2'
[Workload]
Role=batch
[Match]
Executable=/usr/local/bin/nap
[CPU]
Max=2
E2
start_workload_unit nap -p User=nobody -- /usr/local/bin/nap 600001
ok "sidecard starts" start_sidecard
ok "agent and proxy start" systemctl start agent.service proxy.service
nap=$(pgrep -f '^/usr/local/bin/nap 600001$')
has_place() { [[ -n "$(env_of nap CPUS)" ]] && prints "$(env_of nap CPUS)" cpus_of "$1"; }
eventually 60 "a process of another user has the place of its executable" has_place "$nap"
diag "nap has $(cpus_of "$nap")"
ok "process events come" systemctl is-active sidecard-procs.socket
is "nobody looks at /proc every now and then" "$(journalctl -u sidecard -b -o cat --since "@$(stat -c %Y $conf/workloads.d/nap.conf)" | grep -c 'looking at /proc')" 0
for i in 2 3; do
	start_workload_unit nap$i -p User=nobody -p DynamicUser=no -- /usr/local/bin/nap 60000$i
	new_has() { has_place "$(pgrep -f "^/usr/local/bin/nap 60000$i\$")"; }
	eventually 30 "a new one is found ($i)" new_has
done
start_workload_unit nap4 -- bash -c 'sleep 1; exec /usr/local/bin/nap 600004'
napping() { pgrep -f '^/usr/local/bin/nap 600004$'; }
eventually 30 "one that executes it later runs" napping
eventually 30 "and is found" has_place "$(napping)"
pid=$(pid_of_unit sidecard)
is "the front has no capability for it" "$(awk '/^Cap(Prm|Eff|Amb)/ { print $2 }' "/proc/$pid/status" | sort -u)" 0000000000000000

# --- our own unit keeps the controller of its slice
own_cpus() { systemctl show --value -p AllowedCPUs sidecard.service; }
eventually 30 "sidecard's own unit has a cpuset" prints 0-15 own_cpus
ok "cpuset is on in its slice" grep -qw cpuset /sys/fs/cgroup/system.slice/cgroup.subtree_control

# --- a reload gives back
proxy=$(pid_of_unit proxy)
has_own() { [[ -n "$(env_of proxy CPUS)" ]] && prints "$(env_of proxy CPUS)" cpus_of "$proxy"; }
eventually 60 "the proxy has its PUs" has_own
child_conf() {
	cat >$conf/workloads.d/child.conf <<-'E2'
		[Workload]
		Role=batch
		[CPU]
		Max=1
	E2
}
child_conf
at_exit "rm -f $conf/workloads.d/child.conf"
ok "reload" systemctl reload sidecard
start_workload_unit child -- sidecarctl run --workload child -- sleep 600011
registered() { grep -q '"workload":"child"' $run/state.json; }
eventually 60 "a child is registered" registered
eventually 60 "it runs" pgrep -f '^sleep 600011$'
child=$(pgrep -f '^sleep 600011$')
child_has() { [[ -n "$(env_of child CPUS)" ]] && prints "$(env_of child CPUS)" cpus_of "$child"; }
eventually 60 "it has its place" child_has
mv $conf/workloads.d/proxy.conf $conf/workloads.d/child.conf /run/
at_exit "rm -f /run/proxy.conf /run/child.conf"
agent_before=$(env_of agent CPUS)
ok "a reload without both workloads" systemctl reload sidecard
eventually 60 "the proxy gets its original back at once" prints 0-15 cpus_of "$proxy"
eventually 60 "the child too, though it lives on" prints 0-15 cpus_of "$child"
is "the proxy is the same process" "$(pid_of_unit proxy)" "$proxy"
no_dropin() { [[ ! -e /run/systemd/system.control/proxy.service.d/50-AllowedCPUs.conf ]]; }
eventually 30 "no drop-in of ours is left" no_dropin
is "sidecard is the same process" "$(pid_of_unit sidecard)" "$pid"
eventually 30 "the agent still has its place" prints "$(env_of agent CPUS)" cpus_of "$(pid_of_unit agent)"
diag "agent: before $agent_before, now $(env_of agent CPUS)"
ok "cpuset is still on in the slice" grep -qw cpuset /sys/fs/cgroup/system.slice/cgroup.subtree_control
mv /run/proxy.conf $conf/workloads.d/
ok "a reload with the proxy again" systemctl reload sidecard
eventually 60 "it has its PUs again" has_own

# --- kill -9 while a place is written for the first time, and the workload is gone when the next life begins
state_names() { grep -q "\"unit\":\"$1\"" $run/state.json; }
i=0
for delay in 0 0.1 0.3 1 3; do
	i=$((i + 1))
	name=first$i
	start_workload_unit $name
	pid=$(pid_of_unit wl-$name)
	printf '[Workload]\nRole=batch\n[Match]\nUnit=wl-%s.service\n[CPU]\nMax=2\n' $name >$conf/workloads.d/$name.conf
	at_exit "rm -f $conf/workloads.d/$name.conf"
	old=$(pid_of_unit sidecard)
	systemctl kill -s HUP sidecard
	while ! state_names wl-$name.service; do
		[[ "$(pid_of_unit sidecard)" == "$old" ]] || break
		sleep 0.02
	done
	sleep $delay
	rm $conf/workloads.d/$name.conf
	kill -9 "$old"
	diag "killed $delay s after it was saved: $(systemctl show --value -p AllowedCPUs wl-$name.service), $(cpus_of "$pid")"
	back() { [[ "$(systemctl is-active sidecard)" == active && "$(pid_of_unit sidecard)" != "$old" ]]; }
	eventually 60 "the service is back ($delay s)" back
	gone() { ! state_names wl-$name.service; }
	eventually 60 "the next life has given it back ($delay s)" gone
	eventually 60 "it may run everywhere ($delay s)" prints 0-15 cpus_of "$pid"
	is "nothing of ours is left behind ($delay s)" "$(ls /run/systemd/system.control/wl-$name.service.d 2>/dev/null || true)" ""
done
eventually 60 "the proxy still has its PUs" has_own
nap_has() { has_place "$nap"; }
eventually 60 "so has the process known by its executable" nap_has

# --- the way out
ok "sidecard stops" systemctl stop sidecard.socket sidecard.service
is "the proxy may run everywhere" "$(cpus_of "$proxy")" 0-15
is "the other user's process too" "$(cpus_of "$nap")" 0-15
is "no drop-in is left" "$(find /run/systemd/system.control -name '50-Allowed*' 2>/dev/null)" ""
eventually 30 "the socket of process events went with it" not systemctl --quiet is-active sidecard-procs.socket
is "it stays stopped" "$(systemctl is-active sidecard || true)" inactive
