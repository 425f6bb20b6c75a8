/* Two ways to the same votes. Small sets: every query against every training row in double. Large ones: float32 products of all pairs, once for all
 * splits, leave a few hundred candidates per query; those are measured in double, and a split whose nearest are not certainly among them is searched
 * in full. Both give the same bits. */
#include "eval/knn.h"

#include "candidates.h"
#include "eval/rows.h"
#include "wide.h"

#include "core/mem.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#define SAME 1e-6
#define SURE 1e-12   /* what distances in double may be off by */

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
	int64_t **places;  /* [splits][rows]: place among the training rows, or -1 - the query, or OUTSIDE */
	int64_t *queries;  /* [query_count]: rows that any split asks for */
	int64_t *gallery;  /* [gallery_count]: rows that any split trains on */
	int64_t query_count, gallery_count;
	int count, most, threads;
	const oq_wide *wide;
	oq_candidate_search filter; /* its `wanted`: candidates that make a full search unlikely */
} search;
#define OUTSIDE INT64_MIN

static double distance_of(const search *s, int64_t a, int64_t b)
{
	double cosine = s->wide->dot_floats(oq_matrix_row(s->x, a), oq_matrix_row(s->x, b), s->x->columns) / (s->norms[a] * s->norms[b]);
	return fmin(fmax(1 - cosine, 0), 2);
}

static bool is_nearer(near a, near b)
{
	return a.distance < b.distance || (a.distance <= b.distance && a.place < b.place);
}

/* Keeps the `room` nearest in order. */
static int keep(near *best, int filled, int room, near candidate)
{
	int at = filled;
	while (at > 0 && is_nearer(candidate, best[at - 1]))
		at--;
	if (at == room)
		return filled;
	filled += filled < room;
	memmove(best + at + 1, best + at, (size_t)(filled - 1 - at) * sizeof *best);
	best[at] = candidate;
	return filled;
}

static void cast_votes(const search *s, int which, int64_t query, const near *best, int filled)
{
	oq_knn_votes *votes = &s->votes[which];
	votes->tied[query] = 0;
	for (int k = 0; k < s->most; k++) {
		votes->classes[query * s->most + k] = s->class[s->splits[which].rows[best[k].place]];
		if (k + 1 < filled && best[k + 1].distance - best[k].distance < SAME)
			votes->tied[query] |= (uint64_t)1 << (k + 1);
	}
}

/* From the distances to some rows; true when the votes are certain: no other row is nearer than `horizon`. */
static bool vote_in_split(const search *s, int which, int64_t query, const int64_t *rows, const double *distance, int64_t count, double horizon)
{
	near best[OQ_KNN_MOST + 1];
	int filled = 0, room = s->most + 1;
	int64_t all = s->splits[which].train;
	for (int64_t i = 0; i < count; i++) {
		int64_t place = s->places[which][rows[i]];
		if (place >= 0 && (filled < room || distance[i] <= best[filled - 1].distance))
			filled = keep(best, filled, room, (near){distance[i], place});
	}
	if (filled < (room < all ? room : (int)all) || !(best[filled - 1].distance < horizon))
		return false;
	cast_votes(s, which, query, best, filled);
	return true;
}

/* Every training row. */
static void search_in_full(const search *s, int which, int64_t query, int64_t row, double *distance)
{
	const oq_split *split = &s->splits[which];
	for (int64_t i = 0; i < split->train; i++)
		distance[i] = distance_of(s, row, split->rows[i]);
	vote_in_split(s, which, query, split->rows, distance, split->train, INFINITY);
}

/* All splits that ask for a row. distance [rows] */
static void vote_of_row(const search *s, int64_t row, const int64_t *rows, int64_t count, double horizon, double *distance, double *room)
{
	for (int64_t i = 0; i < count; i++)
		distance[i] = distance_of(s, row, rows[i]);
	for (int w = 0; w < s->count; w++) {
		int64_t place = s->places[w][row];
		if (place < 0 && place != OUTSIDE && !vote_in_split(s, w, -1 - place, rows, distance, count, horizon))
			search_in_full(s, w, -1 - place, row, room);
	}
}

/* A thread's own. */
typedef struct worker {
	oq_candidates *candidates;
	double *distance, *room; /* [gallery] each */
} worker;

static bool vote_of_block(const search *s, worker *w, int64_t first, int64_t count)
{
	const int64_t *rows;
	double below;
	if (!oq_candidates_find(w->candidates, &s->filter, first, count))
		return false;
	for (int64_t q = 0; q < count; q++) {
		int64_t some = oq_candidates_of(w->candidates, &s->filter, q, &rows, &below);
		if (some)
			vote_of_row(s, s->queries[first + q], rows, some, 1 - below - SURE, w->distance, w->room);
		else
			vote_of_row(s, s->queries[first + q], s->gallery, s->gallery_count, INFINITY, w->distance, w->room);
	}
	return true;
}

static void close_worker(worker *w)
{
	if (w) {
		oq_candidates_close(w->candidates);
		oq_free(w->distance);
		oq_free(w->room);
	}
	oq_free(w);
}

static worker *open_worker(const search *s, bool filtered)
{
	worker *w = oq_calloc(1, sizeof *w);
	size_t rows = (size_t)s->gallery_count;
	if (w && (w->distance = oq_alloc(rows * sizeof *w->distance)) && (w->room = oq_alloc(rows * sizeof *w->room))
		&& (!filtered || (w->candidates = oq_candidates_open(&s->filter))))
		return w;
	close_worker(w);
	return NULL;
}

static oq_status vote_all(const search *s, bool filtered, oq_error *err)
{
	int64_t step = filtered ? OQ_CANDIDATE_BLOCK : 4, blocks = (s->query_count + step - 1) / step;
	bool failed = false;
#pragma omp parallel num_threads(s->threads) reduction(|| : failed)
	{
		worker *w = open_worker(s, filtered);
		failed = !w;
#pragma omp for schedule(dynamic)
		for (int64_t b = 0; b < blocks; b++) {
			int64_t first = b * step, count = s->query_count - first < step ? s->query_count - first : step;
			if (failed)
				continue;
			if (filtered)
				failed = !vote_of_block(s, w, first, count);
			for (int64_t q = 0; q < count && !filtered; q++)
				vote_of_row(s, s->queries[first + q], s->gallery, s->gallery_count, INFINITY, w->distance, w->room);
		}
		close_worker(w);
	}
	return failed ? oq_fail_memory(err, "kNN", (size_t)OQ_CANDIDATE_BLOCK * (size_t)s->x->columns * sizeof(float)) : OQ_OK;
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
	s->places[which] = oq_alloc((size_t)rows * sizeof **s->places);
	if (!s->votes[which].classes || !s->votes[which].tied || !s->places[which])
		return oq_fail_memory(err, "kNN", (size_t)rows * sizeof **s->places);
	for (int64_t r = 0; r < rows; r++)
		s->places[which][r] = OUTSIDE;
	for (int64_t i = 0; i < split->train; i++)
		s->places[which][split->rows[i]] = i;
	for (int64_t q = 0; q < queries; q++)
		s->places[which][oq_split_val(split)[q]] = -1 - q;
	return OQ_OK;
}

/* Which rows are asked for and trained on at all, and how many candidates hold every split's share of training rows but for bad luck. */
static void list_rows(search *s)
{
	double least = 1;
	for (int64_t r = 0; r < s->x->rows; r++) {
		bool asked = false, trained = false;
		for (int w = 0; w < s->count; w++) {
			asked = asked || (s->places[w][r] < 0 && s->places[w][r] != OUTSIDE);
			trained = trained || s->places[w][r] >= 0;
		}
		if (asked)
			s->queries[s->query_count++] = r;
		if (trained)
			s->gallery[s->gallery_count++] = r;
	}
	for (int w = 0; w < s->count; w++)
		least = fmin(least, (double)s->splits[w].train / (double)s->gallery_count);
	s->filter.wanted = (int64_t)ceil((s->most + 1 + (least < 1 ? 6 * sqrt(s->most + 1) : 0)) / least) + 1;
}

static oq_status open_search(search *s, oq_error *err)
{
	size_t rows = (size_t)s->x->rows;
	s->norms = oq_alloc(rows * sizeof *s->norms);
	s->queries = oq_alloc(rows * sizeof *s->queries);
	s->gallery = oq_alloc(rows * sizeof *s->gallery);
	s->places = oq_calloc((size_t)s->count, sizeof *s->places);
	if (!s->norms || !s->queries || !s->gallery || !s->places)
		return oq_fail_memory(err, "kNN", rows * sizeof *s->norms);
	oq_rows_norms(s->x, s->threads, s->norms);
	for (int64_t r = 0; r < s->x->rows; r++)
		s->norms[r] = s->norms[r] > 0 ? s->norms[r] : 1;
	for (int i = 0; i < s->count; i++)
		OQ_TRY(open_votes(s, i, err));
	list_rows(s);
	s->filter.query_rows = s->queries;
	s->filter.gallery_rows = s->gallery;
	s->filter.query_norms = s->filter.gallery_norms = s->norms;
	s->filter.gallery_count = s->gallery_count;
	return OQ_OK;
}

oq_status oq_knn_vote_by(oq_knn_way way, const oq_matrix *x, const uint8_t *class, const oq_split *splits, int count, int most, int threads,
	oq_knn_votes *votes, oq_error *err)
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	search s = {.x = x, .class = class, .splits = splits, .votes = votes, .count = count, .most = most, .threads = threads, .wide = oq_wide_for(cpu.isa),
		.filter = {.queries = x, .gallery = x, .isa = cpu.isa}};
	for (int i = 0; i < count; i++)
		votes[i] = (oq_knn_votes){0};
	oq_status status = open_search(&s, err);
	if (status == OQ_OK)
		status = vote_all(&s, way == OQ_KNN_FILTERED || (way == OQ_KNN_CHOOSE && s.gallery_count >= OQ_CANDIDATE_FEW && s.filter.wanted < s.gallery_count / 8), err);
	for (int i = 0; i < count && s.places; i++)
		oq_free(s.places[i]);
	oq_free(s.places);
	oq_free(s.norms);
	oq_free(s.queries);
	oq_free(s.gallery);
	return status;
}

oq_status oq_knn_vote(const oq_matrix *x, const uint8_t *class, const oq_split *splits, int count, int most, int threads, oq_knn_votes *votes, oq_error *err)
{
	return oq_knn_vote_by(OQ_KNN_CHOOSE, x, class, splits, count, most, threads, votes, err);
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
