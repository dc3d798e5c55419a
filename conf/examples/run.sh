#!/bin/bash
# The main job on this machine's own processors, without systemd and without privilege: two workloads get their PUs and their number, then one of them
# is configured anew and everybody sees it move. usage: run.sh BUILD-DIRECTORY
set -euo pipefail
build=$(cd "${1:-build}" && pwd)
export PATH=$build/sidecard:$build/sidecard/ctl:$PATH
work=$(mktemp -d)
pids=()
cleanup() {
	kill "${pids[@]}" 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*" | sed "$([ -t 1 ] && echo '' || echo 's/\x1b\[[0-9;]*m//g')"; }
ctl() { local verb=$1; shift; sidecarctl "$verb" --runtime-dir "$work/run" "$@"; }

# A child that sizes itself as sidecard tells it, and says so whenever that changes.
cat >"$work/child" <<'E2'
#!/bin/bash
say() { printf '  %-6s process %s may run on PUs %s and starts %s threads\n' "$SIDECARD_WORKLOAD" $$ \
	"$(sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status)" "$1"; }
last=
while :; do
	now=$(sed -n 's/^SIDECARD_PARALLELISM=//p' "$1") || exit
	[ "$now" = "$last" ] || say "$now"
	last=$now
	sleep 0.2
done
E2
chmod +x "$work/child"

mkdir -p "$work/conf/workloads.d"
cat >"$work/conf/workloads.d/agent.conf" <<'E2'
[Workload]
Description=control plane: one thread, shares what nobody owns
Role=control-plane
[CPU]
Min=1
Max=1
E2
cat >"$work/conf/workloads.d/proxy.conf" <<'E2'
[Workload]
Description=data plane: a PU of its own
Role=data-plane
[CPU]
Min=1
Max=1
Exclusive=yes
[NUMA]
Policy=single
E2

say "This machine"
sidecarctl topology
say "Two workloads: $(cd "$work/conf/workloads.d" && echo *)"
sidecard --no-bus --conf "$work/conf" --runtime-dir "$work/run" --log-level warning --plugin-dir "$build/plugins" &
pids+=($!)
daemon=$!
for _ in $(seq 100); do ctl list >/dev/null 2>&1 && break; sleep 0.1; done
for name in agent proxy; do
	sidecarctl run --runtime-dir "$work/run" --workload "$name" -- "$work/child" "$work/run/env/$name.env" &
	pids+=($!)
done
sleep 1.5
say "Where they are, and the number each one has"
ctl list
say "The proxy's file is edited: no PU of its own, up to two threads; then: reload"
sed -i 's/^Max=1/Max=2/; s/^Exclusive=yes/Exclusive=no/' "$work/conf/workloads.d/proxy.conf"
ctl reload
sleep 1.5
ctl list
say "Why"
ctl explain proxy
say "A file with a fault: everything stays as it is"
printf '[CPU]\nMinn=2\n' >"$work/conf/workloads.d/broken.conf"
ctl reload || true
ctl list
