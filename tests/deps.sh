#!/bin/sh
# Installs the Debian packages that a build or the tests need and that are missing: deps.sh build|check. Does nothing, and needs no privilege, where all are there.
set -eu
build="gcc make meson ninja-build pkg-config libhwloc-dev libnuma-dev libcgroup-dev libsystemd-dev libinih-dev libjansson-dev"
check="$build libcmocka-dev clang clang-format libclang-rt-dev dbus man-db groff-base bzip2 strace python3
       coinor-cbc glpk-utils qemu-system-x86 mmdebstrap debian-archive-keyring e2fsprogs util-linux"
case ${1:-} in
build) packages=$build ;;
check) packages=$check ;;
*)
	echo "usage: $0 build|check" >&2
	exit 2
	;;
esac
if ! command -v dpkg-query >/dev/null; then
	echo "deps.sh: this is not a Debian system; install by hand what corresponds to:" $packages >&2
	exit 1
fi
missing=
for package in $packages; do
	# The sanitizer and fuzzer runtime carries its compiler's version in its name.
	if [ "$package" = libclang-rt-dev ]; then
		version=$(clang --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -n 1)
		[ -n "$version" ] || version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
		package=libclang-rt-${version:-14}-dev
	fi
	dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed$' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
if [ "$(id -u)" = 0 ]; then as_root=; else as_root=sudo; fi
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
