#!/bin/sh
# Includes point at data: every stage may include base and model; apply and publish also plan; sense and plan/plan_diff.h share struct place; only the
# daemon and the tools know several stages. Prints each include that breaks the rule.
set -eu
cd "$(dirname "$0")/../sidecard"
fail=0
allow() { # stage, allowed stages
	stage=$1
	shift
	pattern=$(printf '%s|' "$stage" "$@" | sed 's/|$//')
	bad=$(grep -rnE '^#include "[a-z_]+/' "$stage" | grep -vE "#include \"($pattern)/" || true)
	if [ -n "$bad" ]; then
		printf '%s may include %s only:\n%s\n' "$stage" "$*" "$bad"
		fail=1
	fi
}
allow base model
allow model base
allow plan base model
allow regulate base model
allow sense base model plan
allow apply base model plan
allow publish base model plan edge/sidecard.h edge
allow edge base model plan
# Kernel paths are known to sys_linux.c, to the programs' defaults and to what stands alone (the client library, the probe that reads mounts).
bad=$(grep -rnE '"/(sys|proc)/' --include='*.c' . |
	grep -vE '^\./(base/sys_linux|sense/(topo_read|topo_load|cgroup_find|probe_main)|apply/applier_main|edge/plugin|ctl/[a-z_]+|daemon|main)\.c:' || true)
if [ -n "$bad" ]; then
	printf 'kernel paths outside sys_linux.c:\n%s\n' "$bad"
	fail=1
fi
exit $fail
