/* Prints conf_sample() of its argument: for tests/check_conf.sh and for renewing
 * conf/sidecard.conf. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "edge/conf.h"

int main(int argc, char **argv)
{
	cleanup(freep) char *sample = argc == 2 ? conf_sample(argv[1]) : NULL;

	if (!sample) {
		fprintf(stderr, "usage: conf_sample sidecard|pool|workload\n");
		return 2;
	}
	fputs(sample, stdout);
	return fflush(stdout) == 0 ? 0 : 1;
}
