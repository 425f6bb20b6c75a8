#include "products.h"

#include <string.h>

#define LINE 64     /* dimensions packed at a time */
#define STRETCH 256 /* dimensions summed in registers before they join the rest: keeps the error bound small */

#if defined(__x86_64__) && defined(__GNUC__)
#define OQ_PRODUCTS_X86
#include <immintrin.h>
#endif

void oq_products_pack(const oq_matrix *x, const int64_t *rows, int64_t first, int64_t count, int width, const double *norms, float *out)
{
	if (count < width)
		memset(out, 0, (size_t)(x->columns * width) * sizeof *out);
	for (int64_t start = 0; start < x->columns; start += LINE) { /* what is written stays in the first level cache meanwhile */
		int64_t end = start + LINE < x->columns ? start + LINE : x->columns;
		for (int64_t i = 0; i < count; i++) {
			int64_t row = rows ? rows[first + i] : first + i;
			const float *from = oq_matrix_row(x, row);
			double scale = norms[row] > 0 ? 1 / norms[row] : 1; /* a row of zeros stays one */
			for (int64_t d = start; d < end; d++)
				out[d * width + i] = (float)((double)from[d] * scale);
		}
	}
}

static void stretch_plain(const float *a, const float *b, int64_t count, float *tile)
{
	float sums[OQ_TILE_ROWS][OQ_TILE_COLUMNS] = {{0}};
	for (int64_t d = 0; d < count; d++, a += OQ_TILE_ROWS, b += OQ_TILE_COLUMNS)
		for (int i = 0; i < OQ_TILE_ROWS; i++)
			for (int j = 0; j < OQ_TILE_COLUMNS; j++)
				sums[i][j] += a[i] * b[j];
	for (int i = 0; i < OQ_TILE_ROWS * OQ_TILE_COLUMNS; i++)
		tile[i] += (&sums[0][0])[i];
}

#ifdef OQ_PRODUCTS_X86
__attribute__((target("avx512f"))) static void stretch_avx512(const float *a, const float *b, int64_t count, float *tile)
{
	__m512 sums[OQ_TILE_ROWS][2];
	for (int i = 0; i < OQ_TILE_ROWS; i++)
		sums[i][0] = sums[i][1] = _mm512_setzero_ps();
	for (int64_t d = 0; d < count; d++, a += OQ_TILE_ROWS, b += OQ_TILE_COLUMNS) {
		const __m512 low = _mm512_loadu_ps(b), high = _mm512_loadu_ps(b + 16);
#pragma GCC unroll 12
		for (int i = 0; i < OQ_TILE_ROWS; i++) {
			const __m512 own = _mm512_set1_ps(a[i]);
			sums[i][0] = _mm512_fmadd_ps(own, low, sums[i][0]);
			sums[i][1] = _mm512_fmadd_ps(own, high, sums[i][1]);
		}
	}
	for (int i = 0; i < OQ_TILE_ROWS; i++)
		for (int h = 0; h < 2; h++) {
			float *to = tile + i * OQ_TILE_COLUMNS + 16 * h;
			_mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), sums[i][h]));
		}
}

/* Three rows at a time: 12 registers of sums, 4 for the rest. */
__attribute__((target("avx2,fma"))) static void stretch_avx2(const float *a, const float *b, int64_t count, float *tile)
{
	for (int first = 0; first < OQ_TILE_ROWS; first += 3) {
		__m256 sums[3][4];
		const float *p = a + first, *q = b;
		for (int i = 0; i < 12; i++)
			sums[i / 4][i % 4] = _mm256_setzero_ps();
		for (int64_t d = 0; d < count; d++, p += OQ_TILE_ROWS, q += OQ_TILE_COLUMNS) {
			const __m256 x = _mm256_set1_ps(p[0]), y = _mm256_set1_ps(p[1]), z = _mm256_set1_ps(p[2]);
#pragma GCC unroll 4
			for (int h = 0; h < 4; h++) {
				const __m256 column = _mm256_loadu_ps(q + 8 * h);
				sums[0][h] = _mm256_fmadd_ps(x, column, sums[0][h]);
				sums[1][h] = _mm256_fmadd_ps(y, column, sums[1][h]);
				sums[2][h] = _mm256_fmadd_ps(z, column, sums[2][h]);
			}
		}
		for (int i = 0; i < 3; i++)
			for (int h = 0; h < 4; h++) {
				float *to = tile + (first + i) * OQ_TILE_COLUMNS + 8 * h;
				_mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), sums[i][h]));
			}
	}
}
#endif

void oq_products_tile(oq_isa isa, const float *a, const float *b, int64_t columns, float *tile)
{
	void (*stretch)(const float *, const float *, int64_t, float *) = stretch_plain;
#ifdef OQ_PRODUCTS_X86
	stretch = isa == OQ_ISA_AVX512 ? stretch_avx512 : isa == OQ_ISA_AVX2 ? stretch_avx2 : stretch_plain;
#else
	(void)isa;
#endif
	memset(tile, 0, OQ_TILE_ROWS * OQ_TILE_COLUMNS * sizeof *tile);
	for (int64_t d = 0; d < columns; d += STRETCH)
		stretch(a + d * OQ_TILE_ROWS, b + d * OQ_TILE_COLUMNS, columns - d < STRETCH ? columns - d : STRETCH, tile);
}

/* A chain of n additions and products of rows of length 1 errs by less than n u / (1 - n u); u = 2^-24, rows rounded once each. The last term
 * covers numbers below float32's smallest. */
double oq_products_error(int64_t columns)
{
	double n = 2.0 * STRETCH + (double)(columns / STRETCH) + 8;
	return 1.01 * n * 0x1p-24 + (double)columns * 0x1p-125;
}
