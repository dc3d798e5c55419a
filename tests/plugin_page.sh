#!/bin/sh
# What sidecard.plugins(7) says of each plugin is what the plugin's table says. With SIDECARD_GOLDEN=write the page gets it written anew.
# usage: plugin_page.sh PLUGIN_PAGE MANUAL_PAGE PLUGIN...
set -eu
program=$1
page=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$program" "$@" >"$work/table"
[ -s "$work/table" ]
# From the first section of a plugin to the next part of the page.
awk '/^\.SH / { inside = $2 == "PLUGINS" } inside && /^\.SS / { begun = 1 } inside && begun' "$page" >"$work/page"
if cmp -s "$work/table" "$work/page"; then
	exit 0
fi
if [ "${SIDECARD_GOLDEN:-}" = write ]; then
	awk -v table="$work/table" '
	/^\.SH / { inside = $2 == "PLUGINS"; if (begun && !inside) begun = 0 }
	inside && /^\.SS / && !begun { begun = 1; while ((getline line < table) > 0) print line }
	!begun' "$page" >"$work/new"
	cat "$work/new" >"$page"
	exit 0
fi
printf '%s and the tables of the plugins differ (< table, > page):\n' "$page"
diff "$work/table" "$work/page"
