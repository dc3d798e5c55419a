#!/bin/sh
# Small enough to hold in the head: files under 700 lines, functions under 100.
set -eu
cd "$(dirname "$0")/.."
find sidecard plugins tests -name '*.[ch]' | sort | awk '
{
	file = $0; n = 0; start = 0; skip = 0
	while ((getline line < file) > 0) {
		n++
		if (line ~ /^#define .*\\$/) skip = 1
		if (skip) { if (line !~ /\\$/) skip = 0; continue }
		if (line == "{") start = n
		if (line == "}" && start) {
			if (n - start > 100) { printf "%s:%d: function of %d lines, at most 100\n", file, start, n - start; bad = 1 }
			start = 0
		}
	}
	close(file)
	if (n > 700) { printf "%s: %d lines, at most 700\n", file, n; bad = 1 }
}
END { exit bad }'
