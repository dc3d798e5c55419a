#!/usr/bin/env bash
# timeout: 900
# A clear error, nothing lost, the rest goes on: configuration, vanishing things, a bus that restarts, hostile clients, a full /run, state files of any
# content, a clock that jumps.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=SCRIPTDIR/workloads.sh
. "$(dirname "$0")/workloads.sh"

agent_and_proxy_units
agent_and_proxy_conf
ok "sidecard starts" start_sidecard
ok "agent and proxy start" systemctl start agent.service proxy.service
cpus=$(env_of proxy CPUS)
alive() {
	[[ "$(systemctl is-active sidecard)" == active && "$(env_of proxy CPUS)" == "$cpus" ]] && sidecarctl show proxy >/dev/null
}
eventually 60 "all is well" alive

# --- configuration: each fault is refused with its place, the running one stays
refused() { # what, expected words, file contents on stdin
	local what=$1 words=$2 output
	cat >$conf/workloads.d/bad.conf
	output=$(sidecarctl reload 2>&1) && { echo "accepted: $output"; rm -f $conf/workloads.d/bad.conf; return 1; }
	rm -f $conf/workloads.d/bad.conf
	echo "$output"
	[[ $output == *bad.conf:* && $output == *$words* ]]
}
ok "an unknown key" refused key "did you mean" <<<$'[CPU]\nMinn=1'
ok "an unknown section" refused section "unknown section" <<<$'[CPUU]\nMin=1'
ok "a wrong type" refused type "Min" <<<$'[CPU]\nMin=two'
ok "a range" refused range "Weight" <<<$'[CPU]\nWeight=0'
ok "minimum above maximum" refused minmax "Min" <<<$'[CPU]\nMin=4\nMax=2'
ok "PUs that are not there" refused machine "Min" <<<$'[CPU]\nMin=400\nMax=400\nExclusive=yes'
ok "nodes that are not there" refused nodes "Nodes" <<<$'[NUMA]\nNodes=9'
mkdir -p $conf/pools.d
for pool in one two; do
	printf '[Pool]\nCPUs=2-3\n' >$conf/pools.d/$pool.conf
done
ok "PUs of two pools" not sidecarctl reload
rm $conf/pools.d/one.conf $conf/pools.d/two.conf
# A plugin's fault costs its workload the plugin, nothing else.
taken() { # what, expected words, file contents on stdin
	local words=$1 output
	cat >$conf/workloads.d/odd.conf
	output=$(sidecarctl reload 2>&1) || return
	echo "$output"
	[[ $output == *odd.conf:*$words*"going on with plugin 'generic'"* ]]
}
ok "a plugin that is not there" taken "cannot open" <<<$'[Workload]\nPlugin=nobody'
eventually 60 "its workload has its numbers all the same" env_of odd PARALLELISM
ok "a plugin's key that it has not" taken "has no such key" <<<$'[Plugin]\nnonsense=1'
rm $conf/workloads.d/odd.conf
ok "a unit that another one has" refused unit "proxy.service" <<<$'[Match]\nUnit=proxy.service'
ok "not UTF-8" refused utf8 "UTF-8" <<<$'[Workload]\nDescription=\xff'
ok "an over-long line" refused long "180" < <(printf '[Workload]\nDescription=%0300d\n' 0)
ok "NUL" refused nul "NUL" < <(printf '[Workload]\nDescription=a\0b\n')
mkdir $conf/workloads.d/bad.conf
ok "a directory" not sidecarctl reload
rmdir $conf/workloads.d/bad.conf
mkfifo $conf/workloads.d/bad.conf
ok "a FIFO" not sidecarctl reload
rm $conf/workloads.d/bad.conf
touch "$conf/workloads.d/Bad Name.conf"
ok "a name against the rule" not sidecarctl reload
rm "$conf/workloads.d/Bad Name.conf"
ok "the right one again" sidecarctl reload
eventually 60 "nothing was lost" alive

# --- things that vanish between any two steps
for i in 1 2 3 4 5 6; do
	systemd-run --quiet --collect --unit="wl-flash-$i" true
	systemctl restart --no-block agent.service
done
eventually 60 "vanishing units do no harm" alive

# --- the bus restarts, and is away for a while: sidecard lives on, the same process
main_pid() { systemctl show --value --property MainPID sidecard; }
on_bus() { busctl get-property io.sidecard1 /io/sidecard1 io.sidecard1.Manager Version; }
pid=$(main_pid)
eventually 60 "sidecard is on the bus" on_bus
for i in 1 2 3; do
	ok "the bus restarts ($i)" systemctl restart dbus
	eventually 120 "sidecard is on the bus again ($i)" on_bus
done
is "it is the same process" "$(main_pid)" "$pid"
ok "the bus stops" systemctl stop dbus.socket dbus.service
ok "the socket answers without it" sidecarctl show proxy
ok "a quota while it is away" systemctl set-property --runtime proxy.slice CPUQuota=350%
eventually 60 "is published" prints 3500 env_of proxy QUOTA_MCPU
ok "somebody else's AllowedCPUs= while it is away" systemctl set-property --runtime proxy.service AllowedCPUs=0
ok "the bus is back" systemctl start dbus.socket dbus.service
eventually 120 "sidecard is on the bus once more" on_bus
is "and still the same process" "$(main_pid)" "$pid"
eventually 120 "what was written meanwhile is set right" prints "$cpus" cpus_of "$(pid_of_unit proxy.service)"
systemctl reset-failed agent.service 2>/dev/null || true # so many starts in so short a time
ok "a unit that starts now" systemctl restart agent.service
ok "the quota as it was" systemctl set-property --runtime proxy.slice CPUQuota=600%
eventually 60 "all is well again" alive

# --- a bus that is not there yet: it starts all the same, and is on the bus as soon as there is one
systemctl mask --quiet --runtime dbus.socket dbus.service
systemctl stop dbus.socket dbus.service
systemctl kill --signal=KILL --kill-whom=main sidecard
eventually 60 "sidecard starts anew without a bus" sidecarctl show proxy
systemctl unmask --quiet --runtime dbus.socket dbus.service
systemctl start dbus.socket dbus.service
eventually 120 "and finds it when it comes" on_bus
eventually 60 "and all is well" alive

# --- hostile clients
python_free_client() { # bytes on stdin go to the socket
	timeout 20 socat -t1 - UNIX-CONNECT:$run/io.sidecard
}
if command -v socat >/dev/null; then
	head -c 100000 /dev/urandom | python_free_client >/dev/null 2>&1 || true
	head -c 200000 /dev/zero | python_free_client >/dev/null 2>&1 || true
	printf '{"method":"io.sidecard.List"' | python_free_client >/dev/null 2>&1 || true
	eventually 60 "noise on the socket harms nobody" alive
fi
ok "a name with a slash" not sidecarctl show ../../etc/passwd
ok "a name with a newline" not sidecarctl show $'a\nb'
ok "a name of 4 KiB" not sidecarctl show "$(printf '%04096d' 0)"

# --- state files of any content
for text in '' '{' '[]' '{"version":99}' '{"version":1,"registrations":[{"workload":"../x","pid":1,"start_time":-5}],"originals":[{"original":"0-3"}]}'; do
	systemctl stop sidecard.socket sidecard.service
	printf '%s' "$text" >$run/state.json
	systemctl start sidecard.service || true
	eventually 60 "it starts with a state of '$text'" alive
done
systemctl stop sidecard.socket sidecard.service
head -c 5000 /dev/urandom >$run/state.json
head -c 4096 /dev/urandom >$run/live/proxy
ln -sf /etc/passwd $run/live/agent
systemctl start sidecard.service
eventually 60 "it starts with noise for a state and for pages" alive
ok "and has left the link's target alone" grep -q '^root:' /etc/passwd

# --- /run is full: the env file cannot be replaced; the old one stays whole
fill() { dd if=/dev/zero of=/run/filler bs=64K count=100000 2>/dev/null || true; }
before=$(env_of proxy GENERATION)
fill
systemctl set-property --runtime proxy.slice CPUQuota=150% || true
eventually 30 "the old env file is whole while /run is full" test -n "$(env_of proxy PARALLELISM)"
rm -f /run/filler
ok "a change after that" systemctl set-property --runtime proxy.slice CPUQuota=250%
eventually 60 "is published" prints 2500 env_of proxy QUOTA_MCPU

# --- a clock that jumps
date -s '+1 year' >/dev/null
systemctl set-property --runtime proxy.slice CPUQuota=350%
eventually 60 "a year later" prints 3500 env_of proxy QUOTA_MCPU
date -s '-2 years' >/dev/null
systemctl set-property --runtime proxy.slice CPUQuota=450%
eventually 60 "two years earlier" prints 4500 env_of proxy QUOTA_MCPU
date -s "+1 year" >/dev/null
