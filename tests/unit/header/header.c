/* A client with nothing but the installed header, as C. */
#include <string.h>

#include "edge/sidecard.h"

static struct sidecard_page page;

int main(void)
{
	struct sidecard_answer answer;

	memset(&page, 0, sizeof(page));
	page.sequence = 3;
	page.slots[1].parallelism = 4;
	page.slots[1].generation = 7;
	if (sidecard_page_parallelism(&page) != 4 || sidecard_page_read(&page, &answer) != 3)
		return 1;
	if (answer.generation != 7 || sidecard_wait(&page, 2, 0) != 0)
		return 2;
	page.slots[1].parallelism = 0;
	if (sidecard_page_parallelism(&page) != 1)
		return 3;
	return sidecard_open("/nonexistent") ? 4 : 0;
}
