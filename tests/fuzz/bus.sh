#!/bin/bash
# The whole daemon on a private bus: noise on every method as root and as a stranger, dfuzzer where it is installed, and a bus that
# dies in between. It must live through all of it as the same process, without a sanitizer's word, without a leak, in bounded memory.
# usage: bus.sh BUILD-DIRECTORY [SEED]
set -euo pipefail
build=$(realpath "$1")
seed=${2:-$RANDOM}
n_calls=${BUS_CALLS:-2000}
dir=$(mktemp -d /tmp/sidecard-noise-XXXXXX)
address=unix:path=$dir/bus
daemon= bus=

finish() {
	local status=$?
	[ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null || true
	[ -z "$bus" ] || kill -KILL "$bus" 2>/dev/null || true
	if [ $status != 0 ]; then
		echo "seed $seed"
		tail -n 60 "$dir/log"
	fi
	rm -rf "$dir"
	exit $status
}
trap finish EXIT

bus_start() {
	rm -f "$dir/bus"
	dbus-daemon --config-file="$dir/bus.conf" --nofork --nopidfile </dev/null >"$dir/bus.log" 2>&1 &
	bus=$!
}

# eventually COMMAND...: within a minute.
eventually() {
	local deadline=$((SECONDS + 60))
	until "$@" >/dev/null 2>&1; do
		kill -0 "$daemon" || { echo "sidecard ended"; return 1; }
		((SECONDS < deadline)) || { echo "not within a minute: $*"; return 1; }
		sleep 0.1
	done
}

on_bus() {
	dbus-send --bus="$address" --print-reply --dest=io.sidecard1 /io/sidecard1 \
		org.freedesktop.DBus.Properties.Get string:io.sidecard1.Manager string:Generation
}

resident_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$daemon/status"; }

chmod 755 "$dir"
mkdir -p "$dir/conf/workloads.d"
for name in proxy agent-1 batch; do
	printf '[Match]\nUnit=%s.service\n' $name >"$dir/conf/workloads.d/$name.conf"
done
cat >"$dir/bus.conf" <<-E
	<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
	 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
	<busconfig><listen>$address</listen><auth>EXTERNAL</auth>
	<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/>
	<allow eavesdrop="true"/></policy></busconfig>
E
export ASAN_OPTIONS=quarantine_size_mb=1:${ASAN_OPTIONS:-}
DBUS_SYSTEM_BUS_ADDRESS=$address "$build/sidecard/sidecard" --conf "$dir/conf" --runtime-dir "$dir/run" \
	--machine "synthetic:numa:2 core:4 pu:2" --log-level err </dev/null >"$dir/log" 2>&1 &
daemon=$!
sleep 0.5 # it begins without a bus
bus_start
eventually on_bus
"$build/tests/fuzz/bus_noise" "$address" "$seed" 500 # what is allocated once
before=$(resident_kib)
for round in 1 2 3; do
	"$build/tests/fuzz/bus_noise" "$address" $((seed + round)) "$n_calls"
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid 65534 --regid 65534 --clear-groups "$build/tests/fuzz/bus_noise" "$address" $((seed + 10 * round)) "$n_calls"
	fi
	kill -KILL "$bus"
	{ wait "$bus" || true; } 2>/dev/null
	bus_start
	eventually on_bus
done
if command -v dfuzzer >/dev/null; then
	DBUS_SYSTEM_BUS_ADDRESS=$address DBUS_SESSION_BUS_ADDRESS=$address timeout 120 dfuzzer -n io.sidecard1 >"$dir/dfuzzer.log" 2>&1 ||
		{ tail -n 30 "$dir/dfuzzer.log"; exit 1; }
fi
after=$(resident_kib)
echo "        resident: $before KiB before, $after KiB after"
[ "$after" -lt $((before + 8192)) ] || { echo "it grows"; exit 1; }
eventually on_bus
kill -TERM "$daemon"
status=0
wait "$daemon" || status=$?
daemon=
[ $status = 0 ] || { echo "exit $status"; exit 1; }
if grep -nE 'ERROR: |runtime error|SUMMARY' "$dir/log"; then
	exit 1
fi
