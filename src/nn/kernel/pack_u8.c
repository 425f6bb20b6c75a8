/* Bins of steps whose products can be added in 16 bits: first fit, the steps with the largest weights first. */
#include "pack_u8.h"

#include "core/mem.h"

#include <string.h>

#define PARTS OQ_GEMM_U8_PARTS
#define STEP OQ_GEMM_U8_STEP
#define BIN OQ_GEMM_U8_BIN
#define LIMIT OQ_GEMM_U8_LIMIT
#define LIST_MAX (2 * OQ_U8_BLOCK_MAX) /* steps, each of which may need another */
#define WIDE_COST (16.0 / 3.0)        /* instructions per step by products of 16 bits: five, and a third for widening weights */
#define LANES (STEP / 2)

typedef struct step {
	int8_t weights[STEP];
	uint8_t load[STEP]; /* [sign][lane of 16 bits]: sums of the weights of a sign */
	uint16_t at;
	uint8_t most;       /* of the loads */
} step;

typedef struct bin {
	uint8_t room[STEP]; /* what its loads leave of the limit */
	int count, members[BIN];
} bin;

/* What a pair has beyond the range goes to `left`. */
static void split_pair(int8_t *pair, int8_t *left)
{
	int above = (pair[0] > 0 ? pair[0] : 0) + (pair[1] > 0 ? pair[1] : 0) - LIMIT;
	int below = (pair[0] < 0 ? pair[0] : 0) + (pair[1] < 0 ? pair[1] : 0) + LIMIT;
	int beyond = above > 0 ? above : below < 0 ? below : 0; /* both weights have its sign, and it is within -128 and 126 */
	left[0] = (int8_t)(beyond > 0 ? (beyond < pair[0] ? beyond : pair[0]) : beyond > pair[0] ? beyond : pair[0] < 0 ? pair[0] : 0);
	left[1] = (int8_t)(beyond - left[0]);
	pair[0] = (int8_t)(pair[0] - left[0]);
	pair[1] = (int8_t)(pair[1] - left[1]);
}

/* The sums of either sign in each lane; returns the largest of them. */
static int weigh(const int8_t weights[STEP], int16_t load[STEP])
{
	int16_t pairs[LANES], most = 0;
	memcpy(pairs, weights, sizeof pairs);
	for (int i = 0; i < LANES; i++) {
		int16_t a = (int16_t)((int16_t)(pairs[i] * 256) >> 8), b = (int16_t)(pairs[i] >> 8); /* which is which does not matter */
		load[i] = (int16_t)((a > 0 ? a : 0) + (b > 0 ? b : 0));
		load[LANES + i] = (int16_t)((a < 0 ? -a : 0) + (b < 0 ? -b : 0));
	}
	for (int i = 0; i < STEP; i++)
		most = load[i] > most ? load[i] : most;
	return most;
}

static void take_loads(step *s, const int16_t load[STEP], int most)
{
	s->most = (uint8_t)most;
	for (int i = 0; i < STEP; i++)
		s->load[i] = (uint8_t)load[i];
}

/* The steps of one list, `dense` being the first of them, panels apart; returns how many. Without `steps` they are only counted. */
static int64_t collect(const int8_t *dense, int64_t count, step *steps)
{
	int64_t n = 0;
	for (int64_t i = 0; i < count; i++) {
		const int8_t *weights = dense + i * PARTS * STEP;
		int16_t load[STEP];
		int most = weigh(weights, load);
		bool split = most > LIMIT;
		if (steps && most > 0) {
			step *s = &steps[n];
			s->at = (uint16_t)(4 * i);
			memcpy(s->weights, weights, STEP);
			if (split) {
				s[1].at = s->at;
				for (int w = 0; w < STEP; w += 2)
					split_pair(s->weights + w, s[1].weights + w);
				most = weigh(s[1].weights, load);
				take_loads(s + 1, load, most);
				most = weigh(s->weights, load);
			}
			take_loads(s, load, most);
		}
		n += (most > 0) + split;
	}
	return n;
}

static bool fits(const bin *b, const step *s)
{
	uint8_t over = 0;
	for (int i = 0; i < STEP; i++)
		over |= s->load[i] > b->room[i];
	return !over;
}

static void put(bin *b, const step *steps, int index)
{
	for (int i = 0; i < STEP; i++)
		b->room[i] = (uint8_t)(b->room[i] - steps[index].load[i]);
	b->members[b->count++] = index;
}

/* Indices of steps, the one with the largest load first; equals keep their order. */
static void order_steps(const step *steps, int count, int order[LIST_MAX])
{
	int start[LIMIT + 2] = {0};
	for (int i = 0; i < count; i++)
		start[LIMIT - steps[i].most + 1]++;
	for (int i = 0; i <= LIMIT; i++)
		start[i + 1] += start[i];
	for (int i = 0; i < count; i++)
		order[start[LIMIT - steps[i].most]++] = i;
}

static int fill_bins(const step *steps, int count, bin bins[LIST_MAX])
{
	int order[LIST_MAX], used = 0;
	order_steps(steps, count, order);
	for (int i = 0; i < count; i++) {
		int b = 0;
		while (b < used && (bins[b].count == BIN || !fits(&bins[b], &steps[order[i]])))
			b++;
		if (b == used) {
			memset(bins[used].room, LIMIT, STEP);
			bins[used++].count = 0;
		}
		put(&bins[b], steps, order[i]);
	}
	return used;
}

static int64_t part_of(const oq_u8_dense *d, int64_t list, const int8_t **first)
{
	int64_t blocks = (d->steps + d->block - 1) / d->block, part = list % PARTS, block = list / PARTS % blocks, product = list / PARTS / blocks;
	int64_t left = d->steps - block * d->block;
	*first = d->weights + ((product * d->steps + block * d->block) * PARTS + part) * STEP;
	return left < d->block ? left : d->block;
}

/* Packs one list; returns its instructions per row: three per step (bytes of the row, products, an addition in 16 bits or in 32), one more per
 * bin. With four of them in a cycle that is what limits the micro-kernel. */
static int64_t pack_list(const oq_u8_dense *d, int64_t index, const oq_u8_packed *out)
{
	step steps[LIST_MAX];
	bin bins[LIST_MAX];
	const int8_t *first;
	oq_gemm_u8_list *list = &out->lists[index];
	int64_t block = part_of(d, index, &first), count = collect(first, block, steps), to = list->first;
	int used = fill_bins(steps, (int)count, bins);
	for (int size = BIN; size > 0; size--)
		for (int b = 0; b < used; b++) {
			if (bins[b].count != size)
				continue;
			list->bins[size - 1]++;
			for (int m = 0; m < size; m++, to++) {
				const step *s = &steps[bins[b].members[m]];
				memcpy(out->weights + to * STEP, s->weights, STEP);
				out->at[to] = s->at;
				for (int w = 0; w < STEP; w++)
					list->start[w / 4] -= d->zero * s->weights[w];
			}
		}
	return 3 * count + used;
}

oq_status oq_u8_pack(const oq_u8_dense *d, oq_u8_packed *out, bool *worth, oq_error *err)
{
	int64_t lists = d->products * ((d->steps + d->block - 1) / d->block) * PARTS, count = 0, cost = 0;
	double steps = (double)(d->products * d->steps * PARTS);
	size_t bytes = (size_t)lists * sizeof *out->lists;
	*worth = false;
	out->lists = oq_alloc_aligned(bytes);
	if (!out->lists)
		return oq_fail_memory(err, "convolution", bytes);
	memset(out->lists, 0, bytes);
#pragma omp parallel for
	for (int64_t i = 0; i < lists; i++) {
		const int8_t *first;
		int64_t block = part_of(d, i, &first);
		out->lists[i].first = collect(first, block, NULL); /* their number, until all are known */
	}
	for (int64_t i = 0; i < lists; i++) {
		int64_t own = out->lists[i].first;
		out->lists[i].first = count;
		count += own;
	}
	if (3.0 * (double)count > WIDE_COST * steps)
		return OQ_OK;
	out->weights = oq_alloc_aligned((size_t)count * STEP + 1);
	out->at = oq_alloc_aligned((size_t)count * sizeof *out->at + 1);
	out->bytes = bytes + (size_t)count * (STEP + sizeof *out->at);
	if (!out->weights || !out->at)
		return oq_fail_memory(err, "convolution", out->bytes);
#pragma omp parallel for reduction(+ : cost)
	for (int64_t i = 0; i < lists; i++)
		cost += pack_list(d, i, out);
	out->cost = (double)cost / steps;
	*worth = out->cost <= WIDE_COST;
	return OQ_OK;
}

void oq_u8_release(oq_u8_packed *packed)
{
	oq_free_aligned(packed->lists);
	oq_free_aligned(packed->weights);
	oq_free_aligned(packed->at);
}
