#!/usr/bin/env bash
# usage: build.sh [--check] RELEASE
#
# Builds the project inside the tree of a Debian release made by image.sh, and installs it into the payload directory
# from which boot.sh makes the second disk. The build directory is kept, so the next build is incremental. With
# --check the project's own tests are built and run there too, in a build directory of their own.
#
# The tree and the source are mounted read-only in a mount namespace of their own and without a network: whatever
# happens, no mount is left and nothing but the build and payload directories changes.

set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
. "$(dirname "$0")/common.sh"

# Runs in the new mount namespace.
mount_all() {
	mount --bind "$root" "$root"
	mount -o remount,bind,ro "$root"
	mount --bind "$source_root" "$root/src"
	mount -o remount,bind,ro "$root/src"
	mount --bind "$build" "$root/build"
	mount --bind "$payload" "$root/payload"
	mount -t tmpfs tmpfs "$root/tmp"
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --rbind /dev "$root/dev"
}

# Runs in the tree. Without dpkg-dev meson does not know Debian's library directory.
compile() {
	local tests=$1

	[ -e /build/build.ninja ] ||
		meson setup --buildtype=debugoptimized --werror -Dprefix=/usr -Dsysconfdir=/etc -Dlocalstatedir=/var \
			-Dlibdir="lib/$(gcc -print-multiarch)" -Dtests="$tests" /build /src >/build/setup.log || {
			cat /build/setup.log
			exit 1
		}
	ninja --quiet -C /build
	if [ "$tests" = enabled ]; then
		meson test -C /build --no-rebuild --print-errorlogs
	fi
	DESTDIR=/payload/install meson install -C /build --no-rebuild --quiet
	if command -v go >/dev/null; then
		/src/tests/vm/runtimes/build.sh /payload/runtimes /build/go-cache
	fi
}

tests=disabled
case ${1:-} in
--help) usage; exit ;;
--in-namespace)	# our own second half, below
	eval "$2"
	mount_all
	exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 TMPDIR=/tmp \
		chroot "$root" /bin/bash -euc "$(declare -f compile); compile $3" ;;
--check) tests=enabled; shift ;;
esac

use_release "${1:-}"
need unshare util-linux
[ -e "$source_root/meson.build" ] || die "'$source_root/meson.build' not found, expected the project to be built"
[ -e "$work/key" ] || die "no tree of $release, expected image.sh $release to have run"

build=$work/build-$tests
rm -rf "$payload/install"
mkdir -p "$build" "$payload/install"
unshare --mount --net --propagation private "$0" --in-namespace "$(declare -p root source_root build payload)" "$tests"
