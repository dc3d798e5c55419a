#!/usr/bin/env bash
# usage: emulator.sh
#
# Makes a tree with QEMU as in Debian 13, whatever the host has, because QEMU 7.2 of Debian 12 loses a guest's flags
# register now and then: Linux 6.12 then dies of double faults in most boots, on one thread or many, whichever CPU is
# emulated. With 10.0 it does not. A tree made earlier by the same script is kept.

set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
. "$(dirname "$0")/common.sh"

[[ ${1:-} != --help ]] || { usage; exit; }
need_root
lock "$emulator"

key=$(key_of "$0" "$vm_dir/common.sh")
if has_key "$emulator" "$key"; then
	exit
fi

rm -f "$emulator/key"
rm -rf --one-file-system "$emulator/root"
make_tree trixie "$emulator/root" qemu-system-x86
printf '%s\n' "$key" >"$emulator/key"
