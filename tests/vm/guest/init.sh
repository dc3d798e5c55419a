#!/usr/bin/env bash
# What the guest runs once it is up (vm-payload.service): installs the product from the payload disk, then runs the
# tests named on the kernel command line (vm.tests=GLOB,GLOB) and powers off. Without vm.tests it only installs.
#
# Results are TAP on the second serial port. Tests run one after the other, each in a scope of its own that is
# killed afterwards, with all processors online. A test says how long it may take by a line '# timeout: SECONDS'.

set -euo pipefail
shopt -s lastpipe

payload=/payload
logs=/run/vm-tests
default_timeout_s=300
n=0

globs=$(sed -n 's/.*\bvm\.tests=\([^ ]*\).*/\1/p' /proc/cmdline)
# Closing the port waits until all is sent; then nothing of the machine is worth a shutdown.
finish() {
	local status=$?

	((status == 0)) || say "# $0 ended with status $status"
	exec 3>&-
	systemctl poweroff --force --force
}

if [ -n "$globs" ]; then
	exec 3>/dev/ttyS1
	stty -F /dev/ttyS1 -opost -echo
	trap finish EXIT
else
	exec 3>&1
fi

say() {
	printf '%s\n' "$*" >&3
}

# diagnose TITLE: stdin as TAP comments.
diagnose() {
	tr -d '\r' | sed "s/^/#   $1: /" >&3
}

# Debian's /lib is a link and meson's units may be in /lib/systemd: links to directories have to be kept.
install_product() {
	tar -C "$payload/install" -c . | tar -C / -x --keep-directory-symlink --no-overwrite-dir &&
		ldconfig &&
		systemd-sysusers &&
		systemd-tmpfiles --create &&
		journalctl --update-catalog &&
		systemctl daemon-reload &&
		systemctl reload dbus
}

# relay NAME: passes on a test's TAP lines, renumbered through all tests and with its name; counts what it saw.
relay() {
	local name=$1 line

	passed=0
	failed=0
	while IFS= read -r line; do
		if [[ $line =~ ^(not )?ok\ [0-9]+\ -\ (.*) ]]; then
			n=$((n + 1))
			if [ -n "${BASH_REMATCH[1]}" ]; then
				failed=$((failed + 1))
			else
				passed=$((passed + 1))
			fi
			line="${BASH_REMATCH[1]}ok $n - $name: ${BASH_REMATCH[2]}"
		elif [[ $line != '#'* ]]; then
			line="# $line"
		fi
		say "$line"
	done
}

# What a failed test leaves to look at: its last words, and the journal since it began.
show_remains() {
	local name=$1 since=$2
	local -a journal=(journalctl --no-pager --quiet --output short-monotonic --no-hostname --since "@$since")

	tail -n 40 "$logs/$name.err" | diagnose stderr
	"${journal[@]}" -n 60 -u 'sidecard*' | diagnose sidecard
	"${journal[@]}" -n 60 | grep -v -e ' sidecard' -e ' journalctl' | diagnose journal
	systemctl --no-pager --quiet --plain --no-legend --failed | diagnose 'failed unit'
}

# Leaves the machine as the next test expects it.
tidy() {
	local cpu

	systemctl kill --signal=KILL "$1.scope" 2>/dev/null || true
	systemctl stop 'wl-*' 2>/dev/null || true
	systemctl reset-failed
	for cpu in /sys/devices/system/cpu/cpu[0-9]*/online; do
		[[ $(<"$cpu") == 1 ]] || echo 1 >"$cpu"
	done
}

run_test() {
	local test=$1 name=$2 limit_s status=0 since start_s=$SECONDS problem=

	limit_s=$(sed -n 's/^# timeout: \([0-9]*\)$/\1/p' "$test")
	limit_s=${limit_s:-$default_timeout_s}
	since=$EPOCHSECONDS
	say "# $name"
	: >"$logs/$name.out"
	systemd-run --scope --quiet --collect --unit="vm-$name" \
		timeout --kill-after=20 "$limit_s" bash "$test" </dev/null >"$logs/$name.out" 2>"$logs/$name.err" &
	tail --pid=$! --sleep-interval=0.2 -n +1 -f "$logs/$name.out" | relay "$name"
	wait $! || status=$?

	if ((status == 124 || status == 137)); then
		problem="it ended within $limit_s s"
	elif ((status != 0 && failed == 0)); then
		problem="it ended with status 0, not $status"
	elif ((passed + failed == 0)); then
		problem="it tested something"
	fi
	if [ -n "$problem" ]; then
		n=$((n + 1))
		failed=$((failed + 1))
		say "not ok $n - $name: $problem"
	fi
	((failed == 0)) || show_remains "$name" "$since" || true
	tidy "vm-$name" || say "# could not tidy up after $name"
	say "# $name: $((SECONDS - start_s)) s"
}

mkdir -p "$logs"
if [ -d "$payload/install" ] && ! install_product >"$logs/install.err" 2>&1; then
	n=$((n + 1))
	say "not ok $n - install: the product is installed"
	diagnose install <"$logs/install.err"
fi
[ -n "$globs" ] || exit 0

# Devices still being found would come between the tests.
udevadm settle
say "# up after $(cut -d. -f1 /proc/uptime) s: $(uname -r), $(systemctl --version | head -n1)"
for test in "$payload"/guest/[0-9]*.sh; do
	name=$(basename "$test" .sh)
	if bash "$payload/guest/matches.sh" "$name" "$globs"; then
		run_test "$test" "$name"
	fi
done
say "1..$n"
