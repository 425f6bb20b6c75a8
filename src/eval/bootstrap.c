/* Resampling by unit: a unit is a row, or a patient with all rows; a stratum is a set of units of which as many are drawn as it has. */
#include "eval/bootstrap.h"

#include "core/mem.h"
#include "eval/quantile.h"
#include "eval/random.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>

#define GOLDEN_GAMMA 0x9E3779B97F4A7C15u /* SplitMix64's step */
#define STREAM_STEP 0xD1342543DE82EF95u  /* between the streams of two resamples */
#define MOST_REDRAWS 1000                /* of one resample: with chances below 1 in 1000 no interval is worth having */

typedef struct units {
	int64_t *row;          /* [rows], unit after unit */
	int64_t *start;        /* [units + 1] */
	int64_t stratum[3];    /* first unit of each stratum, and the end */
	int strata;
} units;

typedef struct keyed {
	int64_t key, row;
} keyed;

static int by_key(const void *a, const void *b)
{
	const keyed *x = a, *y = b;
	return x->key != y->key ? (x->key > y->key) - (x->key < y->key) : (x->row > y->row) - (x->row < y->row);
}

static void number_rows(const oq_bootstrap *plan, keyed *order, units *out)
{
	int64_t count = 0, positives = 0;
	for (int64_t r = 0; r < plan->rows; r++) {
		order[r] = (keyed){plan->group ? plan->group[r] : plan->label ? !plan->label[r] : 0, r};
		positives += plan->label && plan->label[r];
	}
	qsort(order, (size_t)plan->rows, sizeof *order, by_key);
	for (int64_t i = 0; i < plan->rows; i++) {
		out->row[i] = order[i].row;
		if (!plan->group || i == 0 || order[i].key != order[i - 1].key)
			out->start[count++] = i;
	}
	out->start[count] = plan->rows;
	out->strata = plan->label ? 2 : 1;
	out->stratum[0] = 0;
	out->stratum[1] = plan->label ? positives : count;
	out->stratum[2] = count;
}

static oq_status open_units(const oq_bootstrap *plan, units *out, oq_error *err)
{
	*out = (units){0};
	if (plan->rows < 1 || plan->rows > UINT32_MAX || plan->resamples < 1 || plan->threads < 1 || (plan->label && plan->group))
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "bootstrap: %lld rows, %d resamples, %d threads%s: expected at least one of each, and labels or groups",
			(long long)plan->rows, plan->resamples, plan->threads, plan->label && plan->group ? ", labels and groups" : "");
	size_t rows = (size_t)plan->rows;
	keyed *order = oq_alloc(rows * sizeof *order);
	out->row = oq_alloc(rows * sizeof *out->row);
	out->start = oq_alloc((rows + 1) * sizeof *out->start);
	bool good = order && out->row && out->start;
	if (good)
		number_rows(plan, order, out);
	oq_free(order);
	return good ? OQ_OK : oq_fail_memory(err, "bootstrap", rows * sizeof *order);
}

/* One draw from `count` things, fewer than 2^32: the high word of the product of both, without a division. */
static int64_t draw(uint64_t *state, int64_t count)
{
	uint64_t u = oq_random_mix(*state), n = (uint64_t)count;
	*state += GOLDEN_GAMMA;
	return (int64_t)(((u >> 32) * n + ((u & 0xffffffffu) * n >> 32)) >> 32);
}

/* The rows of a thread's resample; patients differ in rows, so it may have to grow. */
typedef struct drawn {
	int64_t *row, count, room;
} drawn;

static oq_status draw_rows(const units *u, uint64_t *state, drawn *out, oq_error *err)
{
	uint64_t again = *state;
	out->count = 0;
	for (int pass = 0; pass < 2; pass++) { /* how many, then which */
		int64_t count = 0;
		uint64_t *at = pass ? state : &again;
		for (int s = 0; s < u->strata; s++)
			for (int64_t i = u->stratum[s]; i < u->stratum[s + 1]; i++) {
				int64_t unit = u->stratum[s] + draw(at, u->stratum[s + 1] - u->stratum[s]);
				for (int64_t k = u->start[unit]; k < u->start[unit + 1]; k++, count++)
					if (pass)
						out->row[count] = u->row[k];
			}
		if (count > out->room) {
			oq_free(out->row);
			out->row = oq_alloc((size_t)(2 * count) * sizeof *out->row);
			out->room = out->row ? 2 * count : 0;
			if (!out->row)
				return oq_fail_memory(err, "bootstrap", (size_t)(2 * count) * sizeof *out->row);
		}
		out->count = count;
	}
	return OQ_OK;
}

/* What all threads share. */
typedef struct run {
	const oq_bootstrap *plan;
	units units;
	oq_statistic statistic;
	void *context;
	int figures;
} run;

/* values [figures] */
static oq_status run_one(const run *r, int resample, drawn *rows, double *values, int64_t *redraws, oq_error *err)
{
	uint64_t state = r->plan->seed + (uint64_t)resample * STREAM_STEP;
	for (int tries = 0; tries < MOST_REDRAWS; tries++) {
		OQ_TRY(draw_rows(&r->units, &state, rows, err));
		OQ_TRY(r->statistic(r->context, rows->row, rows->count, values, err));
		if (!isnan(values[0])) {
			*redraws = tries;
			return OQ_OK;
		}
	}
	return oq_fail(err, OQ_E_INPUT, "E_RESAMPLE", "bootstrap: the figure is not defined in %d resamples running: there are too few cases", MOST_REDRAWS);
}

/* rows [threads], values [threads][figures] */
static oq_status run_all(const run *r, drawn *rows, double *values, double *draws, int64_t *redraws, oq_error *err)
{
	int resamples = r->plan->resamples;
	oq_status status = OQ_OK;
#pragma omp parallel for num_threads(r->plan->threads) schedule(dynamic, 8)
	for (int b = 0; b < resamples; b++) {
		oq_error own = {0};
		int thread = omp_get_thread_num();
		double *mine = values + (int64_t)thread * r->figures;
		int64_t again = 0;
		oq_status done = run_one(r, b, &rows[thread], mine, &again, &own);
		for (int f = 0; f < r->figures && done == OQ_OK; f++)
			draws[(int64_t)f * resamples + b] = mine[f];
#pragma omp critical(oq_bootstrap)
		{
			*redraws += again;
			if (done != OQ_OK && status == OQ_OK) {
				status = done;
				if (err)
					*err = own;
			}
		}
	}
	return status;
}

oq_status oq_bootstrap_run(const oq_bootstrap *plan, oq_statistic statistic, void *context, int figures, double *draws, int64_t *redraws, oq_error *err)
{
	run r = {.plan = plan, .statistic = statistic, .context = context, .figures = figures};
	int64_t again = 0;
	oq_status status = open_units(plan, &r.units, err);
	size_t threads = status == OQ_OK ? (size_t)plan->threads : 1;
	drawn *rows = oq_calloc(threads, sizeof *rows);
	double *values = oq_alloc(threads * (size_t)figures * sizeof *values);
	if (status == OQ_OK)
		status = rows && values ? run_all(&r, rows, values, draws, &again, err) : oq_fail_memory(err, "bootstrap", threads * sizeof *rows);
	for (size_t t = 0; rows && t < threads; t++)
		oq_free(rows[t].row);
	oq_free(rows);
	oq_free(values);
	oq_free(r.units.row);
	oq_free(r.units.start);
	if (redraws)
		*redraws = again;
	return status;
}

oq_interval oq_bootstrap_interval(double *draws, int resamples, double level)
{
	oq_sort_doubles(draws, resamples);
	return (oq_interval){oq_quantile(draws, resamples, (1 - level) / 2), oq_quantile(draws, resamples, (1 + level) / 2)};
}
