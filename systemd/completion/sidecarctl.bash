# bash completion for sidecarctl(1)
_sidecarctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
	local verbs="status list show topology plan explain env run watch check capture top record replay reload"
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$verbs --help --version" -- "$cur")
		return
	fi
	case $prev in
	--runtime-dir | --conf | --plugin-dir) mapfile -t COMPREPLY < <(compgen -d -- "$cur") && return ;;
	--machine) mapfile -t COMPREPLY < <(compgen -W "live synthetic:" -f -- "$cur") && return ;;
	--held) mapfile -t COMPREPLY < <(compgen -f -- "$cur") && return ;;
	--workload) mapfile -t COMPREPLY < <(compgen -W "$(_sidecarctl_names)" -- "$cur") && return ;;
	esac
	local options="--runtime-dir --json --help"
	case $verb in
	topology) options="--runtime-dir --machine --xml --json --help" ;;
	plan) options="--machine --conf --allowed --quota --plugin-dir --held --json --help" ;;
	env) options="--systemd --shell --docker --json --machine --conf --allowed --quota --plugin-dir --runtime-dir --help" ;;
	top) options="--once --interval --runtime-dir --json --help" ;;
	record) options="--for --runtime-dir --json --help" ;;
	replay) options="--set --json --help" ;;
	run) options="--workload --preload --runtime-dir --help" ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		return
	fi
	case $verb in
	show | explain | env | watch) mapfile -t COMPREPLY < <(compgen -W "$(_sidecarctl_names)" -- "$cur") ;;
	check | capture) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
	record | replay) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	run) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
	esac
}
_sidecarctl_names() {
	local file
	for file in /run/sidecard/env/*.env; do
		[[ -e $file ]] && basename "$file" .env
	done
}
complete -F _sidecarctl sidecarctl
