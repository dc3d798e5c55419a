# What the scripts of this folder share: places, messages, one lock per release. Sourced, never run.
# shellcheck shell=bash disable=SC2034  # the variables are for the scripts that source this file

RELEASES=(bookworm trixie)

vm_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_root=$(cd "$vm_dir/../.." && pwd)
vm_work=${SIDECARD_VM_DIR:-$source_root/build/vm}
emulator=$vm_work/emulator

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# The comment at the head of a script is its manual.
usage() {
	sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
}

# need COMMAND PACKAGE: says at once what has to be installed.
need() {
	command -v "$1" >/dev/null || die "'$1' not found, expected Debian package '$2' to be installed"
}

is_release() {
	[[ " ${RELEASES[*]} " == *" $1 "* ]]
}

need_root() {
	[ "$(id -u)" -eq 0 ] || die "user is '$(id -un)', expected root (chroot and mounts)"
}

# lock DIRECTORY: held until the script ends.
lock() {
	mkdir -p "$1"
	exec {lock_fd}>"$1/lock"
	flock -n "$lock_fd" || {
		printf '%s: waiting for another run in %s\n' "${0##*/}" "$1" >&2
		flock "$lock_fd"
	}
}

# use_release NAME: sets the places of that release and holds its lock until the script ends, because a tree
# being made, a build and a running machine must not meet.
use_release() {
	release=${1:-}
	is_release "$release" || die "release is '$release', expected one of: ${RELEASES[*]}"
	need_root

	work=$vm_work/$release
	root=$work/root			# the release as a tree; never changed once made
	root_image=$work/root.ext4
	payload=$work/payload		# install/ (the product) and guest/ (the tests), made anew by build.sh and boot.sh
	payload_image=$work/payload.ext4
	console=$work/console.log
	results=$work/results.tap
	summary=$work/summary		# boot.sh's last line

	lock "$work"
}

# Where this host's apt gets its own release from, without the security and updates archives.
mirror_of_host() {
	local codename

	codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
	# shellcheck disable=SC2016  # apt expands it
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(SITE)' |
		awk -v release="$codename" '$1 == release && $2 == "main" { print $3; exit }'
}

# make_tree RELEASE TREE PACKAGES [MMDEBSTRAP-OPTION...]: a Debian tree without what only people read.
make_tree() {
	local suite=$1 tree=$2 packages=$3 keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror path
	local -a options=()
	shift 3

	need mmdebstrap mmdebstrap
	[ -e "$keyring" ] || die "'$keyring' not found, expected Debian package 'debian-archive-keyring' to be installed"
	mirror=${SIDECARD_VM_MIRROR:-$(mirror_of_host)}
	[ -n "$mirror" ] || die "apt names no Debian mirror of this host's release, expected one there or in SIDECARD_VM_MIRROR"
	for path in doc man locale info lintian; do
		options+=(--dpkgopt="path-exclude=/usr/share/$path/*")
	done
	mmdebstrap --quiet --variant=minbase --format=directory --keyring="$keyring" --aptopt='Acquire::Retries "3"' \
		"${options[@]}" --include="$packages" "$@" "$suite" "$tree" "deb $mirror $suite main"
}

# key_of FILE...: changes when one of these does.
key_of() {
	cat "$@" | sha256sum | cut -d' ' -f1
}

# has_key DIRECTORY KEY: what is there was made by the same scripts, and to the end.
has_key() {
	[[ -e $1/key && $(<"$1/key") == "$2" ]]
}

# make_image TREE IMAGE LABEL SPARE_MIB: an ext4 image of TREE with room to spare; a fifth more than du says
# holds the inode tables.
make_image() {
	local tree=$1 image=$2 label=$3 spare_mib=$4 used_mib

	used_mib=$(du -sm --apparent-size "$tree" | cut -f1)
	rm -f "$image"
	truncate -s "$((used_mib + used_mib / 5 + spare_mib))M" "$image"
	mke2fs -q -t ext4 -O ^has_journal -m 0 -L "$label" -d "$tree" "$image"
}
