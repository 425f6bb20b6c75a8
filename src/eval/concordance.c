/* Concordance in O(n log n): cases are swept by time, and a tree over the ranks of the scores says how many lie below. */
#include "survival_order.h"

#include "core/mem.h"

#include <math.h>
#include <stdlib.h>

typedef struct scored {
	double score;
	int64_t index;
} scored;

static int by_score(const void *a, const void *b)
{
	double x = ((const scored *)a)->score, y = ((const scored *)b)->score;
	return (x > y) - (x < y);
}

/* Room of a concordance, [count] each; tree [count + 1]. */
typedef struct pairs {
	int64_t *rank;                  /* of the score, 1, 2, ..., equal ones alike */
	double *weight;                 /* of an event's pairs; 0 for censored cases */
	double *tree, *won, *compared;  /* won: weights of pairs that go as the score says, ties half */
	int64_t ranks;
} pairs;

static void rank_scores(const double *score, int64_t count, scored *room, pairs *p)
{
	for (int64_t i = 0; i < count; i++)
		room[i] = (scored){score[i], i};
	qsort(room, (size_t)count, sizeof *room, by_score);
	for (int64_t i = 0; i < count; i++) {
		p->ranks += i == 0 || room[i].score > room[i - 1].score;
		p->rank[room[i].index] = p->ranks;
	}
}

static void tree_clear(pairs *p)
{
	for (int64_t k = 0; k <= p->ranks; k++)
		p->tree[k] = 0;
}

static void tree_add(pairs *p, int64_t rank, double weight)
{
	for (; rank <= p->ranks; rank += rank & -rank)
		p->tree[rank] += weight;
}

/* Weight of ranks up to this one. */
static double tree_sum(const pairs *p, int64_t rank)
{
	double sum = 0;
	for (; rank > 0; rank -= rank & -rank)
		sum += p->tree[rank];
	return sum;
}

/* 1, or 1/G(t-)^2 with G the chance of not being censored before t: whoever has the event at t is no longer at risk of censoring there. */
static void weigh_events(const oq_survival *s, const int64_t *order, bool uno, double horizon, double *weight)
{
	double uncensored = 1;
	for (int64_t first = 0; first < s->count;) {
		int64_t last = oq_survival_tied(s, order, first), events = 0;
		for (int64_t k = first; k < last; k++) {
			bool counts = s->event[order[k]] && (!uno || s->time[order[k]] <= horizon);
			weight[order[k]] = !counts ? 0 : uno ? 1 / (uncensored * uncensored) : 1;
			events += s->event[order[k]];
		}
		int64_t at_risk = s->count - first - events, censored = last - first - events;
		if (censored)
			uncensored *= 1 - (double)censored / (double)at_risk;
		first = last;
	}
}

/* Pairs of each event with those who outlive it: latest first. */
static void count_survivors(const oq_survival *s, const int64_t *order, pairs *p, oq_concordance *out)
{
	tree_clear(p);
	double all = 0;
	for (int64_t last = s->count; last > 0;) {
		int64_t first = last;
		while (first > 0 && !(s->time[order[first - 1]] < s->time[order[last - 1]]))
			first--;
		for (int pass = 0; pass < 3; pass++) /* censored ones join the survivors, events are asked, events join */
			for (int64_t k = first; k < last; k++) {
				int64_t i = order[k];
				if (s->event[i] == (pass == 0))
					continue;
				if (pass != 1) {
					tree_add(p, p->rank[i], 1);
					all++;
					continue;
				}
				double below = tree_sum(p, p->rank[i] - 1), equal = tree_sum(p, p->rank[i]) - below, w = p->weight[i];
				out->concordant += w * below;
				out->tied += w * equal;
				out->discordant += w * (all - below - equal);
				p->won[i] += w * (below + 0.5 * equal);
				p->compared[i] += w * all;
			}
		last = first;
	}
}

/* The same pairs from the side of who outlives: earliest first. */
static void count_predecessors(const oq_survival *s, const int64_t *order, pairs *p)
{
	tree_clear(p);
	double all = 0;
	for (int64_t first = 0; first < s->count;) {
		int64_t last = oq_survival_tied(s, order, first);
		for (int pass = 0; pass < 3; pass++) /* events are asked, events join, censored ones are asked */
			for (int64_t k = first; k < last; k++) {
				int64_t i = order[k];
				if (s->event[i] == (pass == 2))
					continue;
				if (pass == 1) {
					tree_add(p, p->rank[i], p->weight[i]);
					all += p->weight[i];
					continue;
				}
				double up_to = tree_sum(p, p->rank[i]), equal = up_to - tree_sum(p, p->rank[i] - 1);
				p->won[i] += all - up_to + 0.5 * equal;
				p->compared[i] += all;
			}
		first = last;
	}
}

static oq_status finish(const oq_survival *s, const pairs *p, oq_concordance *out, oq_error *err)
{
	double all = out->concordant + out->discordant + out->tied;
	for (int64_t i = 0; i < s->count; i++)
		out->events += s->event[i];
	if (!(all > 0))
		return oq_fail(err, OQ_E_INPUT, "E_EVENTS", "concordance: %lld events, none of which comes before another case's time", (long long)out->events);
	out->c = (out->concordant + 0.5 * out->tied) / all;
	for (int64_t i = 0; i < s->count; i++) {
		double influence = (p->won[i] - out->c * p->compared[i]) / all;
		out->variance += influence * influence;
	}
	return OQ_OK;
}

oq_status oq_concordance_measure(const oq_survival *s, const double *score, oq_concordance_kind kind, double horizon, oq_concordance *out, oq_error *err)
{
	*out = (oq_concordance){0};
	for (int64_t i = 0; i < s->count; i++)
		if (!isfinite(score[i]))
			return oq_fail(err, OQ_E_INPUT, "E_NONFINITE", "concordance: score of case %lld is %g, expected a finite number", (long long)i + 1, score[i]);
	int64_t *order = NULL;
	OQ_TRY(oq_survival_order(s, &order, err));
	size_t n = (size_t)s->count;
	pairs p = {.rank = oq_alloc(n * sizeof *p.rank), .weight = oq_calloc(4 * n + 1, sizeof *p.weight)};
	scored *room = oq_alloc(n * sizeof *room);
	oq_status status = OQ_OK;
	if (p.rank && p.weight && room) {
		p.won = p.weight + n;
		p.compared = p.won + n;
		p.tree = p.compared + n;
		rank_scores(score, s->count, room, &p);
		weigh_events(s, order, kind == OQ_CONCORDANCE_UNO, horizon, p.weight);
		count_survivors(s, order, &p, out);
		count_predecessors(s, order, &p);
		status = finish(s, &p, out, err);
	} else {
		status = oq_fail_memory(err, "concordance", n * sizeof *room);
	}
	oq_free(order);
	oq_free(p.rank);
	oq_free(p.weight);
	oq_free(room);
	return status;
}
