#!/bin/bash
# sidecarctl env: what each consumer makes of each format is the value that was configured. Every shell that this machine has is asked; systemd is asked
# in the virtual machine (guest/20-runtimes.sh). usage: ctl_env.sh SIDECARCTL
set -euo pipefail
ctl=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail=0
complain() {
	echo "$*"
	fail=1
}

# NAME and value; each value is hostile to somebody.
names=(PLAIN BLANKS QUOTES DOUBLE DOLLAR SUBST BACKTICK BACKSLASH LAST_BACKSLASH HASH GLOB EQUALS UMLAUT SEMICOLON PERCENT TILDE BRACES EMPTY)
values=('4' 'two  blanks' "it's" 'say "x"' '$HOME ${HOME}' '$(touch hacked)' '`touch hacked`' 'a\nb\\c' 'ends\' '# no comment' '* ? [a]' 'a=b=c' 'größer' 'a; touch hacked'
	'%i %%' '~root' '{a,b}' '')
mkdir -p "$work/conf/workloads.d"
{
	printf '[Workload]\n[Publish]\n'
	for i in "${!names[@]}"; do printf 'Environment=T_%s=%s\n' "${names[$i]}" "${values[$i]}"; done
} >"$work/conf/workloads.d/w.conf"
env_of() { "$ctl" env w --conf "$work/conf" --machine 'synthetic:node:2 core:2 pu:2' "$@"; }
cd "$work"

# --- shells
env_of --shell >shell
for shell in sh bash dash ksh zsh 'busybox sh'; do
	command -v ${shell%% *} >/dev/null || continue
	for locale in C C.UTF-8; do
		for i in "${!names[@]}"; do
			got=$(LC_ALL=$locale $shell -c '. ./shell; printenv "$1"; echo .' sh "T_${names[$i]}")
			[ "$got" = "${values[$i]}"$'\n.' ] || complain "$shell ($locale): ${names[$i]} is '$got', wanted '${values[$i]}'"
			got=$(LC_ALL=$locale $shell -c 'eval "$(cat shell)"; printenv "$1"; echo .' sh "T_${names[$i]}")
			[ "$got" = "${values[$i]}"$'\n.' ] || complain "$shell ($locale), eval: ${names[$i]} is '$got', wanted '${values[$i]}'"
		done
	done
done
# What systemd reads, shells read too.
env_of --systemd >systemd
env_of >default
cmp -s systemd default || complain "--systemd is not the default"
for i in "${!names[@]}"; do
	got=$(sh -c 'set -a; . ./systemd; printenv "$1"; echo .' sh "T_${names[$i]}")
	[ "$got" = "${values[$i]}"$'\n.' ] || complain "the environment file in sh: ${names[$i]} is '$got', wanted '${values[$i]}'"
done

# --- docker run --env-file: a line is NAME=VALUE up to its end, '#' begins a comment, blanks before the name are dropped
env_of --docker >docker
for i in "${!names[@]}"; do
	got=$(sed -n "s/^T_${names[$i]}=//p" docker && echo .)
	[ "$got" = "${values[$i]}"$'\n.' ] || complain "docker: ${names[$i]} is '$got', wanted '${values[$i]}'"
done
if grep -vqE '^[A-Za-z_][A-Za-z0-9_]*=' docker; then complain "docker: a line is no NAME=VALUE"; fi

# --- JSON
env_of --json >json
if command -v python3 >/dev/null; then
	for i in "${!names[@]}"; do
		got=$(python3 -c 'import json, sys; print(json.load(open("json"))[sys.argv[1]])' "T_${names[$i]}" && echo .)
		[ "$got" = "${values[$i]}"$'\n.' ] || complain "JSON: ${names[$i]} is '$got', wanted '${values[$i]}'"
	done
fi
[ ! -e hacked ] || complain "a value was executed"

# --- all say the same, and sidecard's own are there
for format in --shell --systemd --docker; do
	n=$(env_of $format | grep -cE '^(export )?SIDECARD_(PARALLELISM|CPUS|WORKLOAD)=')
	[ "$n" = 3 ] || complain "$format: $n of 3 of sidecard's own variables"
done

# --- a file that is not ours: names that are none are left out where they would be executed, control characters refused where a line would end
mkdir -p run/env
printf 'GOOD=1\ntouch hacked; X=1\n$(touch hacked)=2\n9X=3\nno line\n' >run/env/w.env
eval "$("$ctl" env w --runtime-dir run --shell)"
[ "${GOOD:-}" = 1 ] || complain "GOOD is not there"
[ ! -e hacked ] || complain "a name was executed"
printf 'TAB="a\tb"\nX="a\rb"\n' >run/env/w.env
if "$ctl" env w --runtime-dir run --docker >out 2>err; then complain "a carriage return was given to docker"; fi
grep -q 'X has a control character' err || complain "what it said: $(cat err)"
printf 'A=1\0B=2\n' >run/env/w.env
if "$ctl" env w --runtime-dir run --shell >out 2>err; then complain "a NUL was taken"; fi

# --- usage
expect() { # status, text, arguments
	local want=$1 text=$2 status=0
	shift 2
	"$ctl" env "$@" >out 2>err || status=$?
	[ "$status" = "$want" ] || complain "env $*: status $status, wanted $want"
	grep -q -- "$text" err || complain "env $*: it says '$(cat err)', not '$text'"
}
expect 2 'expected 1' --shell
expect 2 'expected 1' w x
expect 2 'not a workload' ../../etc/passwd
expect 2 'has no workload' nobody --conf conf
expect 2 'cannot read' w --runtime-dir none
expect 2 "is 'bogus'\|bogus" w --conf conf --machine bogus
# Both cannot have five PUs of their own of eight.
for name in first second; do printf '[CPU]\nMin=5\nExclusive=yes\n' >"conf/workloads.d/$name.conf"; done
printf '[Workload]\nPriority=1\n' >>conf/workloads.d/second.conf
status=0
env_of >/dev/null || status=$?
[ "$status" = 0 ] || complain "another workload that is not placed: $status"
status=0
"$ctl" env second --conf conf --machine 'synthetic:node:2 core:2 pu:2' >out || status=$?
[ "$status" = 1 ] && grep -q '^SIDECARD_PARALLELISM=' out || complain "not placed: status $status"
status=0
"$ctl" env first --conf conf --machine 'synthetic:node:2 core:2 pu:2' --quota 1.5 --allowed 1-7 >out || status=$?
[ "$status" = 0 ] && grep -qx 'SIDECARD_LIMITED_BY="cpu.max of /"' out || complain "--quota 1.5: status $status, $(grep LIMITED out)"
expect 2 "--quota is 'many'" first --conf conf --quota many
exit $fail
