/* Regulators under random loads and days: what must hold after every sample, and how many steps
 * they take against what hindsight would have taken. Arguments: how many lives, and the seed of the
 * first, to see one again. */
#include "../unit/regulate_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "random.h"

static uint64_t n_lives = 300, first_seed = 1;

/* Neighbouring numbers make streams that have nothing in common, none of them 0. */
static uint64_t seeded(uint64_t seed)
{
	return (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

/* ---- a load ---- */

/* Between -1 and 1, near the middle more often. */
static double noise(uint64_t *random)
{
	double sum = 0;

	for (int i = 0; i < 3; i++)
		sum += (double)random_below(random, 2001) / 1000 - 1;
	return sum / 3;
}

struct load {
	double base_mcpu, day_mcpu; /* the mean, and how far the day takes it up and down */
	double fast, slow;	    /* noise as parts of the mean: of each sample, and wandering */
	double wander;
};

static double load_at(struct load *load, uint64_t *random, double hours, double span_s)
{
	double mcpu = load->base_mcpu - load->day_mcpu * cos(hours / 24 * 2 * M_PI);
	/* A time constant of ten minutes. */
	double keep = exp(-span_s / 600);

	load->wander = load->wander * keep + noise(random) * load->slow * sqrt(1 - keep * keep);
	mcpu *= 1 + load->wander + noise(random) * load->fast;
	return mcpu > 0 ? mcpu : 0;
}

/* As much of @demand as slots, PUs and quota leave. */
static uint64_t used_mcpu(const struct sim *sim, double demand_mcpu, uint32_t quota_mcpu)
{
	double used = demand_mcpu, slots = sim->state.value * 1000.0;

	used = used < slots ? used : slots;
	used = used < sim->sample.n_pu * 1000.0 ? used : sim->sample.n_pu * 1000.0;
	return (uint64_t)(used < quota_mcpu ? used : quota_mcpu);
}

/* ---- what always holds ---- */

struct history {
	uint32_t direction;
	uint64_t stepped_us;
};

static void check(const struct sim *sim, const struct regulate_state *before,
		  struct history *history, uint64_t seed)
{
	const struct regulate_rule *rule = &sim->rule;
	uint32_t cap = sim->sample.n_pu *
		       (rule->overcommit_permille < 2000 ? rule->overcommit_permille : 2000) / 1000;
	uint32_t value = sim->state.value, from = before->value;
	enum regulate_reason reason = sim->advice.reason;
	bool is_step = value != from && reason != REASON_BEGUN && reason != REASON_LIMITED;
	uint32_t direction = value > from ? 1 : 2;

	cap = cap < sim->sample.most ? cap : sim->sample.most;
	if (value > cap || value < 1 || (value < rule->numbers.least && value < cap))
		fail_msg("seed %llu: %u threads, limit %u", (unsigned long long)seed, value, cap);
	if (sim->advice.parallelism != value || sim->advice.from != from)
		fail_msg("seed %llu: the advice is not the value", (unsigned long long)seed);
	if (!is_step)
		return;
	if (sim->sample.is_moving ||
	    (before->has_changed && sim->now_us - before->changed_us < rule->safe_us))
		fail_msg("seed %llu: a step at an unsafe moment", (unsigned long long)seed);
	if (reason != REASON_ROLLED_BACK) {
		uint32_t size = value > from ? value - from : from - value;

		if (size > (rule->numbers.type == REGULATOR_LOOP ? 1 : rule->numbers.step_most))
			fail_msg("seed %llu: a step of %u", (unsigned long long)seed, size);
		if (history->direction && history->direction != direction &&
		    sim->now_us - history->stepped_us < rule->numbers.stable_us)
			fail_msg("seed %llu: a step back", (unsigned long long)seed);
		if (before->breaker == BREAKER_OPEN && sim->now_us < before->open_until_us)
			fail_msg("seed %llu: a step in the cool-down", (unsigned long long)seed);
	}
	history->direction = direction;
	history->stepped_us = sim->now_us;
}

/* The same state with a sample that used more never gets less. */
static void check_monotone(const struct sim *sim, uint64_t *random, uint64_t seed)
{
	struct sim less = *sim, more = *sim;
	uint64_t used = random_below(random, 1 + sim->state.value * 1000);

	sim_step(&less, sim->rule.numbers.interval_us, used);
	sim_step(&more, sim->rule.numbers.interval_us,
		 used + random_below(random, 1 + sim->state.value * 1000));
	if (more.state.value < less.state.value)
		fail_msg("seed %llu: more use, fewer threads", (unsigned long long)seed);
}

static void shake(struct sim *sim, uint64_t *random)
{
	switch (random_below(random, 400)) {
	case 0:
		sim->sample.n_pu = 1 + random_below(random, 64);
		break;
	case 1:
		sim->sample.most = 1 + random_below(random, 80);
		break;
	case 2:
		sim->sample.most = UINT32_MAX;
		break;
	case 3:
		sim->sample.usage_us = sim->sample.n_periods = sim->sample.n_throttled = 0;
		sim->sample.throttled_us = sim->sample.pressure_us = sim->sample.blocked_us = 0;
		break;
	case 4:
		sim->sample.is_moving ^= 1;
		break;
	}
}

static void rule_shake(struct sim *sim, uint64_t *random)
{
	struct regulator *numbers = &sim->rule.numbers;

	sim->rule.overcommit_permille = 1000 + 500 * random_below(random, 4);
	sim->rule.safe_us = random_below(random, 3) * 7 * S;
	numbers->tolerance_permille = 200 * random_below(random, 2);
	numbers->raise_hold_us = random_below(random, 2) * 3 * S;
	numbers->lower_hold_us = random_below(random, 2) * 10 * S;
	numbers->raise_pause_us = random_below(random, 2) * 5 * S;
	numbers->lower_pause_us = random_below(random, 2) * 10 * S;
	numbers->stable_us = random_below(random, 2) * 10 * S;
	numbers->n_samples = 1 + random_below(random, REGULATOR_SAMPLES_MAX);
}

static void live(uint64_t seed)
{
	uint64_t random = seeded(seed);
	enum regulator_type type = seed % 2 ? REGULATOR_LOOP : REGULATOR_STAGED;
	struct history history = { 0 };
	struct load load = { .base_mcpu = (double)random_below(&random, 40000),
			     .fast = (double)random_below(&random, 100) / 100,
			     .slow = (double)random_below(&random, 100) / 100 };
	struct sim sim;

	sim_begin(&sim, type, 1 + random_below(&random, 64));
	rule_shake(&sim, &random);
	regulate_begin(&sim.rule, random_below(&random, 2) * 9, &sim.state);
	for (int i = 0; i < 3000; i++) {
		struct regulate_state before = sim.state;
		uint64_t span_us = type == REGULATOR_LOOP ? 100 * MS : 5 * S;
		double demand = load_at(&load, &random, i / 125.0, (double)span_us / S);

		shake(&sim, &random);
		span_us += random_below(&random, (uint32_t)span_us / 10); /* timers come late */
		sim.sample.n_periods += span_us / (100 * MS);
		sim.sample.n_throttled += random_below(&random, 20) == 0
						  ? random_below(&random,
								 (uint32_t)(span_us / (100 * MS)) +
									 1)
						  : 0;
		sim.sample.pressure_us += random_below(&random, (uint32_t)span_us / 20);
		sim.sample.blocked_us += random_below(&random, (uint32_t)span_us / 4);
		sim_step(&sim, span_us, used_mcpu(&sim, demand, UINT32_MAX));
		check(&sim, &before, &history, seed);
		if (i % 10 == 0)
			check_monotone(&sim, &random, seed);
	}
}

static void lives(void **state)
{
	(void)state;
	for (uint64_t seed = first_seed; seed < first_seed + n_lives; seed++)
		live(seed);
}

/* What one workload's regulator is given never shows in another's: they share nothing, whatever the
 * order in which they are asked. */
static void independent(void **state)
{
	struct sim alone, beside, other;
	uint64_t random = seeded(first_seed), noise_random = seeded(7);

	(void)state;
	sim_begin(&alone, REGULATOR_LOOP, 8);
	sim_begin(&beside, REGULATOR_LOOP, 8);
	sim_begin(&other, REGULATOR_LOOP, 8);
	for (int i = 0; i < 20000; i++) {
		uint64_t used = random_below(&random, 9000);

		sim_step(&alone, 100 * MS, used);
		/* The other one's counters jump, its breaker opens, its limits change. */
		shake(&other, &noise_random);
		other.sample.pressure_us += random_below(&noise_random, 100 * MS);
		sim_step(&other, 100 * MS, random_below(&noise_random, 9000));
		sim_step(&beside, 100 * MS, used);
		assert_memory_equal(&alone.advice, &beside.advice, sizeof(alone.advice));
	}
}

/* ---- a day ---- */

#define VALUES_MAX 65

/* The fewest steps of at most @size that keep a value in [lows[k], highs[k]] at each k. */
static uint32_t hindsight(const uint32_t *lows, const uint32_t *highs, size_t n, uint32_t size)
{
	uint32_t costs[VALUES_MAX] = { 0 }, best = UINT32_MAX;

	for (size_t k = 0; k < n; k++) {
		uint32_t next[VALUES_MAX];

		if (k > 0 && lows[k] == lows[k - 1] && highs[k] == highs[k - 1])
			continue;
		for (uint32_t v = 0; v < VALUES_MAX; v++) {
			next[v] = UINT32_MAX;
			for (uint32_t u = 0; v >= lows[k] && v <= highs[k] && u < VALUES_MAX; u++) {
				uint32_t gap = u > v ? u - v : v - u;

				if (costs[u] == UINT32_MAX)
					continue;
				gap = (gap + size - 1) / size;
				if (costs[u] + gap < next[v])
					next[v] = costs[u] + gap;
			}
		}
		memcpy(costs, next, sizeof(costs));
	}
	for (uint32_t v = 0; v < VALUES_MAX; v++)
		best = costs[v] < best ? costs[v] : best;
	return best;
}

struct day {
	const char *why;
	uint32_t n_pu;
	struct load load;
};

static const struct day days[] = {
	{ "a quiet day", 16, { 6000, 0, 0.05, 0.02, 0 } },
	{ "day and night", 16, { 8000, 5000, 0.05, 0.02, 0 } },
	{ "day and night, noisy", 16, { 8000, 5000, 0.20, 0.05, 0 } },
	{ "a large machine", 32, { 16000, 12000, 0.10, 0.03, 0 } },
	{ "never busy", 16, { 500, 300, 0.5, 0.1, 0 } },
	{ "always more than there is", 8, { 12000, 1000, 0.10, 0.05, 0 } },
};

struct score {
	uint32_t n_steps, n_best;
};

/* The mean of the last @n of @at + 1 values. */
static double mean_of(const double *values, size_t at, size_t n)
{
	double sum = 0;
	size_t first = at + 1 > n ? at + 1 - n : 0;

	for (size_t i = first; i <= at; i++)
		sum += values[i];
	return sum / (double)(at + 1 - first);
}

/* Which values the regulator's own numbers would leave alone, had the load been known: those with
 * slots neither above the upper nor below the lower mark over their holds. */
static void loop_tube(const struct sim *sim, const double *demands, size_t at, uint32_t *ret_low,
		      uint32_t *ret_high)
{
	double raise = mean_of(demands, at, 30), lower = mean_of(demands, at, 100);
	uint32_t most = sim->sample.n_pu, low = (uint32_t)ceil(raise / 900),
		 high = (uint32_t)floor(lower / 400);

	low = low < 2 ? 2 : low > most ? most : low;
	high = high < low ? low : high > most ? most : high;
	*ret_low = low;
	*ret_high = high;
}

static struct score loop_day(const struct day *day, uint64_t seed)
{
	size_t n = 24 * 3600 * 10;
	double *demands = calloc(n, sizeof(*demands));
	uint32_t *lows = calloc(n, sizeof(*lows)), *highs = calloc(n, sizeof(*highs));
	uint64_t random = seeded(seed);
	struct load load = day->load;
	struct score score = { 0 };
	struct sim sim;

	assert_true(demands && lows && highs);
	sim_begin(&sim, REGULATOR_LOOP, day->n_pu);
	/* It begins where the load is; the way there is no part of the day. */
	sim.state.value = (uint32_t)(day->load.base_mcpu - day->load.day_mcpu) / 700 + 1;
	sim_sample(&sim);
	for (size_t i = 0; i < n; i++) {
		uint32_t value = sim.state.value;

		demands[i] = load_at(&load, &random, (double)i / 36000, 0.1);
		sim_step(&sim, 100 * MS, used_mcpu(&sim, demands[i], UINT32_MAX));
		score.n_steps += sim.state.value != value;
		loop_tube(&sim, demands, i, &lows[i], &highs[i]);
	}
	score.n_best = hindsight(lows, highs, n, 1);
	free(demands);
	free(lows);
	free(highs);
	return score;
}

/* What three samples in a row at the end of @demands do not ask to leave. */
static void staged_tube(const struct sim *sim, const double *demands, size_t at, uint32_t *ret_low,
			uint32_t *ret_high)
{
	double least = INFINITY, most = 0;
	uint32_t low, high, cap = sim->sample.n_pu;

	for (size_t i = at >= 2 ? at - 2 : 0; i <= at; i++) {
		least = least < demands[i] ? least : demands[i];
		most = demands[i] > most ? demands[i] : most;
	}
	/* Slots not all but full, and no more than 15% above what fills them up to 90%. */
	low = (uint32_t)ceil(least / 950);
	most /= 900;
	high = (uint32_t)floor(most / 0.85);
	high = high < (uint32_t)ceil(most) ? (uint32_t)ceil(most) : high;
	low = low < 2 ? 2 : low > cap ? cap : low;
	*ret_low = low;
	*ret_high = high < low ? low : high > cap ? cap : high;
}

static struct score staged_day(const struct day *day, uint64_t seed)
{
	size_t n_max = 24 * 720, n = 0;
	double *demands = calloc(n_max + 1, sizeof(*demands));
	uint32_t *lows = calloc(n_max + 1, sizeof(*lows)),
		 *highs = calloc(n_max + 1, sizeof(*highs));
	uint64_t random = seeded(seed);
	struct load load = day->load;
	struct score score = { 0 };
	uint64_t begun_us, next_us;
	struct sim sim;

	assert_true(demands && lows && highs);
	sim_begin(&sim, REGULATOR_STAGED, day->n_pu);
	regulate_begin(&sim.rule, (uint32_t)ceil((day->load.base_mcpu - day->load.day_mcpu) / 900),
		       &sim.state);
	sim_sample(&sim);
	begun_us = sim.now_us;
	while ((next_us = regulate_next_us(&sim.rule, &sim.state)) < begun_us + 24 * 3600 * S) {
		uint32_t value = sim.state.value;
		uint64_t span_us = next_us - sim.now_us, used_us = 0;
		double sum = 0;

		/* A long look is the mean of what was. */
		for (uint64_t at_us = 0; at_us < span_us; at_us += 5 * S) {
			double hours = (double)(sim.now_us - begun_us + at_us) / S / 3600;
			double demand = load_at(&load, &random, hours, 5);

			sum += demand;
			used_us += 5 * used_mcpu(&sim, demand, UINT32_MAX) * MS;
		}
		demands[n] = sum / (double)(span_us / (5 * S));
		sim.now_us = next_us;
		sim.sample.usage_us += used_us;
		sim_sample(&sim);
		score.n_steps += sim.state.value != value;
		staged_tube(&sim, demands, n, &lows[n], &highs[n]);
		n++;
	}
	score.n_best = hindsight(lows, highs, n, sim.rule.numbers.step_most);
	free(demands);
	free(lows);
	free(highs);
	return score;
}

static void steps_of_a_day(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(days); i++)
		for (uint64_t seed = first_seed; seed < first_seed + 2; seed++) {
			struct score loop = loop_day(&days[i], seed);
			struct score staged = staged_day(&days[i], seed);

			print_message("%s, seed %llu: loop %u steps, in hindsight %u; staged %u, "
				      "in hindsight %u\n",
				      days[i].why, (unsigned long long)seed, loop.n_steps,
				      loop.n_best, staged.n_steps, staged.n_best);
			if (loop.n_steps * 2 > loop.n_best * 3 ||
			    staged.n_steps * 2 > staged.n_best * 3)
				fail_msg("%s: too many steps", days[i].why);
		}
}

/* From a jump of the load to the first step, with the interval at 100 ms and all holds at 0. */
static int compare_us(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void step_response(void **state)
{
	uint64_t random = seeded(first_seed);
	uint64_t responses_us[2000];
	size_t n = N_ELEMENTS(responses_us);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		uint32_t value = 3 + random_below(&random, 12);
		bool up = random_below(&random, 2);
		uint64_t jump_us, base = value * 650, after = up ? value * 1000 : value * 100;
		struct sim sim;

		sim_begin(&sim, REGULATOR_LOOP, 16);
		sim.rule.numbers.raise_hold_us = sim.rule.numbers.raise_pause_us = 0;
		sim.rule.numbers.lower_hold_us = sim.rule.numbers.lower_pause_us = 0;
		sim.rule.numbers.stable_us = 0;
		sim.state.value = value;
		sim_sample(&sim);
		for (int k = 0; k < 100; k++)
			sim_step(&sim, 100 * MS, base + random_below(&random, value * 100));
		assert_int_equal(sim.state.value, value);
		/* Somewhere within an interval. */
		jump_us = random_below(&random, 100 * MS);
		sim.now_us += jump_us;
		sim.sample.usage_us += jump_us * base / 1000;
		responses_us[i] = 0;
		for (uint64_t span_us = 100 * MS - jump_us; sim.state.value == value;
		     span_us = 100 * MS) {
			sim_step(&sim, span_us, after);
			responses_us[i] += span_us;
			assert_true(responses_us[i] < 10 * S);
		}
		assert_true(up == (sim.state.value > value));
	}
	qsort(responses_us, n, sizeof(*responses_us), compare_us);
	print_message("step response: median %llu us, p99 %llu us, worst %llu us\n",
		      (unsigned long long)responses_us[n / 2],
		      (unsigned long long)responses_us[n * 99 / 100],
		      (unsigned long long)responses_us[n - 1]);
	assert_true(responses_us[n * 99 / 100] <= 500 * MS);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lives),
		cmocka_unit_test(independent),
		cmocka_unit_test(steps_of_a_day),
		cmocka_unit_test(step_response),
	};

	if (argc > 1)
		n_lives = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
