#!/usr/bin/env bash
# usage: image.sh RELEASE
#
# Makes the tree and the disk image of a Debian release (bookworm, trixie). The guest boots the image, and build.sh
# compiles inside the tree, so one list of packages serves both. A tree made earlier by the same script is kept.
# The mirror is the one of this host's apt; SIDECARD_VM_MIRROR names another.

set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
. "$(dirname "$0")/common.sh"

guest_packages=(
	systemd systemd-sysv dbus udev kmod procps util-linux iproute2 linux-image-cloud-amd64
	numactl hwloc-nox jq strace psmisc man-db
)
build_packages=(
	gcc libc6-dev meson ninja-build pkgconf gzip
	libhwloc-dev libnuma-dev libcgroup-dev libsystemd-dev systemd-dev libinih-dev libjansson-dev
	libcmocka-dev
)
# What guest/20-runtimes.sh starts, and the compilers of its programs: in one release, the one that has them all.
runtime_packages=(
	golang-go openjdk-21-jdk-headless openjdk-25-jre-headless nodejs python3 erlang-base ruby puma php-fpm
	nginx haproxy valkey-server postgresql rustc
)
runtime_services=(nginx haproxy valkey-server postgresql php8.4-fpm phpsessionclean.timer epmd epmd.socket)
# All the initrd has to do is to find the root disk; a full one costs seconds of emulated decompression.
initrd_modules=(virtio_pci virtio_blk ext4)
# udev loads these for the emulated CPU; each tests itself for seconds and hotplug repeats some.
unwanted_modules=(aesni_intel ghash_clmulni_intel sha512_ssse3 sha256_ssse3 sha1_ssse3 crct10dif_pclmul crc32_pclmul
	crc32c_intel rapl intel_rapl_msr intel_rapl_common ahci serio_raw)

packages_of() {
	local package
	local -a packages=("${guest_packages[@]}" "${build_packages[@]}")

	[[ $1 != trixie ]] || packages+=("${runtime_packages[@]}")
	for package in "${packages[@]}"; do
		# Before trixie systemd.pc was part of the package systemd.
		[[ $package == systemd-dev && $1 == bookworm ]] || printf '%s\n' "$package"
	done | paste -sd,
}

make_guest_tree() {
	# Java and PostgreSQL link their manual pages, which are left out, and fail where there is no place for them.
	# shellcheck disable=SC2016  # $1 belongs to the hook
	make_tree "$release" "$1" "$(packages_of "$release")" \
		--setup-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"' \
		--setup-hook="printf 'MODULES=list\n' >\"\$1/etc/initramfs-tools/conf.d/vm\"" \
		--setup-hook="printf '%s\n' ${initrd_modules[*]} >\"\$1/usr/share/initramfs-tools/modules.d/vm\"" \
		--essential-hook='mkdir -p "$1/usr/share/man/man1" "$1/usr/share/man/man7"'
}

# What makes the tree a test machine: root without a password on the console, one unit that hands over to the
# payload disk, nothing that wakes up by itself or only makes the boot longer.
furnish() {
	local tree=$1 unit

	mkdir -p "$tree/src" "$tree/build" "$tree/payload"
	printf 'sidecard-vm\n' >"$tree/etc/hostname"
	printf '127.0.0.1 localhost sidecard-vm\n' >"$tree/etc/hosts"
	: >"$tree/etc/fstab"
	passwd --root "$tree" --delete root >/dev/null
	for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
		fstrim.timer man-db.timer systemd-pstore.service systemd-networkd.service systemd-networkd.socket \
		systemd-networkd-wait-online.service getty@tty1.service; do
		ln -sf /dev/null "$tree/etc/systemd/system/$unit"
	done
	for unit in "${runtime_services[@]}"; do
		[[ $unit == *.* ]] || unit+=.service
		ln -sf /dev/null "$tree/etc/systemd/system/$unit"
	done
	# Not a first boot, and nothing to update in it.
	tr -d - </proc/sys/kernel/random/uuid >"$tree/etc/machine-id"
	touch "$tree/etc/.updated" "$tree/var/.updated"
	printf 'blacklist %s\n' "${unwanted_modules[@]}" >"$tree/etc/modprobe.d/vm.conf"

	mkdir -p "$tree/etc/systemd/journald.conf.d"
	cat >"$tree/etc/systemd/journald.conf.d/vm.conf" <<-END
		[Journal]
		Storage=volatile
		RateLimitIntervalSec=0
	END

	cat >"$tree/etc/systemd/system/vm-payload.service" <<-END
		[Unit]
		Description=Install and test what lies on the payload disk
		After=multi-user.target

		[Service]
		ExecStartPre=/bin/mount -o ro LABEL=payload /payload
		ExecStart=/bin/bash /payload/guest/init.sh
	END
	mkdir -p "$tree/etc/systemd/system/multi-user.target.wants"
	ln -s ../vm-payload.service "$tree/etc/systemd/system/multi-user.target.wants/vm-payload.service"
}

[[ ${1:-} != --help ]] || { usage; exit; }
use_release "${1:-}"
need mke2fs e2fsprogs

key=$(key_of "$0" "$vm_dir/common.sh")
if has_key "$work" "$key"; then
	exit
fi

rm -f "$work/key"
rm -rf --one-file-system "$root" "$work/root.new" "$work"/build-*
make_guest_tree "$work/root.new"
furnish "$work/root.new"
make_image "$work/root.new" "$root_image" root 256
mv "$work/root.new" "$root"
printf '%s\n' "$key" >"$work/key"
