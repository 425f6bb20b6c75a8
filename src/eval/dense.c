/* Both sides are packed in stretches of rows, so that tiles read them one number after the other from the caches; a task is a patch of tiles. */
#include "dense.h"

#include "core/mem.h"
#include "wide.h"

#include <string.h>

#define STRETCH 256 /* rows packed at a time: 12 and 16 columns of them stay in the first level cache */
#define ACROSS 16   /* panels of b that a task stays with: half a megabyte, in the second level cache */
#define DOWN 8      /* panels of a */

static int64_t panels(int64_t width, int64_t size)
{
	return (width + size - 1) / size;
}

/* out [panels][count][size]; columns beyond the last are zeros. */
static void pack(const oq_dense_side *s, int64_t first, int64_t count, int64_t size, double sign, int threads, double *out)
{
#pragma omp parallel for num_threads(threads) schedule(static)
	for (int64_t p = 0; p < panels(s->width, size); p++) {
		double *to = out + p * count * size;
		int64_t here = s->width - p * size < size ? s->width - p * size : size;
		if (here < size)
			memset(to, 0, (size_t)(count * size) * sizeof *to);
		for (int64_t k = 0; k < count; k++) {
			const double *from = s->data + (first + k) * s->along + p * size * s->across;
			for (int64_t i = 0; i < here; i++)
				to[k * size + i] = sign * from[i * s->across];
		}
	}
}

typedef struct job {
	const double *a, *b; /* packed */
	int64_t count, wa, wb, stride;
	double *c;
	bool lower;
	const oq_wide *wide;
} job;

/* Panel i of a with panel j of b; tiles at the edges are smaller. */
static void add_tile(const job *w, int64_t i, int64_t j)
{
	double tile[OQ_WIDE_ROWS * OQ_WIDE_COLUMNS] = {0};
	int64_t row = i * OQ_WIDE_ROWS, column = j * OQ_WIDE_COLUMNS;
	int64_t rows = w->wa - row < OQ_WIDE_ROWS ? w->wa - row : OQ_WIDE_ROWS, columns = w->wb - column < OQ_WIDE_COLUMNS ? w->wb - column : OQ_WIDE_COLUMNS;
	if (w->lower && column > row + rows - 1)
		return;
	for (int64_t r = 0; r < rows; r++)
		memcpy(tile + r * OQ_WIDE_COLUMNS, w->c + (row + r) * w->stride + column, (size_t)columns * sizeof *tile);
	w->wide->tile(w->a + i * w->count * OQ_WIDE_ROWS, w->b + j * w->count * OQ_WIDE_COLUMNS, w->count, tile);
	for (int64_t r = 0; r < rows; r++)
		memcpy(w->c + (row + r) * w->stride + column, tile + r * OQ_WIDE_COLUMNS, (size_t)columns * sizeof *tile);
}

static void add_stretch(const job *w, int threads)
{
	int64_t down = panels(w->wa, OQ_WIDE_ROWS), across = panels(w->wb, OQ_WIDE_COLUMNS);
#pragma omp parallel for num_threads(threads) schedule(dynamic) collapse(2)
	for (int64_t j = 0; j < across; j += ACROSS)
		for (int64_t i = 0; i < down; i += DOWN)
			for (int64_t y = i; y < i + DOWN && y < down; y++)
				for (int64_t x = j; x < j + ACROSS && x < across; x++)
					add_tile(w, y, x);
}

oq_status oq_dense_add(const oq_dense_side *a, const oq_dense_side *b, int64_t count, double sign, bool lower, int threads, double *c, int64_t stride,
	oq_error *err)
{
	int64_t most = count < STRETCH ? count : STRETCH;
	int64_t size_a = panels(a->width, OQ_WIDE_ROWS) * OQ_WIDE_ROWS, size_b = panels(b->width, OQ_WIDE_COLUMNS) * OQ_WIDE_COLUMNS;
	double *room = oq_alloc((size_t)(most * (size_a + size_b)) * sizeof *room);
	if (!room)
		return oq_fail_memory(err, "matrix product", (size_t)(most * (size_a + size_b)) * sizeof *room);
	job w = {.a = room, .b = room + most * size_a, .wa = a->width, .wb = b->width, .c = c, .stride = stride, .lower = lower, .wide = oq_wide_here()};
	for (int64_t first = 0; first < count; first += STRETCH) {
		w.count = count - first < STRETCH ? count - first : STRETCH;
		pack(a, first, w.count, OQ_WIDE_ROWS, sign, threads, room);
		pack(b, first, w.count, OQ_WIDE_COLUMNS, 1, threads, room + most * size_a);
		add_stretch(&w, threads);
	}
	oq_free(room);
	return OQ_OK;
}
