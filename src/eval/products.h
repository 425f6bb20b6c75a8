/* Many inner products of unit rows in float32, fast, and how far from the truth they may be. A plain twin, and kernels for AVX2 and AVX-512;
 * their last bits differ, so nothing but a filter may be made of them. */
#ifndef OQ_EVAL_PRODUCTS_H
#define OQ_EVAL_PRODUCTS_H

#include "core/cpu.h"
#include "eval/matrix.h"

#define OQ_TILE_ROWS 12
#define OQ_TILE_COLUMNS 32

/* out [columns][width]: rows (NULL: first, first + 1, ...) scaled to length 1 by 1/norm, transposed; missing rows up to `width` are zeros. */
void oq_products_pack(const oq_matrix *x, const int64_t *rows, int64_t first, int64_t count, int width, const double *norms, float *out);
/* tile [OQ_TILE_ROWS][OQ_TILE_COLUMNS] of packed a [columns][OQ_TILE_ROWS] and b [columns][OQ_TILE_COLUMNS]. */
void oq_products_tile(oq_isa isa, const float *a, const float *b, int64_t columns, float *tile);
/* No product is further from the exact cosine than this. */
double oq_products_error(int64_t columns);

#endif
