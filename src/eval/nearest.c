/* Exact neighbours by cosine. Few rows: every pair in double. Many: only pairs that float32 products cannot rule out, and a query whose nearest are not
 * certainly among those in full. Both ways give the same bits. */
#include "eval/fidelity.h"

#include "candidates.h"
#include "eval/rows.h"
#include "wide.h"

#include "core/mem.h"

#include <math.h>

#define SURE 1e-12 /* what cosines in double may be off by */
#define LEAST 32   /* candidates: fewer make thinning out costly */

/* What all queries share. */
typedef struct search {
	const oq_matrix *queries, *gallery;
	double *query_norms, *gallery_norms; /* [rows] each */
	int64_t k;
	int32_t *nearest;                    /* [queries][k] */
	const oq_wide *wide;
	oq_candidate_search filter;
} search;

/* The query's own norm scales all alike and is left out; a row of zeros is near to none. */
static double similarity_of(const search *s, int64_t query, int64_t row)
{
	if (!(s->gallery_norms[row] > 0))
		return -INFINITY;
	return s->wide->dot_floats(oq_matrix_row(s->queries, query), oq_matrix_row(s->gallery, row), s->gallery->columns) / s->gallery_norms[row];
}

/* The k most similar of ascending rows (NULL: all) in order, insertion by insertion; equal ones keep the order of their indices. best [k]
 * Returns how many there were. */
static int64_t pick(const search *s, int64_t query, const int64_t *rows, int64_t count, double *best)
{
	int32_t *nearest = s->nearest + query * s->k;
	int64_t filled = 0;
	for (int64_t j = 0; j < count; j++) {
		int64_t row = rows ? rows[j] : j, at = filled;
		if (row == query)
			continue;
		double similar = similarity_of(s, query, row);
		while (at > 0 && best[at - 1] < similar)
			at--;
		if (at >= s->k)
			continue;
		filled += filled < s->k;
		for (int64_t i = filled - 1; i > at; i--) {
			nearest[i] = nearest[i - 1];
			best[i] = best[i - 1];
		}
		nearest[at] = (int32_t)row;
		best[at] = similar;
	}
	return filled;
}

static void pick_of_block(const search *s, oq_candidates *candidates, int64_t first, int64_t count, double *best)
{
	for (int64_t q = 0; q < count; q++) {
		const int64_t *rows;
		double below, norm = s->query_norms[first + q];
		int64_t some = oq_candidates_of(candidates, &s->filter, q, &rows, &below);
		int64_t filled = pick(s, first + q, rows, some, best);
		if (filled < s->k || !(best[s->k - 1] > (below + SURE) * norm))
			pick(s, first + q, NULL, s->gallery->rows, best);
	}
}

static oq_status pick_all(const search *s, bool filtered, int threads, oq_error *err)
{
	int64_t step = filtered ? OQ_CANDIDATE_BLOCK : 1, rows = s->queries->rows;
	bool failed = false;
#pragma omp parallel num_threads(threads) reduction(|| : failed)
	{
		double *best = oq_alloc((size_t)s->k * sizeof *best);
		oq_candidates *candidates = filtered ? oq_candidates_open(&s->filter) : NULL;
		failed = !best || (filtered && !candidates);
#pragma omp for schedule(dynamic)
		for (int64_t first = 0; first < rows; first += step) {
			int64_t count = rows - first < step ? rows - first : step;
			if (!failed && !filtered)
				pick(s, first, NULL, s->gallery->rows, best);
			else if (!failed && !(failed = !oq_candidates_find(candidates, &s->filter, first, count)))
				pick_of_block(s, candidates, first, count, best);
		}
		oq_candidates_close(candidates);
		oq_free(best);
	}
	return failed ? oq_fail_memory(err, "neighbours", OQ_CANDIDATE_BLOCK * (size_t)s->queries->columns * sizeof(float)) : OQ_OK;
}

oq_status oq_nearest_by(oq_nearest_way way, const oq_matrix *queries, const oq_matrix *gallery, int64_t k, int threads, int32_t *nearest, oq_error *err)
{
	int64_t count = gallery->rows;
	if (k < 1 || k >= count || count > INT32_MAX || gallery->columns != queries->columns)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "neighbours: %lld of %lld rows were asked for", (long long)k, (long long)count);
	double *norms = oq_alloc((size_t)(queries->rows + count) * sizeof *norms);
	if (!norms)
		return oq_fail_memory(err, "neighbours", (size_t)(queries->rows + count) * sizeof *norms);
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	search s = {.queries = queries, .gallery = gallery, .query_norms = norms, .gallery_norms = norms + queries->rows, .k = k, .nearest = nearest,
		.wide = oq_wide_for(cpu.isa)};
	oq_rows_norms(queries, threads, s.query_norms);
	oq_rows_norms(gallery, threads, s.gallery_norms);
	int64_t wanted = k + 2 > LEAST ? k + 2 : LEAST; /* one may be the query itself, one settles the last */
	s.filter = (oq_candidate_search){.queries = queries, .gallery = gallery, .query_norms = s.query_norms, .gallery_norms = s.gallery_norms,
		.gallery_count = count, .wanted = wanted, .isa = cpu.isa};
	bool filtered = way == OQ_NEAREST_FILTERED || (way == OQ_NEAREST_CHOOSE && count >= OQ_CANDIDATE_FEW && wanted < count / 8);
	oq_status status = pick_all(&s, filtered, threads, err);
	oq_free(norms);
	return status;
}

oq_status oq_nearest(const oq_matrix *queries, const oq_matrix *gallery, int64_t k, int threads, int32_t *nearest, oq_error *err)
{
	return oq_nearest_by(OQ_NEAREST_CHOOSE, queries, gallery, k, threads, nearest, err);
}
