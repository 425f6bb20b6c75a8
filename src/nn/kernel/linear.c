#include "kernel/linear.h"

#include "convert_isa.h"
#include "kernel/token_f32.h"

#include "core/mem.h"

#include <assert.h>
#include <omp.h>
#include <string.h>

#define BLOCK_ROWS 56 /* four blocks of the micro-kernel: weights wait for nobody, and sums stay in L1 */
#define GROUP 4       /* panels whose sums are finished together */
#define GROUP_COLUMNS (GROUP * OQ_DOT_NR)
static_assert(GROUP_COLUMNS == OQ_FINISH_COLUMNS, "a block of sums is finished as one");

struct oq_linear {
	int64_t in, steps, columns, panels; /* columns of the result; panels that hold them, and as many behind them for gates */
	oq_isa isa;
	oq_gemm_dot_fn *multiply;
	bool codes, gelu, gated;
	float slope;
	unsigned char *packed; /* [panel][steps][32][4] */
	void *start;           /* [panel][32]: codes: what the zero point adds, taken away; bfloat16: the bias */
	float *scale, *bias;   /* [panel][32], with codes */
	size_t weight_bytes;
};

bool oq_linear_supports(oq_dtype compute, const oq_cpu *cpu)
{
	if (cpu->isa != OQ_ISA_AVX512)
		return false;
	return compute == OQ_I8 ? cpu->avx512_vnni : compute == OQ_BF16 && cpu->avx512_bf16;
}

static int64_t element_size(const oq_linear *l)
{
	return l->codes ? 1 : 2;
}

/* One half of a gated layer, or all of another, into panels from `panel` on. */
static oq_status pack_part(oq_linear *l, const oq_linear_desc *d, int64_t first, int64_t panel, oq_error *err)
{
	int64_t at = panel * OQ_DOT_NR, count = l->columns * l->in;
	unsigned char *to = l->packed + at * l->steps * OQ_DOT_BYTES;
	if (!l->codes) {
		uint16_t *halves = oq_alloc((size_t)count * sizeof *halves);
		if (!halves)
			return oq_fail_memory(err, d->where, (size_t)count * sizeof *halves);
		oq_convert_best()->f32_to_bf16(count, d->values + first * l->in, halves);
		oq_gemm_dot_pack(l->columns, l->in, sizeof *halves, halves, to);
		oq_free(halves);
		for (int64_t o = 0; o < l->columns && d->bias; o++)
			((float *)l->start)[at + o] = d->bias[first + o];
		return OQ_OK;
	}
	oq_gemm_dot_pack(l->columns, l->in, 1, d->codes + first * l->in, to);
	for (int64_t o = 0; o < l->columns; o++) {
		int32_t sum = 0;
		for (int64_t i = 0; i < l->in; i++)
			sum += d->codes[(first + o) * l->in + i];
		((int32_t *)l->start)[at + o] = -d->src_zero * sum;
		l->scale[at + o] = d->src_scale * d->scale[first + o];
		l->bias[at + o] = d->bias ? d->bias[first + o] : 0.0f;
	}
	return OQ_OK;
}

static oq_status pack(oq_linear *l, const oq_linear_desc *d, oq_error *err)
{
	int64_t panels = l->panels * (l->gated ? 2 : 1);
	size_t columns = (size_t)(panels * OQ_DOT_NR), row = columns * sizeof(float), bytes = columns * (size_t)(l->steps * OQ_DOT_BYTES);
	l->packed = oq_alloc_aligned(bytes);
	l->start = oq_alloc_aligned(row);
	l->scale = oq_alloc_aligned(row);
	l->bias = oq_alloc_aligned(row);
	if (!l->packed || !l->start || !l->scale || !l->bias)
		return oq_fail_memory(err, d->where, bytes);
	memset(l->start, 0, row); /* 0 and 0.0f are the same bits */
	memset(l->scale, 0, row);
	memset(l->bias, 0, row);
	l->weight_bytes = bytes + 3 * row;
	OQ_TRY(pack_part(l, d, 0, 0, err));
	return l->gated ? pack_part(l, d, l->columns, l->panels, err) : OQ_OK;
}

oq_status oq_linear_create(const oq_linear_desc *d, oq_isa isa, oq_linear **out, oq_error *err)
{
	bool fast = isa == OQ_ISA_AVX512, codes = d->compute == OQ_I8;
	oq_linear *l = oq_calloc(1, sizeof *l);
	if (!l)
		return oq_fail_memory(err, d->where, sizeof *l);
	*l = (oq_linear){.in = d->in, .columns = d->gated ? d->out / 2 : d->out, .isa = isa, .codes = codes, .gelu = d->gelu, .gated = d->gated, .slope = d->slope};
	l->steps = oq_dot_steps(d->in, element_size(l));
	l->panels = oq_dot_panels(l->columns);
	l->multiply = codes ? oq_gemm_u8_kernel(fast) : oq_gemm_bf16_kernel(fast);
	if (!l->multiply)
		l->multiply = codes ? oq_gemm_u8_plain : oq_gemm_bf16_plain;
	oq_status status = codes && d->in > OQ_DOT_U8_MAX_K
		? oq_fail(err, OQ_E_MODEL, "E_SHAPE", "%s: %lld inputs, expected at most %d in 8 bits", d->where, (long long)d->in, OQ_DOT_U8_MAX_K) : pack(l, d, err);
	if (status == OQ_OK)
		*out = l;
	else
		oq_linear_free(l);
	return status;
}

void oq_linear_free(oq_linear *l)
{
	if (!l)
		return;
	oq_free_aligned(l->packed);
	oq_free_aligned(l->start);
	oq_free_aligned(l->scale);
	oq_free_aligned(l->bias);
	oq_free(l);
}

size_t oq_linear_weight_bytes(const oq_linear *l)
{
	return l->weight_bytes;
}

/* ---- Running ---- */

#define TILE (BLOCK_ROWS * GROUP_COLUMNS) /* sums of 32 bits */

/* Rows whose length is no multiple of four bytes are copied, with zeros behind them: what lies there otherwise may be no number. */
static size_t copied_bytes(const oq_linear *l, int64_t rows)
{
	int64_t stride = l->steps * OQ_DOT_BYTES;
	size_t bytes = stride == l->in * element_size(l) ? 0 : (size_t)(rows * stride);
	return (bytes + OQ_ALIGN - 1) / OQ_ALIGN * OQ_ALIGN;
}

size_t oq_linear_scratch_bytes(const oq_linear *l, int64_t rows, int threads)
{
	return copied_bytes(l, rows) + (size_t)threads * 2 * TILE * sizeof(float);
}

static void copy_rows(const oq_linear *l, int64_t rows, const unsigned char *x, unsigned char *copies)
{
	int64_t bytes = l->in * element_size(l), stride = l->steps * OQ_DOT_BYTES;
	for (int64_t r = 0; r < rows; r++) {
		memcpy(copies + r * stride, x + r * bytes, (size_t)bytes);
		memset(copies + r * stride + bytes, 0, (size_t)(stride - bytes));
	}
}

static void multiply_group(const oq_linear *l, int64_t rows, const unsigned char *x, int64_t panel, int64_t panels, void *sums)
{
	int64_t stride = l->steps * OQ_DOT_BYTES;
	for (int64_t p = 0; p < panels; p++) {
		int64_t at = (panel + p) * OQ_DOT_NR;
		l->multiply(rows, l->steps, x, stride, l->packed + at * stride, (const float *)l->start + at, (float *)sums + p * OQ_DOT_NR, GROUP_COLUMNS);
	}
}

typedef struct job {
	int64_t rows, row, panel, panels, count; /* of the result: `count` columns from panel `panel` on */
	const float *residual;
	const oq_typed *y;
} job;

static void finish(const oq_linear *l, const job *j, const float *sums, const float *gates)
{
	const int64_t at = j->panel * OQ_DOT_NR, gate = l->panels * OQ_DOT_NR + at;
	const size_t element = (size_t)(j->row * l->columns + at);
	const oq_finish block = {.rows = j->rows, .count = j->count, .stride = GROUP_COLUMNS, .sums = sums, .gates = l->gated ? gates : NULL,
		.scale = l->codes ? l->scale + at : NULL, .bias = l->bias + at, .gate_scale = l->codes && l->gated ? l->scale + gate : NULL,
		.gate_bias = l->gated ? l->bias + gate : NULL, .residual = j->residual ? j->residual + element : NULL, .width = l->columns, .gelu = l->gelu,
		.slope = l->slope, .y = j->y, .element = element};
	oq_token_kernels_for(l->isa)->finish(&block);
}

void oq_linear_run(const oq_linear *l, int64_t rows, const void *x, const float *residual, const oq_typed *y, void *scratch, int threads)
{
	int64_t stride = l->steps * OQ_DOT_BYTES, blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS, height = (rows + blocks - 1) / blocks;
	int64_t groups = (l->panels + GROUP - 1) / GROUP;
	size_t copied = copied_bytes(l, rows);
	const unsigned char *in = copied ? scratch : x;
	if (copied)
		copy_rows(l, rows, x, scratch);
#pragma omp parallel for collapse(2) num_threads(threads) if (threads > 1)
	for (int64_t b = 0; b < blocks; b++)
		for (int64_t g = 0; g < groups; g++) {
			float *sums = (float *)(void *)((char *)scratch + copied) + (threads > 1 ? omp_get_thread_num() : 0) * 2 * TILE, *gates = sums + TILE;
			job j = {.row = b * height, .panel = g * GROUP, .residual = residual, .y = y};
			j.rows = rows - j.row < height ? rows - j.row : height;
			j.panels = l->panels - j.panel < GROUP ? l->panels - j.panel : GROUP;
			j.count = l->columns - j.panel * OQ_DOT_NR < GROUP_COLUMNS ? l->columns - j.panel * OQ_DOT_NR : GROUP_COLUMNS;
			multiply_group(l, j.rows, in + j.row * stride, j.panel, j.panels, sums);
			if (l->gated)
				multiply_group(l, j.rows, in + j.row * stride, l->panels + j.panel, j.panels, gates);
			finish(l, &j, sums, gates);
		}
}
