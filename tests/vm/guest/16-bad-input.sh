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

# --- the bus restarts
ok "the bus restarts" systemctl restart dbus
eventually 90 "sidecard lives on without it" alive
on_bus() { busctl get-property io.sidecard1 /io/sidecard1 io.sidecard1.Manager Version; }
eventually 120 "and is on the bus again" on_bus

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
