#!/bin/bash
# Each plugin has an example below conf/examples/runtimes, and what it tells for that example is without fault.
# usage: example_runtimes.sh SIDECARCTL PLUGIN_DIRECTORY CONF_DIRECTORY PLUGIN...
set -euo pipefail
sidecarctl=$1
directory=$2
conf=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail=0
complain() {
	echo "$*"
	fail=1
}

# The loader takes files that nobody else may write; a build directory may be a group's.
install -d -m 755 "$work/plugins"
install -m 644 "$directory"/*.so "$work/plugins"
for name; do
	[ "$name" = generic ] && continue
	if [ ! -f "$conf/workloads.d/$name.conf" ]; then
		complain "there is no example of $name"
		continue
	fi
	grep -qx "Plugin=$name" "$conf/workloads.d/$name.conf" || complain "the example $name has another plugin"
	"$sidecarctl" env "$name" --machine 'synthetic:node:2 core:16 pu:2' --conf "$conf" --plugin-dir "$work/plugins" >"$work/out" 2>"$work/err" ||
		complain "env $name: exit $?"
	[ ! -s "$work/err" ] || complain "env $name: $(cat "$work/err")"
	grep -q '^SIDECARD_PARALLELISM=[1-9]' "$work/out" || complain "env $name tells no number"
done
grep -q 'JAVA_TOOL_OPTIONS="-Xlog:gc -XX:ActiveProcessorCount=' <("$sidecarctl" env jvm --machine 'synthetic:node:2 core:16 pu:2' --conf "$conf" \
	--plugin-dir "$work/plugins") || complain "the options of the JVM's example do not come first"
exit $fail
