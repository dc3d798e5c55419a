#!/usr/bin/env bash
# The machine is what the other tests rely on. Needs nothing of the product.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"

cpu=/sys/devices/system/cpu
node=/sys/devices/system/node
cgroup=/sys/fs/cgroup

# --- topology
is "16 PUs are online" "$(<$cpu/online)" 0-15
is "4 nodes are online" "$(<$node/online)" 0-3
for i in 0 1 2 3; do
	is "node $i has PUs" "$(<$node/node$i/cpulist)" "$((i * 4))-$((i * 4 + 3))"
done
is "PU 9 is on node" "$(node_of_cpu 9)" 2
is "distances from node 0" "$(<$node/node0/distance)" "10 12 21 21"
is "distances from node 3" "$(<$node/node3/distance)" "21 21 12 10"
is "the PUs of a core are neighbours" "$(sort -nu -t- -k1 $cpu/cpu*/topology/thread_siblings_list | paste -sd' ')" \
	"0-1 2-3 4-5 6-7 8-9 10-11 12-13 14-15"
is "packages" "$(cat $cpu/cpu{0,4,8,12}/topology/physical_package_id | paste -sd' ')" "0 1 2 3"
is "hwloc agrees" "$(hwloc-calc --number-of package machine:0) $(hwloc-calc --number-of numanode machine:0) \
$(hwloc-calc --number-of core machine:0) $(hwloc-calc --number-of pu machine:0)" "4 4 8 16"
is "each node has memory" "$(awk '/MemTotal/ && $4 > 900000 { print $2 }' $node/node*/meminfo | paste -sd' ')" "0 1 2 3"
is "the network card is near node" "$(cat /sys/class/net/eth0/device/../numa_node)" 2

# --- kernel and systemd
is "cgroup v2 is mounted" "$(stat -f -c %T $cgroup)" cgroup2fs
for controller in cpu cpuset memory io pids; do
	ok "the root has the controller $controller" grep -qw "$controller" $cgroup/cgroup.controllers
done
. /etc/os-release
case $VERSION_CODENAME in
bookworm) kernel='6\.1\.' systemd=252 ;;
trixie) kernel='6\.12\.' systemd=257 ;;
esac
ok "Linux is $kernel" grep -q "^$kernel" /proc/sys/kernel/osrelease
is "systemd is" "$(systemctl --version | awk 'NR == 1 { print $2 }')" "$systemd"
eventually 60 "the system is up and no unit has failed" prints running systemctl is-system-running
ok "the system bus answers" busctl --quiet call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus GetId
for resource in cpu memory io; do
	ok "pressure of $resource is measured" grep -q ^some "/proc/pressure/$resource"
done

# --- hotplug
ok "PU 15 goes offline" offline_cpu 15
is "it is gone" "$(<$cpu/online)" 0-14
is "its sibling is alone" "$(<$cpu/cpu14/topology/thread_siblings_list)" 14
ok "PU 15 comes online" online_cpu 15
is "it is back" "$(<$cpu/online)" 0-15

# --- what the helpers of the other tests see
start_workload_unit pinned -p AllowedCPUs=4-7 -p AllowedMemoryNodes=1
pid=$(pid_of_unit wl-pinned)
require_eff_cpus "$(cgroup_of "$pid")" 4-7
is "a unit's process may run on" "$(cpus_of "$pid")" 4-7
is "a unit's process may allocate on node" "$(mems_of "$pid")" 1
is "they are together" "$(nodes_of_cpus "$(cpus_of "$pid")")" 1
# shellcheck disable=SC2016  # for the bash in the unit, which must stay what it is rather than become sleep
start_workload_unit bound -- numactl --membind=2 bash -c 'text=$(head -c 8M /dev/zero | tr "\0" x); sleep infinity; :'
pid=$(pid_of_unit wl-bound)
has_8_mib_on_node_2() {
	(($(numa_pages_on "$pid" 2) >= 2048))
}
eventually 60 "8 MiB lie on the node they were bound to" has_8_mib_on_node_2
diag "pages per node: $(numa_pages "$pid" | paste -sd';')"

ok "0-3,8 is within 0-8" cpus_subset 0-3,8 0-8
ok "0-3,9 is not within 0-8" not cpus_subset 0-3,9 0-8
ok "0-3,8 and 4-7,9 are disjoint" cpus_disjoint 0-3,8 4-7,9
ok "0-3,8 and 8-9 are not disjoint" not cpus_disjoint 0-3,8 8-9
is "0-3,8 has as many" "$(list_count 0-3,8)" 5
