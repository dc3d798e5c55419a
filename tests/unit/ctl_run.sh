#!/bin/bash
# sidecarctl run against a real daemon, without privilege: what the command becomes, gets and is refused. usage: ctl_run.sh BUILD-DIRECTORY
set -euo pipefail
build=$1
work=$(mktemp -d)
daemon=
trap 'kill $daemon 2>/dev/null; wait; rm -rf "$work"' EXIT
fail=0
complain() {
	echo "$*"
	fail=1
}
mkdir -p "$work/conf/workloads.d"
printf '[Partition]\nHousekeeping=none\n' >"$work/conf/sidecard.conf"
w() { cat >"$work/conf/workloads.d/$1.conf"; }
w one <<'E2'
[CPU]
Max=1
[Publish]
Environment=T_VALUE=it's "x" $HOME
E2
w jvm <<'E2'
[Workload]
Plugin=jvm
[CPU]
Max=1
E2
w nginx <<'E2'
[Workload]
Plugin=nginx
[CPU]
Max=1
E2
w loose <<'E2'
[CPU]
Max=1
[Threads]
Pin=none
E2
cd "$work"
"$build/sidecard/sidecard" --no-bus --conf conf --runtime-dir "$work/run" --log-level err --plugin-dir "$build/plugins" </dev/null >daemon.log 2>&1 &
daemon=$!
run() { "$build/sidecard/ctl/sidecarctl" run --runtime-dir "$work/run" "$@"; }
for _ in $(seq 150); do
	[ -e run/env/one.env ] && [ -e run/env/nginx.env ] && break
	sleep 0.1
done
is() { [ "$2" = "$3" ] || complain "$1: '$2', wanted '$3'"; }

is "placeholders" "$(run --workload one -- printf '%%s|' '%{parallelism}' 'n=%{parallelism_ceil}' '%{workload}' '%%' '+%d')" '1|n=1|one|%|+%d|'
is "no -- is needed, and its options are its own" "$(run --workload one sh -c 'echo $0 $1' --workload x)" '--workload x'
is "its PUs are those that it was told" "$(run --workload one -- sh -c 'echo $SIDECARD_CPUS')" "$(run --workload one -- sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status)"
is "a value is what was configured" "$(run --workload one -- printenv T_VALUE)" "it's \"x\" \$HOME"
is "the page" "$(run --workload one -- printenv SIDECARD_PAGE)" "$work/run/live/one"
is "Pin=none: the set stays" "$(run --workload loose -- sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status)" "$(sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status)"
is "its exit status" "$(run --workload one -- sh -c 'exit 7' || echo $?)" 7
is "the caller's environment stays" "$(A=1 run --workload one -- printenv A)" 1

# --- plugins
option='-XX:ActiveProcessorCount=1'
got=$(JAVA_TOOL_OPTIONS=-Dmine=1 run --workload jvm -- printenv JAVA_TOOL_OPTIONS)
[[ $got == "-Dmine=1 "*"$option"* ]] || complain "JAVA_TOOL_OPTIONS is '$got': not the caller's and ours"
is "and not twice" "$(JAVA_TOOL_OPTIONS=$got run --workload jvm -- printenv JAVA_TOOL_OPTIONS)" "$got"
is "arguments" "$(run --workload nginx -- printf '%%s|' '%{arguments}' end)" '-g|worker_processes 1;|end|'
is "none" "$(run --workload one -- printf '%%s|' '%{arguments}' end)" 'end|'

# --- preload
is "nproc counts the set" "$(run --workload loose -- nproc)" "$(nproc)"
LD_PRELOAD=$build/sidecard/edge/libsidecard-preload.so
is "with the library it is told" "$(run --workload loose -- env LD_PRELOAD="$LD_PRELOAD" nproc)" 1
unset LD_PRELOAD
got=$(LD_PRELOAD='' run --preload --workload one -- printenv LD_PRELOAD 2>/dev/null)
[[ $got == */libsidecard-preload.so* ]] || complain "--preload: LD_PRELOAD is '$got'"

# --- refusals
expect() { # status, text, arguments
	local want=$1 text=$2 status=0
	shift 2
	run "$@" >out 2>err || status=$?
	[ "$status" = "$want" ] || complain "run $*: status $status, wanted $want: $(cat err)"
	grep -q -- "$text" err || complain "run $*: it says '$(cat err)', not '$text'"
}
expect 2 'no --workload NAME' -- true
expect 2 'no COMMAND' --workload one
expect 2 "no workload is called 'none'" --workload none -- true
expect 2 "'%{http_code}' is not known" --workload one -- curl -w '%{http_code}'
expect 127 'cannot execute' --workload one -- /nonexistent
expect 126 'cannot execute' --workload one -- /etc/passwd
expect 2 'proposes no arguments' --workload one -- '%{arguments}'
exit $fail
