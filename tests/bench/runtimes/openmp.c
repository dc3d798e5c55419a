/* One request after the other, each divided among OpenMP's default team, which meets at its end.
 * Prints each one's microseconds. Arguments: seconds, rounds of a request. */
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define N_PARTS 64

static uint64_t part(uint64_t x, long n_rounds)
{
	for (long i = 0; i < n_rounds; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	return x;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
	long n_rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 1000000;
	double begin = omp_get_wtime() + 0.2, now = omp_get_wtime();
	uint64_t sum = 0;

	while (now < begin + seconds) {
		double before = now;

#pragma omp parallel for reduction(+ : sum) schedule(static)
		for (int i = 0; i < N_PARTS; i++)
			sum += part((uint64_t)i + 1, n_rounds / N_PARTS);
		now = omp_get_wtime();
		if (before >= begin && now < begin + seconds)
			printf("%.0f\n", (now - before) * 1e6);
	}
	fprintf(stderr, "%d\n", omp_get_max_threads());
	return sum == 0;
}
