# What the tests of the service share: an agent (control plane) and a proxy (data plane) in a slice of their own. Sourced after lib.sh.
# shellcheck shell=bash

run=/run/sidecard
conf=/etc/sidecard

# conf_file PATH < text: a file of the configuration, gone when the test ends.
conf_file() {
	mkdir -p "$(dirname "$conf/$1")"
	cat >"$conf/$1"
	at_exit "rm -f '$conf/$1'"
}

# unit_file NAME < text: a unit, gone when the test ends.
unit_file() {
	cat >"/run/systemd/system/$1"
	at_exit "systemctl --quiet stop '$1' 2>/dev/null; rm -f '/run/systemd/system/$1'; systemctl daemon-reload"
}

# A process that says what it was told and stays.
agent_and_proxy_units() {
	unit_file proxy.slice <<-'E'
		[Slice]
		CPUQuota=600%
	E
	local unit
	for unit in agent proxy; do
		unit_file $unit.service <<-E
			[Unit]
			After=sidecard.service
			[Service]
			Slice=proxy.slice
			EnvironmentFile=-$run/env/$unit.env
			ExecStart=/bin/bash -c 'env | grep ^SIDECARD_ | sort >/run/$unit.saw; grep _allowed_list /proc/self/status >>/run/$unit.saw; text=\$(head -c 4M /dev/zero | tr "\\\\0" x); sleep infinity; :'
		E
	done
	systemctl daemon-reload
}

agent_and_proxy_conf() {
	conf_file sidecard.conf <<-'E'
		[Partition]
		ConfineSystem=yes
	E
	conf_file workloads.d/agent.conf <<-'E'
		[Workload]
		Role=control-plane
		[Match]
		Unit=agent.service
		[CPU]
		Min=1
		Max=1
	E
	conf_file workloads.d/proxy.conf <<-'E'
		[Workload]
		Role=data-plane
		[Match]
		Unit=proxy.service
		[CPU]
		Min=4
		Max=4
		Exclusive=yes
		Smt=whole-core
		[NUMA]
		Policy=single
		Memory=strict
	E
}

# env_of WORKLOAD KEY: one value of the published file.
env_of() {
	sed -n "s/^SIDECARD_$2=//p" "$run/env/$1.env" | tr -d '"'
}

# saw UNIT KEY: what the unit's process found in its environment when it began.
saw() {
	sed -n "s/^SIDECARD_$2=//p" "/run/$1.saw"
}

# observe COMMAND...: observe.c, compiled as any program that links with the library.
observe() {
	[ -x /var/tmp/observe ] || cc -Wall -o /var/tmp/observe "$(dirname "$0")/observe.c" $(pkg-config --cflags --libs sidecard)
	/var/tmp/observe "$@"
}

# page_of WORKLOAD KEY: the same out of the live page.
page_of() {
	observe page "$1" | sed -n "s/^$2=//p"
}

# get WORKLOAD KEY: the same from the socket.
get() {
	sidecarctl show "$1" --json | jq -r ".$2"
}

bus_get() { # workload, property
	busctl get-property io.sidecard1 "/io/sidecard1/workload/$1" io.sidecard1.Workload "$2" | cut -d' ' -f2- | tr -d '"'
}

# listen_on_bus FILE MATCH...: what busctl monitor sees from now on.
listen_on_bus() {
	local file=$1 n
	shift
	n=$(journalctl --boot --no-pager -o cat -u dbus | grep -c 'became a monitor' || true)
	# (in the background: it is stopped with the test's scope)
	busctl monitor --json=short "$@" >"$file" 2>/dev/null &
	at_exit "kill $!"
	# What busctl says when it listens differs by release; the bus itself says it in its journal.
	for _ in $(seq 60); do
		[[ "$(journalctl --boot --no-pager -o cat -u dbus | grep -c 'became a monitor')" -le $n ]] || return 0
		sleep 0.2
	done
	return 1
}

start_sidecard() {
	at_exit "systemctl --quiet stop sidecard.socket sidecard.service"
	systemctl start sidecard.service
}

# children_off SLICE LIST: no process of the slice may run on one of these PUs.
children_off() {
	local pid
	for pid in $(find "/sys/fs/cgroup/$1" -name cgroup.procs -exec cat {} +); do
		cpus_disjoint "$(cpus_of "$pid")" "$2" || { echo "$pid $(cat /proc/$pid/comm): $(cpus_of "$pid")"; return 1; }
	done
}
