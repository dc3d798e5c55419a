/* Each trap of the runtimes (what they read wrongly, refuse, or switch off) as a named row: what
 * the plugin tells then. And the classes of threads, by the names that runtimes really use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plugins_fixture.h"

#define GIB (UINT64_C(1) << 30)

/* clang-format off */
static const struct {
	const char *why, *plugin;
	struct plugin_case row;
	const char *expected;
} traps[] = {
	/* Go */
	{ "steering: a variable would end the runtime's own updates", "go",
	  { 1500, 6, 1, .steer = true, .leaf_mcpu = 1500 }, "nothing" },
	{ "steering: the limit is an ancestor's, which it never sees, so it is told", "go",
	  { 1500, 6, 1, .steer = true }, "GOMAXPROCS=2" },
	{ "steering: no quota brings it below 2, so it is told", "go",
	  { 1000, 6, 1, .steer = true, .leaf_mcpu = 1000 }, "GOMAXPROCS=1" },
	{ "steering: its affinity alone leads there", "go", { 0, 6, 1, .steer = true },
	  "nothing" },
	{ "a module before 1.25 never looks at a quota, steered or not", "go",
	  { 1500, 6, 1, .steer = true, .settings = "language=older" }, "GOMAXPROCS=2" },
	{ "automaxprocs counts no affinity and ends the updates unless told", "go",
	  { 1500, 6, 1, .steer = true, .settings = "automaxprocs=yes" }, "GOMAXPROCS=2" },
	{ "the memory limit is told as nine tenths", "go",
	  { 1000, 6, 1, .memory_bytes = 1000000000 }, "GOMEMLIMIT=900000000 | GOMAXPROCS=1" },
	{ "automemlimit sets the memory limit itself", "go",
	  { 1000, 6, 1, .memory_bytes = GIB, .settings = "automemlimit=yes" }, "GOMAXPROCS=1" },
	{ "and is there where its own variable is", "go",
	  { 1000, 6, 1, .memory_bytes = GIB, .environment = "AUTOMEMLIMIT=0.8" },
	  "AUTOMEMLIMIT=0.8 | GOMAXPROCS=1" },
	{ "a user's own number stays", "go",
	  { 1500, 6, 1, .environment = "GOMAXPROCS=1" }, "GOMAXPROCS=1" },
	{ "a memory limit of nothing would be 0, which Go takes for a limit", "go",
	  { 1000, 6, 1, .memory_bytes = 50 }, "GOMAXPROCS=1" },
	/* JVM */
	{ "what the variable has stays, and ours comes behind it", "jvm",
	  { 2500, 6, 1, .environment = "JAVA_TOOL_OPTIONS=-Xmx1g" },
	  "JAVA_TOOL_OPTIONS=-Xmx1g -XX:ActiveProcessorCount=3" },
	{ "started within the same workload again: not twice", "jvm",
	  { 2500, 6, 1, .environment = "JAVA_TOOL_OPTIONS=-Xmx1g -XX:ActiveProcessorCount=3" },
	  "JAVA_TOOL_OPTIONS=-Xmx1g -XX:ActiveProcessorCount=3" },
	{ "what only ends like it is another option", "jvm",
	  { 2500, 6, 1, .environment = "JAVA_TOOL_OPTIONS=-Dx-XX:ActiveProcessorCount=3" },
	  "JAVA_TOOL_OPTIONS=-Dx-XX:ActiveProcessorCount=3 -XX:ActiveProcessorCount=3" },
	{ "an older number of an outer workload: the last one holds", "jvm",
	  { 2500, 6, 1, .environment = "JAVA_TOOL_OPTIONS=-XX:ActiveProcessorCount=8" },
	  "JAVA_TOOL_OPTIONS=-XX:ActiveProcessorCount=8 -XX:ActiveProcessorCount=3" },
	{ "an empty variable gets no blank in front", "jvm",
	  { 2500, 6, 1, .environment = "JAVA_TOOL_OPTIONS=" },
	  "JAVA_TOOL_OPTIONS=-XX:ActiveProcessorCount=3" },
	{ "count 1 would change the collector to the serial one", "jvm",
	  { 1000, 6, 1 },
	  "JAVA_TOOL_OPTIONS=-XX:ActiveProcessorCount=1 -XX:+AlwaysActAsServerClassMachine" },
	{ "unless the user wants what the JVM wants", "jvm",
	  { 1000, 6, 1, .settings = "keep-collector=no" },
	  "JAVA_TOOL_OPTIONS=-XX:ActiveProcessorCount=1" },
	{ "with little memory the JVM takes the serial one at any count", "jvm",
	  { 1000, 6, 1, .memory_bytes = GIB }, "JAVA_TOOL_OPTIONS=-XX:ActiveProcessorCount=1" },
	{ "steering: the count would end the JVM's own look, NUMA does not", "jvm",
	  { 2500, 6, 2, .steer = true, .leaf_mcpu = 2500 }, "JAVA_TOOL_OPTIONS=-XX:+UseNUMA" },
	{ "steering on one node has nothing to tell", "jvm",
	  { 2500, 6, 1, .steer = true, .leaf_mcpu = 2500 }, "nothing" },
	{ "ConcGCThreads above ParallelGCThreads keeps the JVM from starting", "jvm",
	  { 2000, 6, 1, .settings = "pools=yes" },
	  "JAVA_TOOL_OPTIONS=-XX:ActiveProcessorCount=2 -XX:ParallelGCThreads=2 -XX:ConcGCThreads=1"
	  " -Djava.util.concurrent.ForkJoinPool.common.parallelism=1"
	  " -Djdk.virtualThreadScheduler.parallelism=2 -Dio.netty.availableProcessors=2" },
	{ "a percentage is a number with a point to old JVMs", "jvm",
	  { 0, 2, 1, .settings = "memory-percent=75" },
	  "JAVA_TOOL_OPTIONS=-XX:ActiveProcessorCount=2 -XX:MaxRAMPercentage=75.0" },
	{ "launchers that drop the one may read the other", "jvm",
	  { 0, 2, 1, .settings = "variable=JDK_JAVA_OPTIONS" },
	  "JDK_JAVA_OPTIONS=-XX:ActiveProcessorCount=2" },
	/* .NET */
	{ "the count is decimal, the number of heaps hexadecimal", "dotnet",
	  { 0, 64, 1, .settings = "server-gc=yes" },
	  "DOTNET_GCNoAffinitize=1 | DOTNET_GCHeapCount=40 | DOTNET_PROCESSOR_COUNT=64" },
	{ "ten heaps are a", "dotnet", { 10000, 64, 1, .settings = "server-gc=yes" },
	  "DOTNET_GCNoAffinitize=1 | DOTNET_GCHeapCount=a | DOTNET_PROCESSOR_COUNT=10" },
	{ "ranges, not the hexadecimal mask", "dotnet",
	  { 0, 6, 1, .settings = "server-gc=yes\ngc-affinity=ranges" },
	  "DOTNET_GCHeapAffinitizeRanges=0-5 | DOTNET_GCHeapCount=6 | DOTNET_PROCESSOR_COUNT=6" },
	{ "steering: neither count", "dotnet",
	  { 2500, 6, 1, .steer = true, .leaf_mcpu = 2500, .settings = "server-gc=yes" }, "DOTNET_GCNoAffinitize=1" },
	/* Rust */
	{ "Tokio aborts at 0: half a PU is 1", "rust", { 500, 6, 1 },
	  "TOKIO_WORKER_THREADS=1 | RAYON_NUM_THREADS=1" },
	{ "std is right by itself: nothing where steered", "rust", { 1500, 6, 1, .steer = true, .leaf_mcpu = 1500 },
	  "nothing" },
	/* Node.js */
	{ "NODE_OPTIONS is added to", "node",
	  { 2000, 6, 1, .environment = "NODE_OPTIONS=--enable-source-maps" },
	  "NODE_OPTIONS=--enable-source-maps --v8-pool-size=2 | UV_THREADPOOL_SIZE=4 | "
	  "WEB_CONCURRENCY=2" },
	{ "libuv's count takes the topmost limit: told, never steered", "node",
	  { 2000, 6, 1, .steer = true },
	  "refused: proxy:0: [Publish] Mode: plugin 'node' does not know 'steer', expected 'fixed'" },
	{ "the heap is a part of the memory limit, in MiB", "node",
	  { 1000, 6, 1, .memory_bytes = 2 * GIB,
	    .settings = "memory-percent=50\nweb-concurrency=no\nio-threads=16" },
	  "UV_THREADPOOL_SIZE=16 | NODE_OPTIONS=--v8-pool-size=1 --max-old-space-size=1023" },
	/* Python */
	{ "os.cpu_count() changes too, so it can be left out", "python",
	  { 2000, 6, 1, .settings = "cpu-count=no" },
	  "OMP_NUM_THREADS=2 | OPENBLAS_NUM_THREADS=2 | MKL_NUM_THREADS=2 | BLIS_NUM_THREADS=2" },
	{ "processes and threads would multiply", "python",
	  { 4000, 6, 1, .settings = "parallel=processes" },
	  "PYTHON_CPU_COUNT=4 | OMP_NUM_THREADS=1 | OPENBLAS_NUM_THREADS=1 | MKL_NUM_THREADS=1 | "
	  "BLIS_NUM_THREADS=1 | WEB_CONCURRENCY=4" },
	/* OpenMP and BLAS */
	{ "places stack threads unless the count goes with them; whole cores", "openmp",
	  { 0, 6, 1, .settings = "blas=none" },
	  "OMP_NUM_THREADS=6 | OMP_THREAD_LIMIT=6 | OMP_PLACES={0},{3},{1},{4},{2},{5} | "
	  "OMP_PROC_BIND=close" },
	{ "threads that have a core each get the core", "openmp",
	  { 3000, 6, 1, .settings = "blas=none" },
	  "OMP_NUM_THREADS=3 | OMP_THREAD_LIMIT=3 | OMP_PLACES={0,3},{1,4},{2,5} | "
	  "OMP_PROC_BIND=close | OMP_WAIT_POLICY=passive" },
	{ "under a quota LLVM's threads must not spin either", "openmp",
	  { 3000, 6, 2, .settings = "blas=none\nlibrary=llvm\nplaces=no" },
	  "OMP_NUM_THREADS=3 | OMP_THREAD_LIMIT=3 | OMP_WAIT_POLICY=passive | KMP_BLOCKTIME=0" },
	{ "several nodes: spread", "openmp",
	  { 0, 2, 2, .settings = "blas=none\nthread-limit=no" },
	  "OMP_NUM_THREADS=2 | OMP_PLACES={0},{1} | OMP_PROC_BIND=spread" },
	{ "BLIS runs one thread unless told; a caller that is parallel wants one", "openmp",
	  { 0, 2, 1, .settings = "blas=one\nplaces=no\nthread-limit=no" },
	  "OMP_NUM_THREADS=2 | OPENBLAS_NUM_THREADS=1 | MKL_NUM_THREADS=1 | BLIS_NUM_THREADS=1" },
	{ "more places than a variable holds: none, and no binding without them", "openmp",
	  { 0, 1024, 1, .settings = "blas=none" }, "OMP_NUM_THREADS=1024 | OMP_THREAD_LIMIT=1024" },
	/* oneTBB */
	{ "there is no variable", "tbb", { 1500, 6, 1, .steer = true, .leaf_mcpu = 1500 }, "nothing" },
	/* BEAM */
	{ "+S overrides the quota: left out where steered", "beam",
	  { 1500, 6, 1, .steer = true, .leaf_mcpu = 1500 }, "ERL_FLAGS=+sbwt none +sbwtdcpu none +sbwtdio none" },
	{ "head-room is created, the number is open", "beam",
	  { 1500, 6, 1, .settings = "busy-wait=keep" }, "ERL_FLAGS=+S 6:2 +SDcpu 6:2" },
	{ "more schedulers than there can be", "beam",
	  { 0, 2000, 1, .settings = "busy-wait=keep" },
	  "ERL_FLAGS=+S 1024:1024 +SDcpu 1024:1024" },
	{ "ERL_FLAGS is added to", "beam",
	  { 1000, 2, 1, .settings = "busy-wait=keep", .environment = "ERL_FLAGS=+K true" },
	  "ERL_FLAGS=+K true +S 2:1 +SDcpu 2:1" },
	/* Puma */
	{ "0 would be single mode, silently: half a PU is one worker", "puma",
	  { 500, 6, 1, .settings = "threads=3" }, "WEB_CONCURRENCY=1 | PUMA_MAX_THREADS=3" },
	/* PHP-FPM */
	{ "spare children are checked against the most: all or none of them", "php-fpm",
	  { 500, 6, 1, .settings = "pm=dynamic" },
	  "line [www] | line pm = dynamic | line pm.max_children = 1 | line pm.start_servers = 1 | "
	  "line pm.min_spare_servers = 1 | line pm.max_spare_servers = 1" },
	{ "children that wait", "php-fpm",
	  { 2000, 6, 1, .settings = "pm=ondemand\nchildren=4\npool=shop" },
	  "line [shop] | line pm = ondemand | line pm.max_children = 8" },
	{ "a pool's name must not leave its bracket", "php-fpm",
	  { 2000, 6, 1, .settings = "pool=www]; x" }, "refused: the plugin failed: -22" },
	/* nginx */
	{ "its own auto would leave the mask: masks of the placement's PUs", "nginx",
	  { 3000, 6, 1, .settings = "affinity=masks" },
	  "arg -g | arg worker_processes 3; worker_cpu_affinity 1001 10010 100100; | "
	  "line worker_processes 3; | line worker_cpu_affinity 1001 10010 100100;" },
	{ "two workers, each on its own node", "nginx",
	  { 2000, 4, 2, .settings = "affinity=masks" },
	  "arg -g | arg worker_processes 2; worker_cpu_affinity 101 1010; | "
	  "line worker_processes 2; | line worker_cpu_affinity 101 1010;" },
	{ "masks that no line holds are left out", "nginx",
	  { 0, 1000, 1, .settings = "affinity=masks" },
	  "arg -g | arg worker_processes 1000; | line worker_processes 1000;" },
	{ "PUs above the longest mask", "nginx",
	  { 1000, 1100, 1, .settings = "affinity=masks" },
	  "arg -g | arg worker_processes 1; | line worker_processes 1;" },
	/* HAProxy */
	{ "one group holds 64 threads: above that a bound, no number", "haproxy",
	  { 0, 100, 1 }, "line global | line     thread-hard-limit 100" },
	{ "a number ends the grouping by policy, a bound does not", "haproxy",
	  { 4000, 6, 1, .settings = "count=hard-limit" },
	  "line global | line     thread-hard-limit 4" },
	{ "older ones do not start with cpu-set, so it is asked for; the default policy moved",
	  "haproxy", { 4000, 6, 1, .settings = "cpu-set=yes\npolicy=group-by-cluster" },
	  "line global | line     nbthread 4 | line     cpu-set only-cpu 0-5 | "
	  "line     cpu-policy group-by-cluster" },
	/* Envoy */
	{ "0 means one worker to it; half a PU is 1", "envoy", { 500, 6, 1 },
	  "arg --concurrency | arg 1" },
	/* Redis and Valkey */
	{ "one thread is left to what works beside", "redis", { 4000, 6, 1 },
	  "arg --io-threads | arg 3 | line io-threads 3" },
	{ "main and I/O threads share one list, the others have one of their own", "redis",
	  { 0, 2, 1, .settings = "cpulists=yes" },
	  "arg --io-threads | arg 1 | arg --server-cpulist | arg 0 | arg --bio-cpulist | arg 1 | "
	  "arg --aof-rewrite-cpulist | arg 1 | arg --bgsave-cpulist | arg 1 | line io-threads 1 | "
	  "line server-cpulist 0 | line bio-cpulist 1 | line aof-rewrite-cpulist 1 | "
	  "line bgsave-cpulist 1" },
	{ "with one PU there is nothing to part", "redis",
	  { 0, 1, 1, .settings = "cpulists=yes" }, "arg --io-threads | arg 1 | line io-threads 1" },
	{ "a list that is longer than a line of it", "redis",
	  { 0, 800, 1, .settings = "cpulists=yes" },
	  "arg --io-threads | arg 128 | line io-threads 128" },
	{ "maxmemory", "redis",
	  { 1000, 1, 1, .memory_bytes = GIB, .settings = "memory-percent=75" },
	  "arg --io-threads | arg 1 | arg --maxmemory | arg 805306350 | line io-threads 1 | "
	  "line maxmemory 805306350" },
	/* PostgreSQL */
	{ "a server before 18 does not start with io_workers", "postgres",
	  { 2000, 6, 1, .settings = "version=17" },
	  "arg -c | arg max_parallel_workers=2 | arg -c | arg max_parallel_workers_per_gather=1 | "
	  "arg -c | arg max_parallel_maintenance_workers=1 | line max_parallel_workers = 2 | "
	  "line max_parallel_workers_per_gather = 1 | line max_parallel_maintenance_workers = 1" },
	{ "from 18 on it is told, at most 32", "postgres",
	  { 0, 64, 1, .settings = "version=18" },
	  "arg -c | arg max_parallel_workers=64 | arg -c | arg max_parallel_workers_per_gather=32 | "
	  "arg -c | arg max_parallel_maintenance_workers=32 | arg -c | arg io_workers=32 | "
	  "line max_parallel_workers = 64 | line max_parallel_workers_per_gather = 32 | "
	  "line max_parallel_maintenance_workers = 32 | line io_workers = 32" },
	/* DPDK */
	{ "one core stays outside for control threads", "dpdk", { 0, 6, 1 },
	  "arg --lcores=0@0,1@1 | arg --main-lcore=0" },
	{ "a poller under a quota stalls: no more than it pays for", "dpdk", { 2500, 8, 1 },
	  "arg --lcores=0@0 | arg --main-lcore=0" },
	{ "one core of two PUs: one polls, one is left", "dpdk",
	  { 0, 2, 1, .settings = "lcores-per-core=all" }, "arg --lcores=0@0 | arg --main-lcore=0" },
	{ "all PUs of a core", "dpdk", { 0, 6, 1, .settings = "lcores-per-core=all" },
	  "arg --lcores=0@0,1@3,2@1,3@4 | arg --main-lcore=0" },
	{ "no more lcores than a build has", "dpdk",
	  { 0, 4, 1, .settings = "memory=64\nmemory-option=socket-mem" },
	  "arg --lcores=0@0 | arg --main-lcore=0 | arg --socket-mem=64" },
	{ "memory by node", "dpdk", { 0, 4, 2, .settings = "memory=1024" },
	  "arg --lcores=0@0 | arg --main-lcore=0 | arg --numa-mem=1024,1024" },
	/* Inference */
	{ "barriers that spin: cores, not PUs", "pytorch", { 0, 6, 1 },
	  "OMP_NUM_THREADS=3 | MKL_NUM_THREADS=3" },
	{ "processes share, and each has one thread at least", "pytorch",
	  { 0, 6, 1, .settings = "processes=4" }, "OMP_NUM_THREADS=1 | MKL_NUM_THREADS=1" },
	{ "a single PU is a range of one", "triton", { 1000, 6, 2 },
	  "OMP_NUM_THREADS=1 | MKL_NUM_THREADS=1 | arg --host-policy=node0,numa-node=0 | "
	  "arg --host-policy=node0,cpu-cores=0-1,3-4 | arg --host-policy=node1,numa-node=1 | "
	  "arg --host-policy=node1,cpu-cores=2-2,5-5" },
	{ "its mask of nodes has 64 bits: node 64 goes without", "triton",
	  { 1000, 65, 65, .settings = "policy=n" }, NULL },
	{ "a policy's name must not add a part", "triton",
	  { 1000, 1, 1, .settings = "policy=a,b" }, "refused: the plugin failed: -22" },
	{ "floor: above the quota its barriers cost a multiple", "llamacpp",
	  { 2999, 16, 1, .settings = "numa=none" },
	  "LLAMA_ARG_THREADS=2 | OMP_NUM_THREADS=2 | arg -t | arg 2 | arg -tb | arg 2" },
	{ "a list a rank, a core each, each rank on its node", "vllm",
	  { 0, 16, 2, .settings = "ranks=2\nkvcache=8" },
	  "OMP_NUM_THREADS=3 | VLLM_CPU_OMP_THREADS_BIND=0,1,2|4,5,6 | VLLM_CPU_KVCACHE_SPACE=8" },
	{ "a quota takes from each rank, not from the last one", "vllm",
	  { 4000, 16, 2, .settings = "ranks=2" },
	  "OMP_NUM_THREADS=2 | VLLM_CPU_OMP_THREADS_BIND=0,1|4,5" },
	{ "nodes of two and one cores: each rank on its own, as many threads as the smaller", "vllm",
	  { 0, 6, 2, .settings = "ranks=2" },
	  "OMP_NUM_THREADS=1 | VLLM_CPU_OMP_THREADS_BIND=0|2" },
	{ "two ranks within one node: even runs", "vllm",
	  { 0, 16, 1, .settings = "ranks=2" },
	  "OMP_NUM_THREADS=3 | VLLM_CPU_OMP_THREADS_BIND=0,1,2|4,5,6" },
	{ "more ranks than cores: left to vLLM, which says so", "vllm",
	  { 0, 4, 1, .settings = "ranks=3" }, "OMP_NUM_THREADS=1" },
	{ "with a GPU there are no lists", "vllm", { 0, 16, 2, .settings = "device=gpu" },
	  "OMP_NUM_THREADS=7" },
	/* Settings */
	{ "an unknown key", "go", { 0, 1, 1, .settings = "languages=1.25" },
	  "refused: proxy:7: [Plugin] languages: plugin 'go' has no such key" },
	{ "a word that is none of the key's", "go", { 0, 1, 1, .settings = "language=1.2" },
	  "refused: proxy:7: [Plugin] language: '1.2' is not one of: 1.25 older" },
	{ "two words", "go", { 0, 1, 1, .settings = "language=1.25 older" },
	  "refused: proxy:7: [Plugin] language: '1.25 older' is not one of: 1.25 older" },
	{ "no boolean", "go", { 0, 1, 1, .settings = "automaxprocs=true" },
	  "refused: proxy:7: [Plugin] automaxprocs: 'true' is not yes or no" },
	{ "out of range", "go", { 0, 1, 1, .settings = "memory-percent=101" },
	  "refused: proxy:7: [Plugin] memory-percent: '101' is not a whole number from 0 to 100" },
	{ "no number", "go", { 0, 1, 1, .settings = "memory-percent=9O" },
	  "refused: proxy:7: [Plugin] memory-percent: '9O' is not a whole number from 0 to 100" },
	{ "a number beyond 64 bits", "node", { 0, 1, 1, .settings = "io-threads=18446744073709551617" },
	  "refused: proxy:7: [Plugin] io-threads: '18446744073709551617' is not a whole number from "
	  "1 to 1024" },
	{ "an empty value where there is a default", "go", { 0, 1, 1, .settings = "language=" },
	  "refused: proxy:7: [Plugin] language: '' is not one of: 1.25 older" },
	{ "an empty value where the default is empty", "puma", { 0, 1, 1, .settings = "threads=" },
	  "WEB_CONCURRENCY=1" },
	{ "a line break in a value", "php-fpm", { 0, 1, 1, .settings = "pool=a\rb" },
	  "refused: proxy:7: [Plugin] pool: 'a\\x0db' is not 1 to 64 printable bytes" },
};
/* clang-format on */

static void every_trap_is_kept_clear_of(void **state)
{
	int n_wrong = 0;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(traps); i++) {
		const struct sidecard_plugin *plugin = plugin_open(traps[i].plugin);
		cleanup(freep) char *answer = NULL;

		assert_non_null(plugin);
		answer = case_answer(plugin, &traps[i].row);
		if (traps[i].expected && strcmp(answer, traps[i].expected) != 0) {
			print_error("%s: %s\n  found    %s\n  expected %s\n", traps[i].plugin,
				    traps[i].why, answer, traps[i].expected);
			n_wrong++;
		}
		if (!traps[i].expected &&
		    (strstr(answer, "numa-node=64") || !strstr(answer, "n64,cpu-cores=64-64"))) {
			print_error("%s: %s\n  found %s\n", traps[i].plugin, traps[i].why, answer);
			n_wrong++;
		}
	}
	assert_int_equal(n_wrong, 0);
}

/* ---- threads ---- */

/* clang-format off */
static const struct {
	const char *why, *plugin;
	uint32_t birth;
	const char *comm, *argv;
	enum sidecard_thread_class class;
} threads[] = {
	{ "no names: the second born is sysmon", "go", 2, "etcd", "etcd", SIDECARD_THREAD_CONTROL },
	{ "and all others are data", "go", 3, "etcd", "etcd", SIDECARD_THREAD_DATA },
	{ "birth not known", "go", 0, "etcd", "etcd", SIDECARD_THREAD_DATA },
	{ "up to 25, cut", "jvm", 0, "C2 CompilerThre", "", SIDECARD_THREAD_JIT },
	{ "from 26 on, elided", "jvm", 0, "C2 Comp..hread0", "", SIDECARD_THREAD_JIT },
	{ "up to 25", "jvm", 0, "G1 Refine#0", "", SIDECARD_THREAD_GC },
	{ "from 26 on", "jvm", 0, "G1 Refi..ontrol", "", SIDECARD_THREAD_GC },
	{ "both", "jvm", 0, "GC Thread#11", "", SIDECARD_THREAD_GC },
	{ "both", "jvm", 0, "G1 Main Marker", "", SIDECARD_THREAD_GC },
	{ "ZGC", "jvm", 0, "ZWorkerYoung#3", "", SIDECARD_THREAD_GC },
	{ "an application of a like name", "jvm", 0, "ZooKeeper:1", "", SIDECARD_THREAD_DATA },
	{ "Shenandoah, 26", "jvm", 0, "Shenand..eads#0", "", SIDECARD_THREAD_GC },
	{ "up to 25", "jvm", 0, "VM Periodic Tas", "", SIDECARD_THREAD_CONTROL },
	{ "from 26 on", "jvm", 0, "VM Peri..Thread", "", SIDECARD_THREAD_CONTROL },
	{ "up to 25", "jvm", 0, "Signal Dispatch", "", SIDECARD_THREAD_CONTROL },
	{ "up to 25", "jvm", 0, "Reference Handl", "", SIDECARD_THREAD_CONTROL },
	{ "from 26 on", "jvm", 0, "Referen..andler", "", SIDECARD_THREAD_CONTROL },
	{ "up to 25", "jvm", 0, "ForkJoinPool.co", "", SIDECARD_THREAD_DATA },
	{ "from 26 on", "jvm", 0, "ForkJoi..rker-1", "", SIDECARD_THREAD_DATA },
	{ "the launcher and main", "jvm", 1, "java", "java -jar x", SIDECARD_THREAD_DATA },
	{ "cut at 15", "dotnet", 0, ".NET Tiered Com", "", SIDECARD_THREAD_JIT },
	{ "the pool", "dotnet", 0, ".NET TP Worker", "", SIDECARD_THREAD_DATA },
	{ "the pool's gate", "dotnet", 0, ".NET TP Gate", "", SIDECARD_THREAD_CONTROL },
	{ "waits for others", "dotnet", 0, ".NET TP Wait", "", SIDECARD_THREAD_IO },
	{ "collector", "dotnet", 0, ".NET Server GC", "", SIDECARD_THREAD_GC },
	{ "cut at 15", "dotnet", 0, ".NET SynchManag", "", SIDECARD_THREAD_CONTROL },
	{ "workers and the blocking pool alike", "rust", 0, "tokio-rt-worker", "",
	  SIDECARD_THREAD_DATA },
	{ "26", "node", 0, "node-MainThread", "", SIDECARD_THREAD_DATA },
	{ "26", "node", 0, "node-V8Worker", "", SIDECARD_THREAD_GC },
	{ "from libuv 1.50 on", "node", 0, "libuv-worker", "", SIDECARD_THREAD_IO },
	{ "26", "node", 0, "SignalInspector", "", SIDECARD_THREAD_CONTROL },
	{ "20: everything is called node", "node", 4, "node", "node x.js", SIDECARD_THREAD_DATA },
	{ "schedulers", "beam", 0, "erts_sched_12", "", SIDECARD_THREAD_DATA },
	{ "dirty ones", "beam", 0, "erts_dcpus_1", "", SIDECARD_THREAD_DATA },
	{ "dirty ones for I/O", "beam", 0, "erts_dios_10", "", SIDECARD_THREAD_IO },
	{ "the main one only waits", "beam", 1, "beam.smp", "", SIDECARD_THREAD_CONTROL },
	{ "of its workers", "puma", 0, "puma srv tp 001", "", SIDECARD_THREAD_DATA },
	{ "reaper: begins like a worker", "puma", 0, "puma srv tp rea", "",
	  SIDECARD_THREAD_CONTROL },
	{ "reactor", "puma", 0, "puma reactor", "", SIDECARD_THREAD_CONTROL },
	{ "role in the title only", "php-fpm", 1, "php-fpm8.4", "php-fpm: pool www",
	  SIDECARD_THREAD_DATA },
	{ "role in the title only", "php-fpm", 1, "php-fpm8.4",
	  "php-fpm: master process (/etc/php/8.4/fpm/php-fpm.conf)", SIDECARD_THREAD_CONTROL },
	{ "role in the title only", "nginx", 1, "nginx", "nginx: worker process",
	  SIDECARD_THREAD_DATA },
	{ "role in the title only", "nginx", 1, "nginx", "nginx: cache manager process",
	  SIDECARD_THREAD_CONTROL },
	{ "role in the title only", "nginx", 1, "nginx", "nginx: master process /usr/sbin/nginx",
	  SIDECARD_THREAD_CONTROL },
	{ "no names", "haproxy", 3, "haproxy", "haproxy -f x", SIDECARD_THREAD_DATA },
	{ "worker", "envoy", 0, "wrk:worker_11", "", SIDECARD_THREAD_DATA },
	{ "watchdog", "envoy", 0, "dog:main_thread", "", SIDECARD_THREAD_CONTROL },
	{ "gRPC within", "envoy", 0, "default-executo", "", SIDECARD_THREAD_IO },
	{ "gRPC within", "envoy", 0, "GrpcGoogClient", "", SIDECARD_THREAD_IO },
	{ "main has the program's name", "envoy", 1, "envoy", "envoy", SIDECARD_THREAD_CONTROL },
	{ "I/O threads are half of the work", "redis", 0, "io_thd_2", "", SIDECARD_THREAD_DATA },
	{ "Valkey", "redis", 0, "bio_rdb_save", "", SIDECARD_THREAD_CONTROL },
	{ "the allocator", "redis", 0, "jemalloc_bg_thd", "", SIDECARD_THREAD_CONTROL },
	{ "role in the title only", "postgres", 1, "postgres", "postgres: io worker 0",
	  SIDECARD_THREAD_IO },
	{ "behind the cluster's name", "postgres", 1, "postgres", "postgres: 18/main: io worker 2",
	  SIDECARD_THREAD_IO },
	{ "a connection", "postgres", 1, "postgres", "postgres: 18/main: alice shop [local] SELECT",
	  SIDECARD_THREAD_DATA },
	{ "the first process", "postgres", 1, "postgres",
	  "/usr/lib/postgresql/18/bin/postgres -D /srv", SIDECARD_THREAD_CONTROL },
	{ "vacuum", "postgres", 1, "postgres", "postgres: autovacuum worker shop",
	  SIDECARD_THREAD_GC },
	{ "pollers", "dpdk", 2, "dpdk-worker12", "", SIDECARD_THREAD_DATA },
	{ "all else that is its own", "dpdk", 3, "dpdk-telemet-v2", "", SIDECARD_THREAD_CONTROL },
	{ "the main lcore has the program's name", "dpdk", 1, "testpmd", "", SIDECARD_THREAD_DATA },
	{ "main waits for the loaders", "pytorch", 0, "pt_autograd_0", "", SIDECARD_THREAD_DATA },
	{ "loaders", "pytorch", 0, "pt_data_pin", "", SIDECARD_THREAD_IO },
	{ "title cut at 15", "vllm", 0, "VLLM::EngineCor", "", SIDECARD_THREAD_CONTROL },
	{ "title cut at 15", "vllm", 0, "VLLM::Worker_TP", "", SIDECARD_THREAD_DATA },
	{ "title cut at 15", "vllm", 0, "VLLM::APIServer", "", SIDECARD_THREAD_IO },
};
/* clang-format on */

static void threads_have_their_classes(void **state)
{
	int n_wrong = 0;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(threads); i++) {
		const struct sidecard_plugin *plugin = plugin_open(threads[i].plugin);
		const struct sidecard_thread thread = { .size = sizeof(thread),
							.birth = threads[i].birth,
							.comm = threads[i].comm,
							.argv = threads[i].argv };
		enum sidecard_thread_class class;

		assert_non_null(plugin);
		class = sidecard_thread_classify(plugin, &thread);
		if (class != threads[i].class) {
			print_error("%s: %s ('%s'): %d, expected %d\n", threads[i].plugin,
				    threads[i].why, threads[i].comm, (int)class,
				    (int)threads[i].class);
			n_wrong++;
		}
	}
	assert_int_equal(n_wrong, 0);
}

static void a_pattern_takes_a_name(void **state)
{
	static const struct {
		const char *why, *pattern, *text;
		bool fits;
	} rows[] = {
		/* clang-format off */
		{ "itself", "abc", "abc", true },
		{ "a prefix is not enough", "abc", "abcd", false },
		{ "nor is half", "abc", "ab", false },
		{ "a star takes nothing", "abc*", "abc", true },
		{ "and anything", "*c", "\xff\n c", true },
		{ "the first try fails, a later one fits", "*ab*b", "aabab", true },
		{ "two stars", "a**b", "a  b", true },
		{ "a question mark takes one", "a?c", "abc", true },
		{ "not none", "a?c", "ac", false },
		{ "a bracket is a bracket", "[a]", "a", false },
		{ "a backslash is one", "\\*", "\\x", true },
		{ "nothing takes nothing", "", "", true },
		{ "nothing does not take something", "", "a", false },
		/* clang-format on */
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		if (sidecard_glob(rows[i].pattern, rows[i].text) != rows[i].fits)
			fail_msg("%s: '%s' and '%s'", rows[i].why, rows[i].pattern, rows[i].text);
}

/* ---- live commands ---- */

static void commands_make_it_so(void **state)
{
	static const struct {
		const char *plugin, *settings, *command, *query;
	} rows[] = {
		{ "redis", "server=valkey", "CONFIG SET io-threads 3", "CONFIG GET io-threads" },
		{ "redis", NULL, NULL, "CONFIG GET io-threads" }, /* refused at run time */
		{ "beam", NULL, "erlang:system_flag(schedulers_online, 4).",
		  "erlang:system_info(schedulers_online)." },
		{ "beam", "language=elixir", ":erlang.system_flag(:schedulers_online, 4)",
		  "IO.puts(:erlang.system_info(:schedulers_online))" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct sidecard_plugin plugin = *plugin_open(rows[i].plugin);
		const struct plugin_case row = { 4000, 6, 1, .settings = rows[i].settings };
		int (*const functions[])(const struct sidecard_request *,
					 const struct sidecard_sink *) = { plugin.command,
									   plugin.query };
		const char *const expected[] = { rows[i].command, rows[i].query };

		for (size_t k = 0; k < 2; k++) {
			cleanup(plugin_answer_done) struct plugin_answer answer = { 0 };
			char text[256] = "";
			struct fault fault;
			int r;

			plugin.environment = NULL;
			plugin.fragment = NULL;
			plugin.arguments = functions[k];
			r = case_ask(&plugin, &row, &answer, &fault);
			assert_int_equal(r, expected[k] ? 0 : -EOPNOTSUPP);
			for (size_t n = 0; n < answer.arguments.n_items; n++)
				snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
					 n > 0 ? " " : "", answer.arguments.items[n]);
			if (expected[k])
				assert_string_equal(text, expected[k]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_trap_is_kept_clear_of),
		cmocka_unit_test(threads_have_their_classes),
		cmocka_unit_test(a_pattern_takes_a_name),
		cmocka_unit_test(commands_make_it_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
