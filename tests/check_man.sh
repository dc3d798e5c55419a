#!/bin/bash
# The manual pages agree with the programs: each option of --help has an entry and each entry's option is in --help; each verb too; and man finds no fault.
set -euo pipefail
cd "$(dirname "$0")/.."
fail=0
complain() {
	echo "$*"
	fail=1
}
options_of() { grep -oE -- '--[a-z][a-z-]+' | sort -u; }
page() { sed 's/\\-/-/g; s/\\f[A-Z]//g' "$1"; }

help=$(sed -n '/^static const char help\[\]/,/;$/p' sidecard/main.c | options_of)
for option in $help; do
	grep -qE -- "^\.(B|BI|BR) .*$option" <<<"$(page systemd/sidecard.8)" || complain "sidecard.8 lacks $option"
done
for option in $(page systemd/sidecard.8 | sed -n '/^\.SH OPTIONS/,/^\.SH WHAT/p' | options_of); do
	grep -qx -- "$option" <<<"$help" || complain "sidecard --help lacks $option"
done
verbs=$(sed -n '/^} verbs\[\]/,/^};/p' sidecard/ctl/sidecarctl.c | grep -oE '^\s+\{ *"[a-z]+"' | grep -oE '[a-z]+')
# Not through a pipe: grep -q ends at the first hit, and sed would die of what it still has to write.
ctl_page=$(page systemd/sidecarctl.1)
[ -n "$verbs" ] || complain "no verbs found in sidecarctl.c"
for verb in $verbs; do
	grep -qE -- "^\.(BR|BI) $verb( |$)" <<<"$ctl_page" || complain "sidecarctl.1 lacks $verb"
	grep -q "$verb" systemd/completion/sidecarctl.bash || complain "the bash completion lacks $verb"
	grep -q "'$verb:" systemd/completion/_sidecarctl || complain "the zsh completion lacks $verb"
	[ -f "sidecard/ctl/$verb.c" ] || complain "sidecard/ctl/$verb.c is not there"
	for option in $(grep -v '^//' "sidecard/ctl/$verb.c" | grep -E '^\s*"|help\[\] =' | options_of); do
		grep -q -- "$option" <<<"$ctl_page" || complain "sidecarctl.1 lacks $option of $verb"
	done
done
for file in systemd/*.[18] conf/*.[57]; do
	[ -f "$file" ] || continue
	warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$file" 2>&1 >/dev/null || true)
	[ -z "$warnings" ] || complain "$file: $warnings"
done
exit $fail
