/* Two passes. The first multiplies bytes: with x = x' + e and c = c' + f, x' and c' being what the codes stand for,
 *     |x.c - x'.c'| = |e.c + x'.f| <= |e||c| + |x'||f|      (Cauchy-Schwarz; |c| <= 1)
 * and a float32 chain of n products errs by at most n*2^-24/(1-n*2^-24) of |x||c|. A code whose byte product lies further below the
 * largest one than twice the sum of these bounds cannot be the nearest, whatever float32 rounds to. The second pass takes the float32
 * products of what is left, for 32 rows at a time. Without byte products, everything is left. */
#include "kernel/nearest.h"

#include "kernel/gemm_f32.h"
#include "kernel/gemm_dot.h"
#include "kernel/token_f32.h"
#include "to_integer.h"

#include "core/mem.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#define CANDIDATES 28 /* rows of the micro-kernel at a time */
#define LANES OQ_GEMM_NR
#define ROUNDED 1e-6  /* scaling an exact sum of bytes and comparing in float32: a few times 2^-24, relative */

struct oq_nearest {
	int64_t codes, channels, panels, steps;
	oq_isa isa;
	float *directions;    /* [codes][channels] */
	oq_gemm_dot_fn *multiply; /* NULL: no byte products, and none of the following */
	int8_t *packed;       /* [panel][steps][32][4] */
	int32_t *start;       /* [panel][32]: takes away what the offset of the rows' bytes adds */
	float *scale;         /* [panel][32] */
	double error;         /* the largest |f| */
};

/* x = scale*code + error: the codes, the scale, and the lengths of the error and of x. NaN in x makes the error NaN. */
typedef struct coded {
	float scale;
	double error, length;
} coded;

static coded encode(int64_t count, const float *x, int8_t *codes)
{
	coded c = {0};
	float most = 0;
	double error = 0, length = 0;
	for (int64_t i = 0; i < count; i++)
		most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
	c.scale = most / 127.0f;
	float inverse = c.scale > 0 ? 1.0f / c.scale : 0.0f;
	for (int64_t i = 0; i < count; i++) {
		float near = x[i] * inverse + OQ_TO_INTEGER - OQ_TO_INTEGER;
		near = near > 127 ? 127 : near > -127 ? near : -127; /* the product may round beyond, and NaN has no integer */
		codes[i] = (int8_t)near;
		double rest = (double)x[i] - (double)c.scale * (double)near;
		error += rest * rest;
		length += (double)x[i] * (double)x[i];
	}
	c.error = sqrt(error);
	c.length = sqrt(length);
	return c;
}

/* In double, rounded once. */
static void make_directions(oq_nearest *n, const float *stored)
{
	for (int64_t code = 0; code < n->codes; code++) {
		const float *row = stored + code * n->channels;
		double squares = 0;
		for (int64_t c = 0; c < n->channels; c++)
			squares += (double)row[c] * (double)row[c];
		double norm = squares > 1e-24 ? sqrt(squares) : 1e-12;
		for (int64_t c = 0; c < n->channels; c++)
			n->directions[code * n->channels + c] = (float)((double)row[c] / norm);
	}
}

static oq_status make_bytes(oq_nearest *n, oq_error *err)
{
	size_t columns = (size_t)(n->panels * OQ_DOT_NR), bytes = columns * (size_t)(n->steps * OQ_DOT_BYTES);
	int8_t *codes = oq_alloc((size_t)(n->codes * n->channels));
	n->packed = oq_alloc_aligned(bytes);
	n->start = oq_alloc_aligned(columns * sizeof *n->start);
	n->scale = oq_alloc_aligned(columns * sizeof *n->scale);
	if (!codes || !n->packed || !n->start || !n->scale) {
		oq_free(codes);
		return oq_fail_memory(err, "codebook", bytes);
	}
	memset(n->start, 0, columns * sizeof *n->start);
	memset(n->scale, 0, columns * sizeof *n->scale);
	for (int64_t code = 0; code < n->codes; code++) {
		int8_t *row = codes + code * n->channels;
		const coded c = encode(n->channels, n->directions + code * n->channels, row);
		for (int64_t i = 0; i < n->channels; i++)
			n->start[code] -= 128 * row[i];
		n->scale[code] = c.scale;
		n->error = isnan(n->error) || c.error <= n->error ? n->error : c.error; /* NaN stays */
	}
	oq_gemm_dot_pack(n->codes, n->channels, 1, codes, n->packed);
	oq_free(codes);
	return OQ_OK;
}

oq_status oq_nearest_create(int64_t codes, int64_t channels, const float *stored, oq_isa isa, bool vnni, oq_nearest **out, oq_error *err)
{
	size_t bytes = (size_t)(codes * channels) * sizeof(float);
	oq_nearest *n = oq_calloc(1, sizeof *n);
	if (!n)
		return oq_fail_memory(err, "codebook", sizeof *n);
	*n = (oq_nearest){.codes = codes, .channels = channels, .isa = isa, .panels = oq_dot_panels(codes), .steps = oq_dot_steps(channels, 1),
		.directions = oq_alloc_aligned(bytes), .multiply = channels <= OQ_DOT_U8_MAX_K ? oq_gemm_u8_kernel(vnni) : NULL};
	oq_status status = n->directions ? OQ_OK : oq_fail_memory(err, "codebook", bytes);
	if (status == OQ_OK)
		make_directions(n, stored);
	if (status == OQ_OK && n->multiply)
		status = make_bytes(n, err);
	if (status == OQ_OK)
		*out = n;
	else
		oq_nearest_free(n);
	return status;
}

void oq_nearest_free(oq_nearest *n)
{
	if (!n)
		return;
	oq_free_aligned(n->directions);
	oq_free_aligned(n->packed);
	oq_free_aligned(n->start);
	oq_free_aligned(n->scale);
	oq_free(n);
}

size_t oq_nearest_weight_bytes(const oq_nearest *n)
{
	size_t columns = (size_t)(n->panels * OQ_DOT_NR), bytes = (size_t)(n->codes * n->channels) * sizeof(float);
	return bytes + (n->multiply ? columns * ((size_t)(n->steps * OQ_DOT_BYTES) + sizeof *n->start + sizeof *n->scale) : 0);
}

bool oq_nearest_has_bytes(const oq_nearest *n)
{
	return n->multiply != NULL;
}

/* ---- Scratch ---- */

/* What one thread needs for itself. */
typedef struct lane_room {
	int32_t *sums;  /* [rows][32] */
	float *panel;   /* [channels][32]: 32 rows as a panel of the micro-kernel */
	float *scores;  /* [CANDIDATES][32] */
	unsigned char *left; /* [codes]: may win one of the 32 rows */
} lane_room;

typedef struct room {
	int64_t rows;
	float *units;   /* [rows][channels] */
	uint8_t *bytes; /* [rows][4*steps], offset by 128 */
	float *products; /* [panels][rows][32]: rows that lie thousands of codes apart would fall on few sets of a cache */
	float *most;    /* [rows][panels]: the largest of a panel */
	float *least;   /* [rows]: what a product needs to be left */
	lane_room lane;
} room;

static size_t place(size_t *at, size_t bytes)
{
	size_t here = *at;
	*at += (bytes + OQ_ALIGN - 1) / OQ_ALIGN * OQ_ALIGN;
	return here;
}

/* `scratch` may be NULL: for the size only. */
static size_t lay_out(const oq_nearest *n, int64_t rows, int threads, int thread, char *scratch, room *out)
{
	size_t at = 0, r = (size_t)rows, panels = (size_t)n->panels, some = n->multiply != NULL;
	size_t units = place(&at, r * (size_t)n->channels * sizeof(float));
	size_t bytes = place(&at, some * r * (size_t)(n->steps * OQ_DOT_BYTES));
	size_t products = place(&at, some * r * panels * OQ_DOT_NR * sizeof(float));
	size_t most = place(&at, some * r * panels * sizeof(float)), least = place(&at, r * sizeof(float)), first = at;
	size_t sums = place(&at, some * r * OQ_DOT_NR * sizeof(int32_t));
	size_t panel = place(&at, (size_t)n->channels * LANES * sizeof(float));
	size_t scores = place(&at, CANDIDATES * LANES * sizeof(float)), left = place(&at, (size_t)n->codes), each = at - first;
	if (scratch) {
		char *own = scratch + (size_t)thread * each;
		*out = (room){.rows = rows, .units = (void *)(scratch + units), .bytes = (void *)(scratch + bytes), .products = (void *)(scratch + products),
			.most = (void *)(scratch + most), .least = (void *)(scratch + least),
			.lane = {.sums = (void *)(own + sums), .panel = (void *)(own + panel), .scores = (void *)(own + scores), .left = (void *)(own + left)}};
	}
	return first + (size_t)threads * each;
}

size_t oq_nearest_scratch_bytes(const oq_nearest *n, int64_t rows, int threads)
{
	return lay_out(n, rows, threads, 0, NULL, NULL);
}

static int own_thread(int threads)
{
	return threads > 1 ? omp_get_thread_num() : 0;
}

/* ---- First pass ---- */

/* The unit rows as bytes; least[r] becomes the width of the bound in units of the row's scale. */
static void encode_rows(const oq_nearest *n, int64_t rows, const room *m)
{
	double unit = (double)n->channels * 0x1p-24, chain = unit / (1 - unit);
	int64_t wide = n->steps * OQ_DOT_BYTES;
	for (int64_t r = 0; r < rows; r++) {
		int8_t *codes = (int8_t *)m->bytes + r * wide;
		const coded c = encode(n->channels, m->units + r * n->channels, codes);
		double inside = c.length + c.error;
		double bound = 1.00001 * (c.error + inside * n->error + chain * c.length) + ROUNDED * inside * (1 + n->error) + (double)n->channels * 0x1p-149;
		m->least[r] = (float)(2.00001 * bound / (double)c.scale); /* no scale: infinite or NaN, and everything is left */
		for (int64_t i = 0; i < n->channels; i++)
			m->bytes[r * wide + i] = (uint8_t)(codes[i] + 128);
		memset(m->bytes + r * wide + n->channels, 0, (size_t)(wide - n->channels)); /* beside codes that are 0 */
	}
}

static void multiply_bytes(const oq_nearest *n, int64_t rows, const room *m, int64_t p)
{
	int64_t wide = n->steps * OQ_DOT_BYTES, at = p * OQ_DOT_NR;
	int64_t columns = n->codes - at < OQ_DOT_NR ? n->codes - at : OQ_DOT_NR;
	n->multiply(rows, n->steps, m->bytes, wide, n->packed + at * wide, n->start + at, m->lane.sums, OQ_DOT_NR);
	for (int64_t r = 0; r < rows; r++)
		m->most[r * n->panels + p] = oq_token_kernels_for(n->isa)->scale_sums(columns, m->lane.sums + r * OQ_DOT_NR, n->scale + at,
			m->products + (p * rows + r) * OQ_DOT_NR);
}

static void find_least(const oq_nearest *n, int64_t rows, const room *m)
{
	for (int64_t r = 0; r < rows; r++) {
		float most = -INFINITY;
		for (int64_t p = 0; p < n->panels; p++)
			most = m->most[r * n->panels + p] > most ? m->most[r * n->panels + p] : most;
		m->least[r] = most - m->least[r];
	}
}

/* Marks the codes that are left for rows [first, last). */
static void mark_left(const oq_nearest *n, const room *m, int64_t first, int64_t last)
{
	memset(m->lane.left, n->multiply ? 0 : 1, (size_t)n->codes);
	for (int64_t r = first; r < last && n->multiply; r++)
		for (int64_t p = 0; p < n->panels; p++) {
			if (m->most[r * n->panels + p] < m->least[r])
				continue;
			const float *products = m->products + (p * m->rows + r) * OQ_DOT_NR;
			int64_t end = n->codes < (p + 1) * OQ_DOT_NR ? n->codes : (p + 1) * OQ_DOT_NR;
			for (int64_t code = p * OQ_DOT_NR; code < end; code++)
				m->lane.left[code] |= !(products[code - p * OQ_DOT_NR] < m->least[r]); /* NaN excludes nothing */
		}
}

/* ---- Second pass ---- */

typedef struct winners {
	int64_t code[LANES];
	float score[LANES];
	bool any;
} winners;

/* The float32 products of some codes, in ascending order, with the rows of the panel. */
static void contest(const oq_nearest *n, const lane_room *lane, int64_t count, const int64_t *codes, winners *w)
{
	const float *in[CANDIDATES];
	float *out[CANDIDATES];
	for (int64_t i = 0; i < count; i++) {
		in[i] = n->directions + codes[i] * n->channels;
		out[i] = lane->scores + i * LANES;
	}
	oq_gemm_f32_kernel(n->isa)(count, n->channels, in, lane->panel, out, false);
	for (int64_t i = 0; i < count; i++)
		for (int r = 0; r < LANES; r++)
			if (!w->any || out[i][r] > w->score[r]) {
				w->score[r] = out[i][r];
				w->code[r] = codes[i];
				w->any |= r == LANES - 1;
			}
}

static void decide(const oq_nearest *n, const room *m, int64_t first, int64_t last, int64_t *index)
{
	winners w = {.any = false};
	int64_t some[CANDIDATES], count = 0;
	mark_left(n, m, first, last);
	for (int64_t c = 0; c < n->channels; c++)
		for (int64_t r = 0; r < LANES; r++)
			m->lane.panel[c * LANES + r] = first + r < last ? m->units[(first + r) * n->channels + c] : 0.0f;
	for (int64_t code = 0; code < n->codes; code++) {
		if (m->lane.left[code])
			some[count++] = code;
		if (count == CANDIDATES || (count && code == n->codes - 1)) {
			contest(n, &m->lane, count, some, &w);
			count = 0;
		}
	}
	memcpy(index + first, w.code, (size_t)(last - first) * sizeof *index);
}

void oq_nearest_run(const oq_nearest *n, int64_t rows, const float *x, int64_t *index, void *scratch, int threads)
{
	room all;
	lay_out(n, rows, threads, 0, scratch, &all);
	for (int64_t r = 0; r < rows; r++)
		oq_token_kernels_for(n->isa)->unit_row(n->channels, x + r * n->channels, NULL, all.units + r * n->channels);
	if (n->multiply) {
		encode_rows(n, rows, &all);
#pragma omp parallel for num_threads(threads) if (threads > 1)
		for (int64_t p = 0; p < n->panels; p++) {
			room m;
			lay_out(n, rows, threads, own_thread(threads), scratch, &m);
			multiply_bytes(n, rows, &m, p);
		}
		find_least(n, rows, &all);
	}
#pragma omp parallel for num_threads(threads) if (threads > 1)
	for (int64_t first = 0; first < rows; first += LANES) {
		room m;
		lay_out(n, rows, threads, own_thread(threads), scratch, &m);
		decide(n, &m, first, rows - first < LANES ? rows : first + LANES, index);
	}
}
