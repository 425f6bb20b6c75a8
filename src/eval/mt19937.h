/* numpy.random.RandomState(seed): MT19937 (Matsumoto and Nishimura 1998) as numpy's frozen legacy generator uses it. Only here so that the
 * reference's splits and draws come out as they were; all else uses eval/random.h. */
#ifndef OQ_EVAL_MT19937_H
#define OQ_EVAL_MT19937_H

#include <stdint.h>

typedef struct oq_mt19937 {
	uint32_t key[624];
	int at;
} oq_mt19937;

void oq_mt19937_seed(oq_mt19937 *mt, uint32_t seed);
/* RandomState.shuffle of `count` numbers. */
void oq_mt19937_shuffle(oq_mt19937 *mt, int64_t *values, int64_t count);
/* RandomState.permutation(count), whose first n are RandomState.choice(count, n, replace=False). */
void oq_mt19937_permutation(oq_mt19937 *mt, int64_t *values, int64_t count);

#endif
