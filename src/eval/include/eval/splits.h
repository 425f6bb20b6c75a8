/* Who is trained on, who chooses, who is tested: the reference's splits to the bit, and sound ones that keep a patient on one side. */
#ifndef OQ_EVAL_SPLITS_H
#define OQ_EVAL_SPLITS_H

#include "core/error.h"

#include <stdint.h>

#define OQ_CLASSES 32 /* most classes of an endpoint */

typedef struct oq_split {
	int64_t *rows;            /* train, then val, then test; their order decides ties and draws */
	int64_t train, val, test; /* numbers of each */
} oq_split;

static inline const int64_t *oq_split_val(const oq_split *split)
{
	return split->rows + split->train;
}

static inline const int64_t *oq_split_test(const oq_split *split)
{
	return split->rows + split->train + split->val;
}

/* class[rows] of 0 to classes-1. The reference's split of `seed`: scikit-learn's train_test_split twice, stratified, 0.5 / 0.2 / 0.3.
 * OQ_E_INPUT where scikit-learn refuses, too: fewer than two rows of a class, or fewer rows in a part than classes. */
oq_status oq_split_reference(const uint8_t *class, int64_t rows, int classes, uint32_t seed, oq_split *out, oq_error *err);
/* The reference's older one, not stratified: numpy's default_rng(seed).permutation. */
oq_status oq_split_unstratified(int64_t rows, uint32_t seed, oq_split *out, oq_error *err);
/* out[folds]: groups (of `group[rows]`, any numbers) dealt to folds so that rows of every class are spread evenly; fold f tests, the next one
 * chooses, the others train. A pure function of data, seed and repeat. At least 3 folds, and as many groups. */
oq_status oq_split_grouped(const uint8_t *class, const int64_t *group, int64_t rows, int folds, uint64_t seed, int repeat, oq_split *out, oq_error *err);
/* part[rows]: 0 train, 1 val, 2 test, anything else: left out. */
oq_status oq_split_given(const uint8_t *part, int64_t rows, oq_split *out, oq_error *err);
void oq_split_free(oq_split *split);

/* How many test rows share their group with a training row. */
oq_status oq_split_leaks(const oq_split *split, const int64_t *group, int64_t rows, int64_t *leaks, oq_error *err);

/* The order in which optuna's GridSampler with seed 0 visits 1 to count; the reference keeps the first best. */
oq_status oq_grid_order(int count, int *order, oq_error *err);
/* The reference's few-shot draw: of each class in ascending order, `shots` of the training rows (np.random.seed(seed), np.random.choice
 * without replacement). picked[classes*shots]: positions among the training rows. */
oq_status oq_few_shot_draw(const oq_split *split, const uint8_t *class, int classes, int shots, uint32_t seed, int64_t *picked, oq_error *err);

#endif
