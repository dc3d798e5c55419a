#!/usr/bin/env bash
# usage: matches.sh NAME GLOB[,GLOB...]
#
# Whether the test NAME (without .sh) is one of those asked for. Host and guest both ask here.

set -euo pipefail

IFS=, read -ra globs <<<"$2"
for glob in "${globs[@]}"; do
	# shellcheck disable=SC2053  # a pattern is meant
	[[ $1 != ${glob%.sh} ]] || exit 0
done
exit 1
