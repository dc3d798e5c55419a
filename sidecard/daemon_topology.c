/* The machine, at the start and after each hotplug. hwloc takes tens of milliseconds on a large
 * host, and the probe is another process: the loop goes on meanwhile, and with it the old topology,
 * until the new one is complete. */
#include "daemon_internal.h"

#include "base/log.h"
#include "sense/topo_load.h"

static void topology_take(struct daemon *daemon, struct topology *topology)
{
	struct topology *old = daemon->topology;

	daemon->topology = topology;
	/* The snapshot borrows from the topology, and answers are read off it at any time. */
	if (daemon->world && daemon->conf)
		round_snapshot(daemon);
	topology_free(old);
}

int daemon_load_topology(struct daemon *daemon, struct fault *fault)
{
	struct topology *topology = NULL;
	int r = topo_load(daemon->options->machine, &topology, fault);

	if (r == 0)
		topology_take(daemon, topology);
	return r;
}

static void on_loaded(void *userdata, struct topology *topology, const struct fault *fault)
{
	struct daemon *daemon = userdata;

	daemon->topology_loading = topo_loading_free(daemon->topology_loading);
	if (topology) {
		topology_take(daemon, topology);
		helds_forget(daemon);
		round_want(daemon);
	} else {
		log_line(LOG_ERR, "%s, keeping the previous topology", fault->text);
	}
	/* A PU came or went after the probe had looked. */
	if (daemon->topology_is_stale)
		topology_want(daemon);
}

void topology_want(struct daemon *daemon)
{
	const struct topo_listener listener = { daemon, on_loaded };
	struct fault fault;

	daemon->topology_is_stale = daemon->topology_loading != NULL;
	if (daemon->topology_loading)
		return;
	if (topo_load_begin(daemon->options->machine, daemon->event, &listener,
			    &daemon->topology_loading, &fault) < 0)
		log_line(LOG_ERR, "%s, keeping the previous topology", fault.text);
}
