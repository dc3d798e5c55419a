#!/bin/sh
# The table of keys, the manual and the sample say the same: every key with its default in every place, in the same order, and no other.
# usage: conf_keys.sh CONF_SAMPLE CONF_DIRECTORY
set -eu
sample=$1
conf=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail=0

# "[Section] Key=default", a line a key.
keys_of_sample() {
	awk '/^\[/ { section = $0 } /^#[A-Z][A-Za-z]*=/ { print section " " substr($0, 2) }'
}
keys_of_page() {
	awk '/^\.SS "\[/ { section = $2; gsub(/"/, "", section) }
	     last == ".TP" && /^\.B [A-Z][A-Za-z]*=/ { key = substr($0, 4); gsub(/"/, "", key); print section " " key }
	     { last = $0 }' "$1"
}

for which in sidecard pool workload; do
	case $which in
	sidecard) page=$conf/sidecard.conf.5 ;;
	*) page=$conf/sidecard.$which.5 ;;
	esac
	"$sample" $which | keys_of_sample >"$work/table"
	keys_of_page "$page" >"$work/page"
	if [ ! -s "$work/table" ]; then
		echo "no keys in the sample of $which"
		fail=1
	fi
	if ! diff "$work/table" "$work/page" >"$work/diff"; then
		printf '%s and the table differ (< table, > page):\n' "$page"
		cat "$work/diff"
		fail=1
	fi
done
if ! "$sample" sidecard | diff - "$conf/sidecard.conf" >"$work/diff"; then
	printf 'sidecard.conf is not what the table says (< table, > file):\n'
	cat "$work/diff"
	fail=1
fi
exit $fail
