#!/bin/bash
# The example of plugins/README.md, built as a third party would: with the installed header, by pkg-config, outside of the tree; then it is loaded, checked
# and asked. usage: plugin_sdk.sh BUILD_DIRECTORY PLUGIN_PAGE README
set -euo pipefail
build=$1
program=$2
readme=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Headers and pkg-config files only. What else is built does not matter to a third party.
meson install -C "$build" --no-rebuild --quiet --tags devel --destdir "$work/root" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
pc=$(find "$work/root" -name sidecard-plugin.pc)
[ -n "$pc" ] || { echo "sidecard-plugin.pc is not installed"; exit 1; }
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
PKG_CONFIG_PATH=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$work/root
sed -n '/^```c$/,/^```$/p' "$readme" | sed '1d;$d' >"$work/acme.c"
[ -s "$work/acme.c" ] || { echo "no example in $readme"; exit 1; }
[ "$(wc -l <"$readme")" -le 40 ] || { echo "$readme is longer than 40 lines"; exit 1; }
read -ra flags <<<"$(pkg-config --cflags sidecard-plugin)"
for standard in c11 gnu17; do
	"${CC:-cc}" -std=$standard -Wall -Wextra -Wpedantic -Wno-missing-field-initializers -Werror -shared -fPIC -fvisibility=hidden \
		"${flags[@]}" -o "$work/acme.so" "$work/acme.c"
done
directory=$(pkg-config --variable=plugindir sidecard-plugin)
[ -n "$directory" ] || { echo "sidecard-plugin.pc tells no plugindir"; exit 1; }
"$program" "$work/acme.so" >"$work/page"
grep -qx 'ACME_THREADS=2' "$work/page" || { echo "the example does not answer as it says:"; cat "$work/page"; exit 1; }
grep -qx '.B spare=0' "$work/page" || { echo "the example has no key:"; cat "$work/page"; exit 1; }
