#include "eval/knn.h"

#include "core/mem.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#define SAME 1e-6

typedef struct near {
	double distance;
	int64_t place; /* in the split's training list */
} near;

/* What all queries share. */
typedef struct search {
	const oq_matrix *x;
	const uint8_t *class;
	const oq_split *splits;
	oq_knn_votes *votes;
	double *norms;     /* [rows] */
	int64_t **queries; /* [splits][rows]: the row's query, or -1 */
	int count, most;
} search;

static double dot(const float *a, const float *b, int64_t n)
{
	double sums[4] = {0}; /* four chains: the order is fixed, and they do not wait for each other */
	int64_t i = 0;
	for (; i + 4 <= n; i += 4)
		for (int k = 0; k < 4; k++)
			sums[k] += (double)a[i + k] * (double)b[i + k];
	for (; i < n; i++)
		sums[0] += (double)a[i] * (double)b[i];
	return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* Keeps the `room` nearest in order; candidates come in ascending places, so that an equal one goes behind. */
static int keep(near *best, int filled, int room, near candidate)
{
	int at = filled;
	while (at > 0 && best[at - 1].distance > candidate.distance)
		at--;
	if (at == room)
		return filled;
	filled += filled < room;
	memmove(best + at + 1, best + at, (size_t)(filled - 1 - at) * sizeof *best);
	best[at] = candidate;
	return filled;
}

static void vote_in_split(const search *s, int which, int64_t row, const double *distance)
{
	const oq_split *split = &s->splits[which];
	oq_knn_votes *votes = &s->votes[which];
	int64_t query = s->queries[which][row];
	near best[OQ_KNN_MOST + 1];
	int filled = 0;
	for (int64_t i = 0; i < split->train; i++) {
		double d = distance[split->rows[i]];
		if (filled <= s->most || d < best[filled - 1].distance)
			filled = keep(best, filled, s->most + 1, (near){d, i});
	}
	votes->tied[query] = 0;
	for (int k = 0; k < s->most; k++) {
		votes->classes[query * s->most + k] = s->class[split->rows[best[k].place]];
		if (k + 1 < filled && best[k + 1].distance - best[k].distance < SAME)
			votes->tied[query] |= (uint64_t)1 << (k + 1);
	}
}

static void vote_of_row(const search *s, int64_t row, double *distance)
{
	bool wanted = false;
	for (int i = 0; i < s->count; i++)
		wanted |= s->queries[i][row] >= 0;
	if (!wanted)
		return;
	for (int64_t j = 0; j < s->x->rows; j++) {
		double cosine = dot(oq_matrix_row(s->x, row), oq_matrix_row(s->x, j), s->x->columns) / (s->norms[row] * s->norms[j]);
		distance[j] = fmin(fmax(1 - cosine, 0), 2);
	}
	for (int i = 0; i < s->count; i++)
		if (s->queries[i][row] >= 0)
			vote_in_split(s, i, row, distance);
}

static oq_status open_votes(const search *s, int which, oq_error *err)
{
	const oq_split *split = &s->splits[which];
	int64_t queries = split->val + split->test, rows = s->x->rows;
	if (s->most < 1 || s->most > OQ_KNN_MOST || s->most > split->train)
		return oq_fail(err, OQ_E_INPUT, "E_NEIGHBOURS", "kNN: k of up to %d and %lld training rows, expected 1 to %d and no more than those", s->most,
			(long long)split->train, OQ_KNN_MOST);
	s->votes[which] = (oq_knn_votes){.queries = queries, .most = s->most, .classes = oq_alloc((size_t)queries * (size_t)s->most),
		.tied = oq_alloc((size_t)queries * sizeof(uint64_t))};
	s->queries[which] = oq_alloc((size_t)rows * sizeof **s->queries);
	if (!s->votes[which].classes || !s->votes[which].tied || !s->queries[which])
		return oq_fail_memory(err, "kNN", (size_t)rows * sizeof **s->queries);
	for (int64_t r = 0; r < rows; r++)
		s->queries[which][r] = -1;
	for (int64_t q = 0; q < queries; q++)
		s->queries[which][oq_split_val(split)[q]] = q;
	return OQ_OK;
}

static oq_status open_search(search *s, oq_error *err)
{
	s->norms = oq_alloc((size_t)s->x->rows * sizeof *s->norms);
	s->queries = oq_calloc((size_t)s->count, sizeof *s->queries);
	if (!s->norms || !s->queries)
		return oq_fail_memory(err, "kNN", (size_t)s->x->rows * sizeof *s->norms);
	for (int64_t r = 0; r < s->x->rows; r++) {
		const float *row = oq_matrix_row(s->x, r);
		double square = dot(row, row, s->x->columns);
		s->norms[r] = square > 0 ? sqrt(square) : 1;
	}
	for (int i = 0; i < s->count; i++)
		OQ_TRY(open_votes(s, i, err));
	return OQ_OK;
}

oq_status oq_knn_vote(const oq_matrix *x, const uint8_t *class, const oq_split *splits, int count, int most, int threads, oq_knn_votes *votes, oq_error *err)
{
	search s = {.x = x, .class = class, .splits = splits, .votes = votes, .count = count, .most = most};
	for (int i = 0; i < count; i++)
		votes[i] = (oq_knn_votes){0};
	oq_status status = open_search(&s, err);
	double *distance = status == OQ_OK ? oq_alloc((size_t)threads * (size_t)x->rows * sizeof *distance) : NULL;
	if (status == OQ_OK && !distance)
		status = oq_fail_memory(err, "kNN", (size_t)threads * (size_t)x->rows * sizeof *distance);
	if (status == OQ_OK) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 4)
		for (int64_t r = 0; r < x->rows; r++)
			vote_of_row(&s, r, distance + (int64_t)omp_get_thread_num() * x->rows);
	}
	for (int i = 0; i < count && s.queries; i++)
		oq_free(s.queries[i]);
	oq_free(s.queries);
	oq_free(s.norms);
	oq_free(distance);
	return status;
}

void oq_knn_votes_free(oq_knn_votes *votes)
{
	oq_free(votes->classes);
	oq_free(votes->tied);
	*votes = (oq_knn_votes){0};
}

void oq_knn_shares(const oq_knn_votes *votes, int64_t first, int64_t count, int k, int classes, double *shares)
{
	for (int64_t i = 0; i < count; i++) {
		const uint8_t *nearest = votes->classes + (first + i) * votes->most;
		int found[OQ_CLASSES] = {0};
		for (int j = 0; j < k; j++)
			found[nearest[j]]++;
		if (classes == 2)
			shares[i] = (double)found[1] / k;
		for (int c = 0; c < classes && classes > 2; c++)
			shares[i * classes + c] = (double)found[c] / k;
	}
}

int64_t oq_knn_ties(const oq_knn_votes *votes, int64_t first, int64_t count, int k)
{
	int64_t ties = 0;
	for (int64_t i = 0; i < count; i++)
		ties += votes->tied[first + i] >> k & 1;
	return ties;
}
