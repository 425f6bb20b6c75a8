/* How far candidate embeddings are from reference ones: patch by patch, dimension by dimension, neighbour by neighbour.
 * Definitions: docs/fidelity.md. All in double; results do not depend on the number of threads. */
#ifndef OQ_EVAL_FIDELITY_H
#define OQ_EVAL_FIDELITY_H

#include "eval/matrix.h"

#define OQ_FIDELITY_WORST 20

typedef struct oq_fidelity {
	/* One figure per patch, then over patches; quantiles are linear. */
	double cosine_mean, cosine_min, cosine_p1;
	double centred_mean, centred_median, centred_p1, centred_min; /* both minus the reference's mean over patches */
	double relative_mean, relative_max;                            /* |q-x|/|x| */
	double sqnr_db, sqnr_centred_db, sqnr_row_min_db, sqnr_row_median_db;
	double max_abs_error, max_abs_z;                               /* the latter in standard deviations of the dimension */
	/* One figure per dimension (those with no spread in the reference are left out). */
	double bias_z_max;                                             /* |mean(q-x)|/sd */
	double pearson_min, pearson_median, ccc_min, ccc_median, slope_min, slope_max;
	int64_t constant_dimensions;
	/* Neighbours by cosine, ties by index, of every patch: within both sets, and candidate queries in the reference set. */
	double recall_mean[4], cross_mean[4];                          /* of the 1, 5, 10, 50 nearest; NaN with fewer patches */
	double recall10_min, recall10_p5, top1_agreement;
	double norm_error;                                             /* mean |q-x|^2: what a yardstick is compared with */
	int64_t worst[OQ_FIDELITY_WORST];                              /* patches of least centred cosine, worst first */
	int worst_count;
} oq_fidelity;

extern const int oq_fidelity_neighbours[4]; /* 1, 5, 10, 50 */

/* Both matrices of one shape, at least two rows, finite values, no row of zeros: else OQ_E_INPUT, with row and column named after `where`. */
oq_status oq_fidelity_measure(const oq_matrix *reference, const oq_matrix *candidate, const char *where, int threads, oq_fidelity *out, oq_error *err);
/* Centred cosine and relative error of every row: [rows] each. */
void oq_fidelity_rows(const oq_matrix *reference, const oq_matrix *candidate, double *centred, double *relative);
/* Indices of the k nearest rows of `gallery` to every row of `queries` by cosine, ties by index; a row's own index is left out.
 * nearest [rows][k]. */
oq_status oq_nearest(const oq_matrix *queries, const oq_matrix *gallery, int64_t k, int threads, int32_t *nearest, oq_error *err);
/* The same by a given way, for tests: both ways give the same bits, at different speed. */
typedef enum oq_nearest_way { OQ_NEAREST_CHOOSE = 0, OQ_NEAREST_PLAIN, OQ_NEAREST_FILTERED } oq_nearest_way;
oq_status oq_nearest_by(oq_nearest_way way, const oq_matrix *queries, const oq_matrix *gallery, int64_t k, int threads, int32_t *nearest, oq_error *err);

#endif
