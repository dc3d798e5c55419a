# For the tests in the guest; a test begins with
#
#	#!/usr/bin/env bash
#	# What this test is about.
#	. "$(dirname "$0")/lib.sh"
#
# then calls the checks below. Each check prints one TAP line and returns 0 also when it fails, so a test goes on;
# any other command that fails ends the test as failed. The guest is some twenty times slower than a real machine:
# check that something comes to hold (eventually), never how long it takes.
# shellcheck shell=bash

set -euo pipefail

_n=0
_failed=0
_at_exit=()
_output=$(mktemp /run/vm-test.XXXXXX)

_finish() {
	local status=$? command

	set +e
	for command in "${_at_exit[@]}"; do
		eval "$command"
	done
	rm -f "$_output"
	if ((status == 0 && _failed > 0)); then
		status=1
	fi
	exit "$status"
}
trap _finish EXIT

# at_exit COMMAND-LINE: run when the test ends, however it ends; the last one registered first.
at_exit() {
	_at_exit=("$1" "${_at_exit[@]}")
}

# --- checks -----------------------------------------------------------------------------------------------------

# diag TEXT...: comment lines in the results.
diag() {
	printf '#   %s\n' "${*//$'\n'/$'\n#   '}"
}

_pass() {
	_n=$((_n + 1))
	printf 'ok %d - %s\n' "$_n" "$1"
}

_fail() {
	_n=$((_n + 1))
	_failed=$((_failed + 1))
	printf 'not ok %d - %s\n' "$_n" "$1"
}

_fail_command() {
	local what=$1 status=$2
	shift 2

	_fail "$what"
	diag "command: $*"
	diag "status: $status"
	tail -n 20 "$_output" | sed 's/^/#   output: /'
}

# ok "WHAT" COMMAND...: COMMAND succeeds.
ok() {
	local what=$1 status=0
	shift

	"$@" >"$_output" 2>&1 || status=$?
	if ((status == 0)); then
		_pass "$what"
	else
		_fail_command "$what" "$status" "$@"
	fi
}

# is "WHAT" GOT WANT: the two texts are equal.
is() {
	if [[ "$2" == "$3" ]]; then
		_pass "$1"
	else
		_fail "$1"
		diag "got:  '$2'"
		diag "want: '$3'"
	fi
}

# eventually SECONDS "WHAT" COMMAND...: COMMAND succeeds within that time; the only place that sleeps.
eventually() {
	local deadline=$((SECONDS + $1)) what=$2 status
	shift 2

	while true; do
		status=0
		"$@" >"$_output" 2>&1 || status=$?
		if ((status == 0)); then
			_pass "$what"
			return
		fi
		if ((SECONDS >= deadline)); then
			_fail_command "$what" "$status" "$@"
			return
		fi
		sleep 0.2
	done
}

# skip "WHAT" WHY: counted as passed; for what a release cannot do.
skip() {
	_n=$((_n + 1))
	printf 'ok %d - %s # SKIP %s\n' "$_n" "$1" "$2"
}

# not COMMAND...: for checks that something fails.
not() {
	! "$@"
}

# prints WANT COMMAND...: COMMAND's output is WANT, as in: eventually 30 "the new mask holds" prints 0-3 cpus_of "$pid"
prints() {
	local want=$1 got
	shift

	got=$("$@") || return
	printf "got '%s', want '%s'\n" "$got" "$want"
	[[ "$got" == "$want" ]]
}

# --- lists of processors or nodes, as the kernel writes them: 0-3,8 -----------------------------------------------

# list_expand LIST: the numbers with blanks between.
list_expand() {
	local part i numbers=()

	for part in ${1//,/ }; do
		for ((i = ${part%-*}; i <= ${part#*-}; i++)); do
			numbers+=("$i")
		done
	done
	printf '%s' "${numbers[*]}"
}

# list_count LIST: how many.
list_count() {
	local -a numbers

	read -ra numbers <<<"$(list_expand "$1")"
	printf '%d' "${#numbers[@]}"
}

# cpus_subset A B: every one of A is in B.
cpus_subset() {
	local b i

	b=" $(list_expand "$2") "
	for i in $(list_expand "$1"); do
		[[ $b == *" $i "* ]] || return 1
	done
}

# cpus_disjoint A B: none of A is in B.
cpus_disjoint() {
	local b i

	b=" $(list_expand "$2") "
	for i in $(list_expand "$1"); do
		[[ $b != *" $i "* ]] || return 1
	done
}

# node_of_cpu N
node_of_cpu() {
	local node

	node=$(echo /sys/devices/system/cpu/cpu"$1"/node*)
	printf '%s' "${node##*/node}"
}

# nodes_of_cpus LIST: the nodes these processors belong to, with blanks between, ascending.
nodes_of_cpus() {
	local i

	for i in $(list_expand "$1"); do
		node_of_cpu "$i"
		echo
	done | sort -nu | paste -sd' '
}

# --- processes ----------------------------------------------------------------------------------------------------

_status_of() {
	awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"
}

# cpus_of PID, mems_of PID: what the kernel allows it, after cpuset and affinity. PID may be PID/task/TID.
cpus_of() { _status_of "$1" Cpus_allowed_list; }
mems_of() { _status_of "$1" Mems_allowed_list; }

# thread_cpus_of PID: the list of each thread, one per line, without repeats.
thread_cpus_of() {
	awk '$1 == "Cpus_allowed_list:" { print $2 }' /proc/"$1"/task/*/status | sort -u
}

# numa_pages PID: where its pages lie: a line 'NODE PAGES' per node, in pages of 4 KiB.
numa_pages() {
	awk '{
		size = 4
		for (i = 3; i <= NF; i++)
			if ($i ~ /^kernelpagesize_kB=/)
				size = substr($i, index($i, "=") + 1)
		for (i = 3; i <= NF; i++)
			if ($i ~ /^N[0-9]+=/) {
				split(substr($i, 2), node, "=")
				pages[node[1]] += node[2] * size / 4
			}
	}
	END { for (n in pages) print n, pages[n] }' "/proc/$1/numa_maps" | sort -n
}

# numa_pages_on PID NODE: how many of them lie there.
numa_pages_on() {
	numa_pages "$1" | awk -v node="$2" '$1 == node { n = $2 } END { print n + 0 }'
}

# --- units and cgroups --------------------------------------------------------------------------------------------

# start_workload_unit NAME [SYSTEMD-RUN-OPTION...] [-- COMMAND...]: starts wl-NAME.service, which does nothing
# (sleep) unless told, and ends with the test.
start_workload_unit() {
	local name=$1
	local -a options=()
	shift

	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	if [ $# -gt 0 ]; then
		shift
	else
		set -- sleep infinity
	fi
	at_exit "systemctl --quiet stop wl-$name.service"
	systemd-run --quiet --collect --unit="wl-$name" "${options[@]}" -- "$@"
}

# pid_of_unit UNIT
pid_of_unit() {
	systemctl show --value --property MainPID "$1"
}

# cgroup_of PID: the directory of its cgroup.
cgroup_of() {
	printf '/sys/fs/cgroup%s' "$(sed -n 's/^0:://p' "/proc/$1/cgroup")"
}

# eff_cpus CGROUP: CGROUP is a directory, or a path below /sys/fs/cgroup.
eff_cpus() {
	local cgroup=$1

	[[ $cgroup == /sys/fs/cgroup* ]] || cgroup=/sys/fs/cgroup/$cgroup
	cat "$cgroup/cpuset.cpus.effective"
}

# require_eff_cpus CGROUP LIST: a check that it comes to run on exactly these processors.
require_eff_cpus() {
	eventually 30 "${1#/sys/fs/cgroup/} runs on $2" prints "$2" eff_cpus "$1"
}

# --- hotplug; after each test all processors are brought back -----------------------------------------------------

offline_cpu() { echo 0 >"/sys/devices/system/cpu/cpu$1/online"; }
online_cpu() { echo 1 >"/sys/devices/system/cpu/cpu$1/online"; }
