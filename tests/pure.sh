#!/bin/sh
# Decide without touching: what the objects given call outside themselves is memory, strings and arithmetic, nothing that reads or changes the world.
set -eu
allowed='__.*|_GLOBAL_OFFSET_TABLE_|calloc|malloc|realloc|free|freep|mem[a-z]+|str[a-z]+|open_memstream|fclose|fclosep|fprintf|fputs|fputc|fwrite|putc|f?puts|v?snprintf|v?asprintf|sscanf|qsort|bsearch|round|floor|ceil|lround|json.*|abort'
defined=$(nm --defined-only "$@" | awk 'NF == 3 { print $3 }' | sort -u)
bad=$(nm -u "$@" | awk '$1 == "U" { print $2 }' | sort -u | grep -vE "^($allowed)$" | grep -vxF "$defined" |
	grep -vE '^(cpuset|nodeset|topology|quota|fault|text|name|workload|pool|strings|plan)_' || true)
[ -z "$bad" ] || {
	echo "not pure: $bad"
	exit 1
}
