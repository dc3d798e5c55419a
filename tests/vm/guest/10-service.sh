#!/usr/bin/env bash
# The service as installed, without any workload: it starts, answers, is hardened, stops and leaves nothing behind.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=SCRIPTDIR/workloads.sh
. "$(dirname "$0")/workloads.sh"

ok "it starts" start_sidecard
is "it is active" "$(systemctl is-active sidecard)" active
pid=$(pid_of_unit sidecard)
is "the front has no capability" "$(awk '/^Cap(Prm|Eff|Amb)/ { print $2 }' "/proc/$pid/status" | sort -u)" 0000000000000000
applier=$(pgrep -P "$pid" sidecard-apply || true)
ok "the applier is a process of its own" test -n "$applier"
diag "applier: $(awk '/^CapEff/ { print $2 }' "/proc/$applier/status")"
exposure=$(systemd-analyze security sidecard.service --no-pager | sed -n 's/.*Overall exposure level.*: \([0-9.]*\) .*/\1/p')
diag "exposure $exposure"
ok "systemd-analyze security is at most 2.0" awk -v e="$exposure" 'BEGIN { exit !(e != "" && e <= 2.0) }'
ok "systemd finds no fault in the units" systemd-analyze verify sidecard.service sidecard.socket
ok "status" sidecarctl status
ok "list in JSON" sh -c 'sidecarctl list --json | jq -e ".workloads | length == 0"'
ok "the bus knows it" busctl tree io.sidecard1
ok "the bus can be introspected" busctl introspect io.sidecard1 /io/sidecard1
if command -v varlinkctl >/dev/null; then
	ok "varlinkctl info" varlinkctl info $run/io.sidecard
	ok "varlinkctl introspect" varlinkctl introspect $run/io.sidecard io.sidecard
	ok "varlinkctl call List" varlinkctl call $run/io.sidecard io.sidecard.List '{}'
fi
is "topology shows the PUs" "$(sidecarctl topology --json | jq '.n_pu // .machine.n_pu')" 16
ok "plan for this machine" sidecarctl plan --json
ok "check" sidecarctl check
ok "a user may read" setpriv --reuid=nobody --regid=nogroup --clear-groups sidecarctl status
ok "a user may not reload" not setpriv --reuid=nobody --regid=nogroup --clear-groups sidecarctl reload
ok "root may reload by the bus" busctl call io.sidecard1 /io/sidecard1 io.sidecard1.Manager Reload
ok "a user may not reload by the bus" not setpriv --reuid=nobody --regid=nogroup --clear-groups \
	busctl call io.sidecard1 /io/sidecard1 io.sidecard1.Manager Reload
ok "systemctl reload" systemctl reload sidecard
is "it is still the same process" "$(pid_of_unit sidecard)" "$pid"
ok "it stops" systemctl stop sidecard.socket sidecard.service
is "no drop-in of ours is left" "$(find /run/systemd/system.control -name '50-Allowed*' 2>/dev/null)" ""
ok "the bus starts it again when asked" busctl get-property io.sidecard1 /io/sidecard1 io.sidecard1.Manager Version
