#!/usr/bin/env bash
# timeout: 900
# Real runtimes under a quota that sits on an ancestor of theirs, with a fraction in it (2.5 PUs), and in the PUs of one NUMA node: what each starts by its
# own rule, and what it starts by `sidecarctl run`. Prints a table. The programs are those of ../runtimes and of Debian's packages.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=SCRIPTDIR/workloads.sh
. "$(dirname "$0")/workloads.sh"

programs=/payload/runtimes
if [ ! -e $programs/made ]; then
	skip "runtimes" "this release has not all of them"
	exit
fi
quota_pu=2.5
most=3 # the quota's ceiling: for runtimes that want a fraction rounded up
work=/run/runtimes
at_exit "rm -rf $work"
mkdir -p $work/php $work/puma
chmod 777 $work

# --- what is started -----------------------------------------------------------------------------------------------
# For a runtime: its plugin, its command, what tells that it is up, and how many it runs at once. $ready is a file or socket that it makes once all has
# started, $log what it says, $cgroup the directory of its unit's cgroup.

threads() { # comm pattern: how many threads of the unit's processes are called so
	cat $(sed 's,.*,/proc/&/task/*/comm,' "$cgroup/cgroup.procs") 2>/dev/null | grep -cE "$1" || true
}
processes() { # pattern: how many of its processes have such a command line
	local pid n=0
	for pid in $(<"$cgroup/cgroup.procs"); do
		if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qE "$1"; then n=$((n + 1)); fi
	done
	echo $n
}

plugin_of() {
	case $1 in
	jvm*) echo jvm ;;
	valkey) echo redis ;;
	*) echo "$1" ;;
	esac
}

command_of() { # name, number of threads where its user has to say one; fills $command
	local n=$2
	case $1 in
	go | rust | openmp) command=("$programs/$1" "$ready") ;;
	jvm21 | jvm25)
		command=(/usr/lib/jvm/java-"${1#jvm}"-openjdk-amd64/bin/java -Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseParallelGC
			-XX:-UseDynamicNumberOfGCThreads -cp $programs Workers "$ready") ;;
	node) command=(node $programs/workers.js "$ready") ;;
	python) command=(python3 $programs/workers.py "$ready") ;;
	beam)
		command=(erl -noinput -eval
			"file:write_file(\"$ready\", integer_to_list(erlang:system_info(schedulers_online)) ++ \"\\n\").") ;;
	puma) command=(puma -C $programs/puma.rb) ;;
	php-fpm)
		printf '[global]\nerror_log=%s\n[www]\nuser=nobody\nlisten=%s\npm=static\npm.max_children=%s\n' \
			"$log" $work/php/socket "${n:-5}" >$work/php/conf
		command=(php-fpm8.4 -F -y $work/php/conf) ;;
	nginx)
		printf 'daemon off;\n%s\npid %s;\nerror_log stderr notice;\nevents { }\n' "${n:+#}worker_processes auto;" $work/nginx.pid >$work/nginx.conf
		command=(nginx -c $work/nginx.conf) ;;
	haproxy)
		printf 'global\n stats socket %s\n%s\ndefaults\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n' "$ready" \
			"${n:+ nbthread \"$n\"}" >$work/haproxy.cfg
		command=(haproxy -db -f $work/haproxy.cfg) ;;
	valkey) command=(valkey-server --save '' --port 0 --unixsocket "$ready") ;;
	postgres)
		# It refuses root, and whoever is not root has to be named by [Match]: registered first, then postgres.
		command=(setpriv --reuid postgres --regid postgres --init-groups /usr/lib/postgresql/17/bin/postgres -D /var/lib/postgresql/17/main
			-c config_file=/etc/postgresql/17/main/postgresql.conf -c ssl=off -c listen_addresses= -c "unix_socket_directories=$work"
			-c max_parallel_workers_per_gather=8 -c parallel_setup_cost=0 -c parallel_tuple_cost=0 -c min_parallel_table_scan_size=0) ;;
	esac
}

# Options of sidecarctl run and placeholders among the arguments: what a user of that runtime writes.
sidecard_words() {
	case $1 in
	nginx | valkey | postgres) command+=('%{arguments}') ;;
	esac
}

is_up() {
	case $1 in
	puma) [ "$(grep -c ' booted' "$log")" = "$(sed -n 's/.* Workers: *//p' "$log")" ] ;;
	php-fpm) grep -q 'ready to handle connections' "$log" ;;
	# The master forks one after the other: no more for a while.
	nginx) [ "$(grep -c 'start worker process [0-9]' "$log")" -ge 1 ] && sleep 1 &&
		[ "$(grep -c 'start worker process [0-9]' "$log")" = "$(processes '^nginx: worker process')" ] ;;
	postgres) psql_run 'select 1' ;;
	haproxy | valkey) [ -S "$ready" ] ;;
	*) [ -s "$ready" ] ;;
	esac
}

psql_run() { setpriv --reuid postgres --clear-groups psql -h $work -At -c "$1" postgres; }

count_of() { # what it can run at once
	case $1 in
	go | rust | node | python) cat "$ready" ;;
	# The reported number and the collector's threads: the larger one.
	jvm*) printf '%s\n' "$(threads '^worker$')" "$(threads '^GC Thread#')" | sort -n | tail -n 1 ;;
	openmp | haproxy) threads . ;;
	beam) cat "$ready" ;;
	puma) processes '^puma: cluster worker' ;;
	php-fpm) processes '^php-fpm: pool' ;;
	nginx) processes '^nginx: worker process' ;;
	valkey) threads '^(valkey-server|io_thd_)' ;;
	postgres)
		psql_run 'create table if not exists t as select generate_series(1, 20000) as i; analyze t' >/dev/null
		psql_run 'explain (analyze, costs off, timing off) select count(*) from t' | awk '/Workers Launched/ { n = $NF } END { print n + 1 }' ;;
	esac
}

# What the kernel lets any of its threads run on, as one list.
where_of() {
	local pid
	for pid in $(<"$cgroup/cgroup.procs"); do
		thread_cpus_of "$pid" 2>/dev/null || true
	done | tr ',' '\n' | awk -F- '{ for (i = $1; i <= $NF; i++) has[i] = 1; if ($NF + 0 > last) last = $NF + 0 }
		END { for (i = 0; i <= last; i++) if (has[i]) {
			for (end = i; has[end + 1]; end++)
				;
			printf "%s%d", comma, i
			if (end > i) printf "-%d", end
			comma = ","
			i = end
		} }'
}

# start NAME WHICH WORDS...: in a unit below the slice with the quota.
start() {
	local name=$1 which=$2
	shift 2
	rm -f "$ready" "$log"
	: >"$log"
	chmod 666 "$log"
	at_exit "systemctl --quiet stop wl-$which-$name.service 2>/dev/null"
	systemd-run --quiet --collect --unit="wl-$which-$name" --slice=runtimes-pod.slice -p "StandardOutput=append:$log" \
		-p "StandardError=append:$log" -p RuntimeMaxSec=240 -- "$@"
	cgroup=/sys/fs/cgroup$(systemctl show --value -p ControlGroup "wl-$which-$name.service")
}

# measure NAME WHICH: waits for it, then fills $n and $where.
measure() {
	local deadline=$((SECONDS + 120))
	n=
	where=
	while ((SECONDS < deadline)); do
		if is_up "$1" >/dev/null 2>&1; then
			n=$(count_of "$1")
			where=$(where_of)
			break
		fi
		sleep 0.3
	done
	[ -n "$n" ] || diag "$1 $2: $(tail -n 5 "$log")"
}

stop() {
	systemctl stop "wl-$2-$1.service" 2>/dev/null || true
}

# --- the host: one slice has the quota, what is started lives two levels below it -----------------------------------
unit_file runtimes.slice <<E2
[Slice]
CPUQuota=250%
E2
unit_file runtimes-pod.slice <<'E2'
[Slice]
E2
systemctl daemon-reload
conf_file pools.d/near.conf <<'E2'
[Pool]
Nodes=2
E2
names=(go jvm21 jvm25 node python beam puma php-fpm nginx haproxy valkey postgres rust openmp)
for name in "${names[@]}"; do
	conf_file "workloads.d/$name.conf" <<-E2
		[Workload]
		Pool=near
		Plugin=$(plugin_of "$name")
		[NUMA]
		Memory=strict
	E2
done
table=$work/table
printf '%-9s  %6s %-12s  %6s %-8s %s\n' RUNTIME BEFORE 'ON PUS' AFTER 'ON PUS' '(quota 2.5 PUs of an ancestor, pool: node 2)' >$table
ok "sidecard starts" start_sidecard
partition=$(list_expand "$(</sys/devices/system/node/node2/cpulist)")
partition=${partition// /,}

for name in "${names[@]}"; do
	ready=$work/$name.ready
	log=$work/$name.log
	command_of "$name" ''
	start "$name" before "${command[@]}"
	measure "$name" before
	before_n=$n before_where=$where
	stop "$name" before

	# shellcheck disable=SC2016  # HAProxy and PHP-FPM expand it
	command_of "$name" '${SIDECARD_PARALLELISM}'
	sidecard_words "$name"
	start "$name" after sidecarctl run --workload "$name" -- "${command[@]}"
	measure "$name" after
	printf '%-9s  %6s %-12s  %6s %-8s\n' "$name" "${before_n:-?}" "${before_where:-?}" "${n:-?}" "${where:-?}" >>$table
	if [ -n "$n" ] && ((n >= 1 && n <= most)) && cpus_subset "$where" "$partition"; then
		_pass "$name: at most $most at once, on node 2 alone"
	else
		_fail "$name: at most $most at once, on node 2 alone"
		diag "$n on PUs '$where', node 2 is '$partition'; before: $before_n on '$before_where'"
		diag "$(cat $run/env/"$name".env 2>&1)"
		diag "$(tail -n 10 "$log")"
	fi
	if [ "$name" = go ]; then
		is "its memory comes from node 2 alone" "$(awk '{ print $2 }' /proc/"$(head -n 1 "$cgroup/cgroup.procs")"/numa_maps | sort -u | paste -sd' ')" bind:2
		is "its number knows the ancestor's quota" "$(env_of go QUOTA_MCPU)" 2500
	fi
	stop "$name" after
done
diag "$(cat $table)"

# --- systemd reads what env --systemd prints, hostile values too
conf_file workloads.d/hostile.conf <<'E2'
[Publish]
Environment=T_QUOTES=it's "x" $HOME ${HOME} `x` \ %i # no
Environment=T_BLANKS= two  blanks
E2
ok "the configuration is read again" sidecarctl reload
eventually 30 "its file is there" test -s $run/env/hostile.env
sidecarctl env hostile --systemd >$work/hostile.env
systemd-run --quiet --wait --collect -p "EnvironmentFile=$work/hostile.env" -p "StandardOutput=file:$work/seen" env
is "systemd takes quotes and dollars as they are" "$(sed -n 's/^T_QUOTES=//p' $work/seen)" 'it'\''s "x" $HOME ${HOME} `x` \ %i # no'
is "and blanks" "$(sed -n 's/^T_BLANKS=//p' $work/seen)" "$(sidecarctl env hostile --json | jq -r .T_BLANKS)"
