#include "sense/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* About 2,000 events of cgroup files; systemd writes some thirty per property change. */
#define BUFFER_SIZE   65536u
#define N_SLOTS_FIRST 64u

int watch_open(const struct sys *sys, struct watch *ret_watch)
{
	struct watch watch = { .sys = sys, .n_slots = N_SLOTS_FIRST };

	watch.slots = calloc(watch.n_slots, sizeof(*watch.slots));
	watch.buffer = malloc(BUFFER_SIZE);
	watch.fd = watch.slots && watch.buffer ? sys->watch_open(sys) : -ENOMEM;
	if (watch.fd < 0) {
		free(watch.slots);
		free(watch.buffer);
		return watch.fd;
	}
	*ret_watch = watch;
	return 0;
}

void watch_close(struct watch *watch)
{
	if (!watch->sys)
		return;
	watch->sys->close(watch->sys, watch->fd);
	free(watch->slots);
	free(watch->buffer);
	*watch = (struct watch){ .fd = -1 };
}

/* Numbers come in a row; side by side in the table they would make one run that every removal walks
 * to its end. 2^32 / golden ratio scatters them evenly (Knuth, The Art of Computer
 * Programming, 6.4). */
static uint32_t home_of(const struct watch *watch, int number)
{
	return (uint32_t)(((uint64_t)(uint32_t)number * UINT32_C(2654435769) & UINT32_MAX) *
				  watch->n_slots >>
			  32);
}

/* The slot that holds @number, or the free one where it would go. */
static uint32_t slot_of(const struct watch *watch, int number)
{
	uint32_t mask = watch->n_slots - 1, slot = home_of(watch, number);

	while (watch->slots[slot].watch != 0 && watch->slots[slot].watch != number)
		slot = (slot + 1) & mask;
	return slot;
}

static int table_grow(struct watch *watch)
{
	struct watch bigger = { .n_slots = watch->n_slots * 2 };

	bigger.slots = calloc(bigger.n_slots, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < watch->n_slots; i++)
		if (watch->slots[i].watch != 0)
			bigger.slots[slot_of(&bigger, watch->slots[i].watch)] = watch->slots[i];
	free(watch->slots);
	watch->slots = bigger.slots;
	watch->n_slots = bigger.n_slots;
	return 0;
}

int watch_add(struct watch *watch, int dir_fd, void *target)
{
	uint32_t slot;
	int number;

	if ((watch->n_watches + 1) * 2 > watch->n_slots && table_grow(watch) < 0)
		return -ENOMEM;
	number = watch->sys->watch_add(watch->sys, watch->fd, dir_fd, WATCH_DIRECTORY);
	if (number < 0)
		return number;
	slot = slot_of(watch, number);
	watch->n_watches += watch->slots[slot].watch == 0;
	watch->slots[slot] = (struct watch_slot){ number, target };
	return number;
}

/* Later members of the same run move up, so that no look-up ends at the hole. */
void watch_forget(struct watch *watch, int number)
{
	uint32_t mask = watch->n_slots - 1, hole = slot_of(watch, number);

	if (watch->slots[hole].watch == 0)
		return;
	for (uint32_t i = (hole + 1) & mask; watch->slots[i].watch != 0; i = (i + 1) & mask) {
		uint32_t home = home_of(watch, watch->slots[i].watch);

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			watch->slots[hole] = watch->slots[i];
			hole = i;
		}
	}
	watch->slots[hole] = (struct watch_slot){ 0 };
	watch->n_watches--;
}

void watch_remove(struct watch *watch, int number)
{
	if (number <= 0)
		return;
	watch_forget(watch, number);
	watch->sys->watch_remove(watch->sys, watch->fd, number);
}

void *watch_target(const struct watch *watch, int number)
{
	if (number <= 0)
		return NULL;
	return watch->slots[slot_of(watch, number)].target;
}

ssize_t watch_read(struct watch *watch)
{
	return watch->sys->watch_read(watch->sys, watch->fd, watch->buffer, BUFFER_SIZE);
}

const struct inotify_event *watch_next(const struct watch *watch, size_t n_bytes, size_t *offset)
{
	const char *at = (const char *)watch->buffer + *offset;
	const struct inotify_event *event = (const void *)at;

	if (n_bytes - *offset < sizeof(*event))
		return NULL;
	if (event->len > n_bytes - *offset - sizeof(*event))
		return NULL;
	if (event->len > 0 && event->name[event->len - 1] != '\0')
		return NULL;
	*offset += sizeof(*event) + event->len;
	return event;
}
