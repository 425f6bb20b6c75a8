/* Codes are packed for the micro-kernel at hand: fours of bytes by a row of unsigned ones where the processor has the 8-bit dot product (q is
 * offset by 128, which the sums start with what takes it away), else pairs of bytes by a row of 16 bits. The sums are the same. */
#include "kernel/attention_i8.h"

#include "attention_i8_isa.h"
#include "convert_isa.h"
#include "gemm_i16_isa.h"
#include "kernel/gemm_dot.h"
#include "scratch.h"

#define ROWS 28 /* queries at a time: two blocks of the micro-kernel */

typedef struct room {
	int8_t *keys;      /* panels of 32 keys: [panel][d/group][32][group] */
	int8_t *values;    /* panels of 32 dims: [panel][groups of n][32][group] */
	int32_t *start;    /* [padded]: -128 * the sum of a key's codes */
	float *key_scale;  /* [padded] */
	float *value_scale, *value_inverse; /* [d] */
	uint32_t *most;    /* [d] */
	float *wide;       /* [n][d]: v as float32 */
	void *queries;     /* [ROWS][d] of one or two bytes */
	void *weights;     /* [ROWS][n, whole groups] of one or two bytes */
	uint8_t *codes;    /* [padded]: weights of one row */
	float *floats;     /* [padded]: scores of one row */
	float *row;        /* [d]: a row of q or k as float32 ... */
	int8_t *row_codes; /* [d]: ... and its codes */
	int32_t *scores;   /* [ROWS][padded] */
	int32_t *result;   /* [ROWS][d] */
	int32_t *zeros;    /* [d] */
	size_t bytes;
} room;

typedef struct kernel {
	const oq_attention_i8_kernels *passes;
	const oq_convert_kernels *convert;
	oq_gemm_dot_fn *dot;     /* bytes by fours, or */
	oq_gemm_i16s8_fn *pairs; /* 16 bits by pairs */
	int64_t group;           /* 4 or 2 */
} kernel;

static kernel choose(oq_isa isa, bool vnni)
{
	kernel k = {.passes = &oq_attention_i8_plain, .convert = oq_convert_for(isa), .dot = oq_gemm_u8_kernel(isa == OQ_ISA_AVX512 && vnni), .group = 4};
#ifdef OQ_KERNEL_X86
	if (isa >= OQ_ISA_AVX2)
		k.passes = isa == OQ_ISA_AVX512 ? &oq_attention_i8_avx512 : &oq_attention_i8_avx2;
#endif
	if (!k.dot && isa == OQ_ISA_PLAIN)
		k.dot = oq_gemm_u8_plain;
	if (!k.dot) {
		k.pairs = oq_gemm_i16s8_kernel(isa);
		k.group = 2;
	}
	return k;
}

/* `scratch` may be NULL: for the size only. */
static room lay_out(int64_t n, int64_t d, char *scratch)
{
	int64_t padded = oq_dot_panels(n) * OQ_DOT_NR, whole = oq_dot_steps(n, 1) * OQ_DOT_BYTES;
	room m = {0};
	m.keys = oq_scratch_place(scratch, &m.bytes, padded * d, sizeof *m.keys);
	m.values = oq_scratch_place(scratch, &m.bytes, whole * d, sizeof *m.values);
	m.start = oq_scratch_place(scratch, &m.bytes, padded, sizeof *m.start);
	m.key_scale = oq_scratch_place(scratch, &m.bytes, padded, sizeof *m.key_scale);
	m.value_scale = oq_scratch_place(scratch, &m.bytes, d, sizeof *m.value_scale);
	m.value_inverse = oq_scratch_place(scratch, &m.bytes, d, sizeof *m.value_inverse);
	m.most = oq_scratch_place(scratch, &m.bytes, d, sizeof *m.most);
	m.wide = oq_scratch_place(scratch, &m.bytes, n * d, sizeof *m.wide);
	m.queries = oq_scratch_place(scratch, &m.bytes, ROWS * d, sizeof(int16_t));
	m.weights = oq_scratch_place(scratch, &m.bytes, ROWS * whole, sizeof(int16_t));
	m.codes = oq_scratch_place(scratch, &m.bytes, padded, sizeof *m.codes);
	m.floats = oq_scratch_place(scratch, &m.bytes, padded, sizeof *m.floats);
	m.row = oq_scratch_place(scratch, &m.bytes, d, sizeof *m.row);
	m.row_codes = oq_scratch_place(scratch, &m.bytes, d, sizeof *m.row_codes);
	m.scores = oq_scratch_place(scratch, &m.bytes, ROWS * padded, sizeof *m.scores);
	m.result = oq_scratch_place(scratch, &m.bytes, ROWS * d, sizeof *m.result);
	m.zeros = oq_scratch_place(scratch, &m.bytes, d, sizeof *m.zeros);
	return m;
}

size_t oq_attention_i8_scratch_bytes(int64_t tokens, int64_t head_dim)
{
	return lay_out(tokens, head_dim, NULL).bytes;
}

#define AHEAD 12 /* rows that are asked for before their use: they lie apart, and no processor guesses where the next one is */

/* Row `at` of q, k or v as float32. */
static const float *widen(const oq_attention_i8 *a, const kernel *k, const void *const *rows, int64_t at, float *to)
{
	const size_t bytes = (size_t)a->head_dim * oq_dtype_size(a->dtype);
	for (size_t line = 0; line < bytes && at + AHEAD < a->tokens; line += OQ_ALIGN)
		__builtin_prefetch((const char *)rows[at + AHEAD] + line);
	if (a->dtype == OQ_F32)
		return rows[at];
	k->convert->bf16_to_f32(a->head_dim, rows[at], to);
	return to;
}

/* Returns 0, or NaN when a key is no finite number. */
static float pack_keys(const oq_attention_i8 *a, const kernel *k, const room *m)
{
	int64_t d = a->head_dim, padded = oq_dot_panels(a->tokens) * OQ_DOT_NR;
	int8_t *codes = m->row_codes;
	float poison = 0;
	memset(m->keys + (padded - OQ_DOT_NR) * d, 0, (size_t)(OQ_DOT_NR * d)); /* what is missing in the last panel */
	memset(m->start + padded - OQ_DOT_NR, 0, OQ_DOT_NR * sizeof *m->start);
	for (int64_t j = 0; j < a->tokens; j++) {
		int8_t *to = m->keys + j / OQ_DOT_NR * OQ_DOT_NR * d + j % OQ_DOT_NR * k->group;
		m->key_scale[j] = k->passes->code_row(d, widen(a, k, a->k, j, m->row), codes);
		poison += m->key_scale[j] - m->key_scale[j];
		int32_t sum = 0;
		for (int64_t i = 0; i < d; i++)
			sum += codes[i];
		m->start[j] = -128 * sum;
		if (k->group == 4)
			for (int64_t i = 0; i < d; i += 4, to += 4 * OQ_DOT_NR)
				memcpy(to, codes + i, 4);
		else
			for (int64_t i = 0; i < d; i += 2, to += 2 * OQ_DOT_NR)
				memcpy(to, codes + i, 2);
	}
	return poison;
}

static void scale_values(const oq_attention_i8 *a, const room *m)
{
	for (int64_t c = 0; c < a->head_dim; c++) {
		float most;
		memcpy(&most, &m->most[c], sizeof most);
		bool usable = most >= 1e-30f && most - most == 0;
		m->value_scale[c] = most < 1e-30f ? 0.0f : most / 127.0f;
		m->value_inverse[c] = usable ? 127.0f / most : 0.0f;
	}
}

static void pack_values(const oq_attention_i8 *a, const kernel *k, const room *m)
{
	int64_t d = a->head_dim, n = a->tokens, groups = (n + k->group - 1) / k->group;
	memset(m->most, 0, (size_t)d * sizeof *m->most);
	for (int64_t t = 0; t < n; t++)
		k->passes->add_most(d, widen(a, k, a->v, t, m->wide + t * d), m->most);
	scale_values(a, m);
	for (int64_t t = 0; t < n; t += k->group) {
		const float *rows[4];
		for (int64_t r = 0; r < k->group; r++)
			rows[r] = t + r >= n ? (const float *)(const void *)m->zeros : a->dtype == OQ_F32 ? a->v[t + r] : m->wide + (t + r) * d;
		for (int64_t p = 0; p < d; p += OQ_DOT_NR) {
			const float *const at[4] = {rows[0] + p, rows[1] + p, k->group == 4 ? rows[2] + p : NULL, k->group == 4 ? rows[3] + p : NULL};
			int8_t *to = m->values + (p / OQ_DOT_NR * groups + t / k->group) * OQ_DOT_NR * k->group;
			(k->group == 4 ? k->passes->code_four : k->passes->code_two)(at, m->value_inverse + p, to);
		}
	}
}

/* Next query rows that are wanted, from *at on: their codes, and their scales times that of the scores. */
static int64_t gather(const oq_attention_i8 *a, const kernel *k, const room *m, int64_t *at, int64_t index[ROWS], float scale[ROWS])
{
	int64_t rows = 0, d = a->head_dim;
	for (; *at < a->tokens && rows < ROWS; (*at)++) {
		if (!a->out[*at])
			continue;
		scale[rows] = k->passes->code_row(d, widen(a, k, a->q, *at, m->row), m->row_codes) * a->scale;
		if (k->dot)
			for (int64_t c = 0; c < d; c++)
				((uint8_t *)m->queries)[rows * d + c] = (uint8_t)(m->row_codes[c] + 128);
		else
			for (int64_t c = 0; c < d; c++)
				((int16_t *)m->queries)[rows * d + c] = m->row_codes[c];
		index[rows++] = *at;
	}
	return rows;
}

/* c [rows][stride] = rows of `width` elements by `panels` panels. `start`: of the sums by fours; pairs start at 0. */
static void multiply(const kernel *k, int64_t rows, int64_t width, const void *in, const int8_t *panels, int64_t columns, const int32_t *start, int32_t *c)
{
	int64_t steps = (width + k->group - 1) / k->group;
	const int16_t *from[ROWS];
	int32_t *to[ROWS];
	for (int64_t p = 0; p < columns; p += OQ_DOT_NR) {
		const int8_t *panel = panels + p * steps * k->group;
		if (k->dot) {
			k->dot(rows, steps, in, steps * k->group, panel, start + p, c + p, columns);
			continue;
		}
		for (int64_t r = 0; r < rows; r++) {
			from[r] = (const int16_t *)in + r * steps * k->group;
			to[r] = c + r * columns + p;
		}
		k->pairs(rows, steps, from, panel, to, false);
	}
}

/* Scores of `rows` queries to weights; returns in `sums` what results are divided by. */
static void weigh(const oq_attention_i8 *a, const kernel *k, const room *m, int64_t rows, const int64_t *index, const float *scale, int32_t *sums)
{
	int64_t n = a->tokens, padded = oq_dot_panels(n) * OQ_DOT_NR, whole = (n + k->group - 1) / k->group * k->group;
	for (int64_t r = 0; r < rows; r++) {
		const oq_score_row row = {.count = n, .sums = m->scores + r * padded, .row = scale[r], .column = m->key_scale,
			.bias = a->bias ? a->bias + index[r] * n : NULL, .mask = a->mask ? a->mask + index[r] * n : NULL};
		uint8_t *codes = k->dot ? (uint8_t *)m->weights + r * whole : m->codes;
		sums[r] = k->passes->softmax(&row, m->floats, codes);
		for (int64_t j = 0; j < whole && !k->dot; j++)
			((int16_t *)m->weights)[r * whole + j] = j < n ? codes[j] : 0;
		for (int64_t j = n; j < whole && k->dot; j++) /* beside values that are 0 */
			codes[j] = 0;
	}
}

void oq_attention_i8_run(const oq_attention_i8 *a, oq_isa isa, bool vnni, void *scratch)
{
	const kernel k = choose(isa, vnni);
	const room m = lay_out(a->tokens, a->head_dim, scratch);
	int64_t n = a->tokens, d = a->head_dim, padded = oq_dot_panels(n) * OQ_DOT_NR, at = 0, index[ROWS];
	float scale[ROWS];
	int32_t sums[ROWS];
	const float poison = pack_keys(a, &k, &m);
	memset(m.zeros, 0, (size_t)d * sizeof *m.zeros);
	pack_values(a, &k, &m);
	for (int64_t rows = gather(a, &k, &m, &at, index, scale); rows > 0; rows = gather(a, &k, &m, &at, index, scale)) {
		multiply(&k, rows, d, m.queries, m.keys, padded, m.start, m.scores);
		weigh(a, &k, &m, rows, index, scale, sums);
		multiply(&k, rows, n, m.weights, m.values, d, m.zeros, m.result);
		for (int64_t r = 0; r < rows; r++)
			k.passes->scale_out(d, m.result + r * d, m.value_scale, 1.0f / (float)sums[r] + poison + (scale[r] - scale[r]), a->out[index[r]]);
	}
}
