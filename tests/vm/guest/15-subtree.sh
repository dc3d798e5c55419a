#!/usr/bin/env bash
# timeout: 600
# A delegated subtree without systemd units (cpuset files), and sidecar mode inside a cgroup namespace without privilege.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=SCRIPTDIR/workloads.sh
. "$(dirname "$0")/workloads.sh"

# --- the service with cgroup writes: a delegated unit with two groups inside
mkdir -p /run/systemd/system/sidecard.service.d
cp /usr/share/doc/sidecard/examples/cgroup-writes.conf /run/systemd/system/sidecard.service.d/
at_exit "rm -rf /run/systemd/system/sidecard.service.d; systemctl daemon-reload"
unit_file pods.service <<'E2'
[Service]
Delegate=yes
ExecStart=/bin/bash -c 'cd /sys/fs/cgroup/system.slice/pods.service && mkdir -p manager a b && echo $$$$ >manager/cgroup.procs && echo +cpuset +cpu >cgroup.subtree_control; (echo $$BASHPID >a/cgroup.procs; exec sleep 200001) & (echo $$BASHPID >b/cgroup.procs; exec sleep 200002) & wait'
E2
conf_file workloads.d/pod-a.conf <<'E2'
[Workload]
Role=data-plane
[Match]
Cgroup=/system.slice/pods.service/a
[CPU]
Min=2
Max=2
Exclusive=yes
Smt=whole-core
E2
conf_file workloads.d/pod-b.conf <<'E2'
[Workload]
Role=batch
[Match]
Cgroup=/system.slice/pods.service/b
E2
systemctl daemon-reload
ok "the pods start" systemctl start pods.service
ok "sidecard starts" start_sidecard
a=
b=
found() {
	a=$(pgrep -f '^sleep 200001$') && b=$(pgrep -f '^sleep 200002$')
}
eventually 30 "both run" found
found
own() {
	echo "a: $(cpus_of "$a"), published $(env_of pod-a CPUS); b: $(cpus_of "$b")"
	[[ "$(cpus_of "$a")" == "$(env_of pod-a CPUS)" ]] && cpus_disjoint "$(cpus_of "$a")" "$(cpus_of "$b")"
}
eventually 90 "a has its PUs by its cpuset file, b is off them" own
group=/sys/fs/cgroup/system.slice/pods.service
is "the file says so" "$(<$group/a/cpuset.cpus)" "$(env_of pod-a CPUS)"
echo "150000 100000" >$group/cpu.max
eventually 60 "a quota of the subtree is seen" prints 1500 env_of pod-a QUOTA_MCPU
ok "sidecard stops" systemctl stop sidecard.socket sidecard.service
# The kernel refuses to clear the set of a group that has processes: then every PU is what an empty set means.
ok "the file says all again" test "$(<$group/a/cpuset.cpus)" = "" -o "$(<$group/a/cpuset.cpus)" = 0-15
is "and a may run everywhere" "$(cpus_of "$a")" 0-15

# --- sidecar mode: an unprivileged user inside a cgroup namespace
mkdir -p /run/pod/conf/workloads.d
cat >/run/pod/conf/workloads.d/main.conf <<'E2'
[Workload]
Role=data-plane
[Match]
CommandLine=sleep 300001
[CPU]
Max=4
E2
chown -R nobody /run/pod
start_workload_unit pod -p CPUQuota=250% -p AllowedCPUs=4-11 -- \
	unshare --cgroup --mount bash -c 'umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && exec "$@"' - \
	setpriv --reuid=nobody --regid=nogroup --clear-groups --bounding-set=-all --no-new-privs \
	bash -c 'sleep 300001 & exec sidecard --no-bus --conf /run/pod/conf --runtime-dir /run/pod/run'
eventually 60 "it publishes" test -s /run/pod/run/env/main.env
diag "$(journalctl --no-pager -o cat -u wl-pod)"
pod_env() { sed -n "s/^SIDECARD_$1=//p" /run/pod/run/env/main.env | tr -d '"'; }
eventually 60 "it knows its own quota" prints 2500 pod_env QUOTA_MCPU
ok "it stays within its own cpuset" cpus_subset "$(pod_env CPUS)" 4-11
diag "PUs $(pod_env CPUS), parallelism $(pod_env PARALLELISM)"
child=$(pgrep -f '^sleep 300001$')
eventually 60 "its process has the mask" prints "$(pod_env CPUS)" cpus_of "$child"
ok "its socket answers" setpriv --reuid=nobody --regid=nogroup --clear-groups sidecarctl list --runtime-dir /run/pod/run
