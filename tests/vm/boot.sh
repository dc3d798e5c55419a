#!/usr/bin/env bash
# usage: boot.sh [--no-build | --shell] RELEASE [TEST-GLOB...]
#
# Boots the test machine with a Debian release: 4 packages with a NUMA node each, 2 cores of 2 PUs in each, emulated
# without KVM. The guest installs what build.sh made, runs the tests of guest/ whose names match a glob (all by
# default), and powers off. Their TAP lines come out on stdout as they happen, the last line counts them.
#
#   --no-build   do not install anything; runs the tests of the machine itself, 0*, unless others are named
#   --shell      install, run no test, and give the console (root, no password; leave with poweroff or Ctrl-A X)
#
# SIDECARD_VM_BOOT_S is the time allowed from power-on to the first test, 300 by default; a machine that stands still is
# started again, twice at most.
# SIDECARD_VM_TIMEOUT is the time allowed from power-on to power-off, 30m by default. The console's text and the
# results stay in console.log and results.tap of the release's work directory.

set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
. "$(dirname "$0")/common.sh"

pack_payload() {
	mkdir -p "$payload"
	if $with_install; then
		[ -d "$payload/install" ] || die "nothing is built for $release, expected build.sh $release to have run"
	else
		rm -rf "$payload/install"
	fi
	rm -rf "$payload/guest"
	cp -r "$vm_dir/guest" "$payload/guest"
	make_image "$payload" "$payload_image" payload 16
}

# shellcheck disable=SC2054  # the commas are QEMU's
machine() {
	local node other distance

	# One thread for all 16 processors: on two or four real ones that is twice as fast as a thread each, and no timer
	# interrupt is lost.
	# QEMU of the emulator's tree with that tree's libraries and firmware; no chroot, so paths are ours.
	qemu=("$emulator/root/lib64/ld-linux-x86-64.so.2" --library-path "$emulator/root/usr/lib/x86_64-linux-gnu"
		"$emulator/root/usr/bin/qemu-system-x86_64"
		-L "$emulator/root/usr/share/seabios" -L "$emulator/root/usr/share/qemu"
		-nodefaults -no-user-config -no-reboot -display none
		-M q35,usb=off -accel tcg,thread=single -cpu Skylake-Server-v4
		-smp 16,sockets=4,cores=2,threads=2 -m 4G
		-kernel "$(echo "$root"/boot/vmlinuz-*)" -initrd "$(echo "$root"/boot/initrd.img-*)")
	for node in 0 1 2 3; do
		qemu+=(-object "memory-backend-ram,id=m$node,size=1G"
			-numa "node,nodeid=$node,memdev=m$node,cpus=$((node * 4))-$((node * 4 + 3))")
	done
	# Nodes 0 and 1 are a pair, so are 2 and 3; another pair is farther away.
	for node in 0 1 2 3; do
		for other in 0 1 2 3; do
			distance=21
			((node / 2 != other / 2)) || distance=12
			((node != other)) || distance=10
			qemu+=(-numa "dist,src=$node,dst=$other,val=$distance")
		done
	done
	qemu+=(-drive "if=none,id=root,file=$root_image,format=raw,snapshot=on,cache=unsafe"
		-device virtio-blk-pci,drive=root,bus=pcie.0
		-drive "if=none,id=payload,file=$payload_image,format=raw,snapshot=on,cache=unsafe"
		-device virtio-blk-pci,drive=payload,bus=pcie.0)
	# A network card near node 2, connected to nothing.
	qemu+=(-device pxb-pcie,id=near2,bus_nr=64,numa_node=2,bus=pcie.0
		-device pcie-root-port,id=port2,bus=near2,chassis=1
		-netdev user,id=net,restrict=on -device virtio-net-pci,netdev=net,bus=port2,romfile=)
}

# Kernel command line; mitigations cost much and mean nothing in an emulated machine.
command_line() {
	printf '%s ' root=/dev/vda rw rootflags=noatime console=ttyS0 psi=1 panic=-1 oops=panic mitigations=off audit=0 random.trust_cpu=on \
		fsck.mode=skip net.ifnames=0 systemd.show_status=auto "$@"
}

boot_shell() {
	qemu+=(-serial mon:stdio -serial null -append "$(command_line)")
	"${qemu[@]}"
}

# comes_up PID: the first test line is there. Emulated processors sometimes lose a timer interrupt while they come up
# ("rcu_preempt kthread starved", "Possible timer handling issue"), and then nothing ever happens; a boot takes a minute
# or two on a busy machine.
comes_up() {
	local seconds

	for ((seconds = 0; seconds < ${SIDECARD_VM_BOOT_S:-300}; seconds++)); do
		[ ! -s "$results" ] || return 0
		kill -0 "$1" 2>/dev/null || return 0
		sleep 1
	done
	return 1
}

boot_tests() {
	local globs=$1 qemu_pid attempt status=0

	: >"$results"
	qemu+=(-serial "file:$console" -serial "file:$results" -monitor none
		-append "$(command_line systemd.mask=serial-getty@ttyS0.service "vm.tests=$globs")")
	for attempt in 1 2 3; do
		timeout --kill-after=10 "${SIDECARD_VM_TIMEOUT:-30m}" "${qemu[@]}" </dev/null >"$work/qemu.log" 2>&1 &
		qemu_pid=$!
		# shellcheck disable=SC2064  # this process, now
		trap "kill $qemu_pid 2>/dev/null || true" EXIT
		comes_up "$qemu_pid" || ((attempt == 3)) && break
		printf '# the emulated machine stood still before any test (attempt %s); once more\n' "$attempt"
		kill "$qemu_pid" 2>/dev/null || true
		wait "$qemu_pid" || true
	done
	tail --pid="$qemu_pid" --sleep-interval=0.5 -n +1 -f "$results"
	wait "$qemu_pid" || status=$?
	trap - EXIT

	# The guest's last line is the plan; without it the machine ended before the tests did.
	if ! grep -q '^1\.\.' "$results"; then
		{
			printf 'not ok - the machine ran to the end of its tests\n'
			printf '# QEMU ended with status %s (124: out of time)\n' "$status"
			sed "/TCG doesn't support requested feature/d; s/^/# qemu: /" "$work/qemu.log"
			tail -n 80 "$console" | tr -d '\r' | sed 's/^/# console: /'
		} | tee -a "$results"
	fi
}

any_matches() {
	local globs=$1 test

	for test in "$vm_dir"/guest/[0-9]*.sh; do
		! "$vm_dir/guest/matches.sh" "$(basename "$test" .sh)" "$globs" || return 0
	done
	return 1
}

with_install=true
shell=false
while [[ ${1:-} == --* ]]; do
	case $1 in
	--help) usage; exit ;;
	--no-build) with_install=false ;;
	--shell) shell=true ;;
	*) die "option is '$1', expected --no-build, --shell or --help" ;;
	esac
	shift
done

use_release "${1:-}"
shift
need mke2fs e2fsprogs
[ -e "$emulator/key" ] || die "no emulator, expected emulator.sh to have run"
[ -e "$work/key" ] || die "no image of $release, expected image.sh $release to have run"
$with_install && default='*' || default='0*'
globs=$(IFS=,; printf '%s' "${*:-$default}")
any_matches "$globs" || die "no test in guest/ matches '$globs'"

pack_payload
machine
if $shell; then
	boot_shell
	exit
fi

boot_tests "$globs"
passed=$(grep -c '^ok ' "$results" || true)
failed=$(grep -c '^not ok ' "$results" || true)
printf 'vm %s: %d passed, %d failed\n' "$release" "$passed" "$failed" | tee "$summary"
((failed == 0 && passed > 0))
