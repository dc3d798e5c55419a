// A client with nothing but the installed header, as C++.
#include "edge/sidecard.h"

static sidecard_page page;

int main()
{
	sidecard_answer answer;

	page.sequence = 3;
	page.slots[1].parallelism = 4;
	page.slots[1].generation = 7;
	if (sidecard_page_parallelism(&page) != 4 || sidecard_page_read(&page, &answer) != 3)
		return 1;
	if (answer.generation != 7 || sidecard_wait(&page, 2, 0) != 0)
		return 2;
	return sidecard_open("/nonexistent") ? 3 : 0;
}
