#!/usr/bin/env bash
# usage: run.sh [--check | --no-build] [RELEASE...] [-- TEST-GLOB...]
#
# Everything at once, for each Debian release (bookworm and trixie by default): makes its image, builds the project in
# it, boots it as a machine with four NUMA nodes under QEMU and runs the tests of guest/ there. Needs root, Debian
# packages mmdebstrap, debian-archive-keyring and e2fsprogs, and apt's mirror; needs no KVM, and brings its own QEMU.
#
#   run.sh                          both releases, all tests
#   run.sh trixie -- '10-*' 30-env  one release, some tests
#   run.sh --check                  as the first, and the project's other tests as each release compiles them
#   run.sh --no-build               the machine itself, without the project
#
# The last lines count each release's tests; the status is 0 only if some ran and none failed. Work files are in
# build/vm of the source tree, or in SIDECARD_VM_DIR. Run the steps alone, or again, with emulator.sh, image.sh,
# build.sh and boot.sh; boot.sh --shell RELEASE gives a console.

set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
. "$(dirname "$0")/common.sh"

# phase NAME COMMAND...: what it took, in seconds.
phase() {
	local name=$1 start=$SECONDS status=0
	shift

	"$@" </dev/null || status=$?
	printf '# %s: %d s\n' "$name" "$((SECONDS - start))"
	return "$status"
}

run_release() {
	local release=$1

	phase image "$vm_dir/image.sh" "$release" || return
	# shellcheck disable=SC2086  # no option or one
	[ -n "$no_build" ] || phase build "$vm_dir/build.sh" $check "$release" || return
	# shellcheck disable=SC2086  # no option or one
	phase boot "$vm_dir/boot.sh" $no_build "$release" "${globs[@]}"
}

check=
no_build=
releases=()
globs=()
while [ $# -gt 0 ]; do
	case $1 in
	--help) usage; exit ;;
	--check) check=$1 ;;
	--no-build) no_build=$1 ;;
	--) shift; globs=("$@"); break ;;
	*) is_release "$1" || die "release is '$1', expected one of: ${RELEASES[*]}"
		releases+=("$1") ;;
	esac
	shift
done
[ ${#releases[@]} -gt 0 ] || releases=("${RELEASES[@]}")

phase emulator "$vm_dir/emulator.sh" || exit
# Side by side: the tests mostly wait, so two machines take hardly longer than one. Each release is a job with a
# process group of its own (set -m), so that nothing of it outlives us.
set -m
jobs=()
trap 'kill -- "${jobs[@]/#/-}" 2>/dev/null || true' EXIT
for release in "${releases[@]}"; do
	rm -f "$vm_work/$release/summary"
	(run_release "$release" 2>&1 | sed -u "s/^/$release: /") &
	jobs+=($!)
done

status=0
for job in "${jobs[@]}"; do
	wait "$job" || status=1
done
for release in "${releases[@]}"; do
	cat "$vm_work/$release/summary" 2>/dev/null || printf 'vm %s: did not get as far as its tests\n' "$release"
done
exit "$status"
