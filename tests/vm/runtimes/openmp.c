/* Starts OpenMP's default team, writes its size to the file named by its argument, and stays. */
#include <omp.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int n = 0;
	FILE *file;

#pragma omp parallel
#pragma omp single
	n = omp_get_num_threads();
	file = fopen(argv[argc - 1], "w");
	if (!file)
		return 1;
	fprintf(file, "%d\n", n);
	fclose(file);
	for (;;)
		pause();
}
