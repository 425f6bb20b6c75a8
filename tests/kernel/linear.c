/* Linear layers in bytes and bfloat16: the plain twin against arithmetic in double, and AVX-512 against the twin bit for bit, with every
 * ending (shortcut, activation, GELU, gating) and type of result; lengths that fill no step, no panel and no block of rows. */
#include "harness.h"

#include "core/mem.h"
#include "kernel/linear.h"

typedef struct trial {
	oq_linear_desc desc;
	int64_t rows;
	oq_dtype result;
	bool residual;
} trial;

typedef struct data {
	int8_t *codes;
	float *values, *scale, *bias, *residual;
	unsigned char *x; /* [rows][in] bytes or bfloat16 */
} data;

static uint16_t to_bf16(float v)
{
	uint32_t bits;
	memcpy(&bits, &v, sizeof bits);
	return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static double from_bf16(uint16_t half)
{
	uint32_t bits = (uint32_t)half << 16;
	float v;
	memcpy(&v, &bits, sizeof v);
	return (double)v;
}

static data make_data(trial *t)
{
	oq_linear_desc *d = &t->desc;
	bool codes = d->compute == OQ_I8;
	data m = {.codes = malloc((size_t)(d->in * d->out)), .values = random_values(d->in * d->out, VALUES_UNIT), .scale = random_values(d->out, VALUES_POSITIVE),
		.bias = random_values(d->out, VALUES_UNIT), .residual = random_values(t->rows * d->out, VALUES_UNIT), .x = malloc((size_t)(t->rows * d->in * 2))};
	OQ_REQUIRE(m.codes && m.x);
	for (int64_t i = 0; i < d->in * d->out; i++)
		m.codes[i] = (int8_t)((int)random_below(256) - 128);
	for (int64_t i = 0; i < t->rows * d->in; i++) {
		uint16_t half = to_bf16((float)random_below(2000) / 1000.0f - 1.0f);
		if (codes)
			m.x[i] = (uint8_t)random_below(256);
		else
			memcpy(m.x + 2 * i, &half, sizeof half);
	}
	d->where = "test";
	d->src_scale = 1e-4f / (float)d->in;
	d->src_zero = codes ? 117 : 0;
	d->scale = m.scale;
	d->bias = m.bias;
	if (codes)
		d->codes = m.codes;
	else
		d->values = m.values;
	return m;
}

static void free_data(data *m)
{
	free(m->codes), free(m->values), free(m->scale), free(m->bias), free(m->residual), free(m->x);
}

static double gelu(double x)
{
	return 0.5 * x * erfc(-x / sqrt(2));
}

/* One element of the layer before its ending, in double. */
static double element(const trial *t, const data *m, int64_t r, int64_t o)
{
	const oq_linear_desc *d = &t->desc;
	double sum = 0;
	for (int64_t i = 0; i < d->in; i++) {
		uint16_t half;
		memcpy(&half, m->x + 2 * (r * d->in + i), sizeof half);
		sum += d->codes ? (double)((int)m->x[r * d->in + i] - d->src_zero) * m->codes[o * d->in + i]
			: from_bf16(half) * from_bf16(to_bf16(m->values[o * d->in + i]));
	}
	return (d->codes ? (double)d->src_scale * (double)m->scale[o] * sum : sum) + (double)m->bias[o];
}

static double want_of(const trial *t, const data *m, int64_t r, int64_t o, int64_t columns)
{
	double y = element(t, m, r, o) + (t->residual ? (double)m->residual[r * columns + o] : 0);
	if (t->desc.gated)
		return y * gelu(element(t, m, r, columns + o));
	return t->desc.gelu ? gelu(y) : y > 0 ? y : y * (double)t->desc.slope;
}

#define GUARD 64

static unsigned char *run(const trial *t, const data *m, oq_isa isa, int threads, size_t *bytes)
{
	oq_error err = {0};
	oq_linear *linear = NULL;
	int64_t columns = t->desc.gated ? t->desc.out / 2 : t->desc.out;
	*bytes = (size_t)(t->rows * columns) * oq_dtype_size(t->result);
	unsigned char *y = aligned_alloc(64, (*bytes + GUARD + 63) / 64 * 64);
	OQ_REQUIRE(y && oq_linear_create(&t->desc, isa, &linear, &err) == OQ_OK);
	memset(y + *bytes, 0x5a, GUARD);
	void *scratch = oq_alloc_aligned(oq_linear_scratch_bytes(linear, t->rows, threads));
	OQ_REQUIRE(scratch != NULL);
	const oq_typed to = {.data = y, .dtype = t->result, .scale = 0.01f, .zero = 100};
	oq_linear_run(linear, t->rows, m->x, t->residual ? m->residual : NULL, &to, scratch, threads);
	for (int i = 0; i < GUARD; i++)
		OQ_CHECK(y[*bytes + (size_t)i] == 0x5a);
	oq_free_aligned(scratch);
	oq_linear_free(linear);
	return y;
}

static void check_trial(trial t)
{
	data m = make_data(&t);
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	size_t bytes;
	unsigned char *twin = run(&t, &m, OQ_ISA_PLAIN, 1, &bytes);
	int64_t columns = t.desc.gated ? t.desc.out / 2 : t.desc.out;
	for (int64_t r = 0; r < t.rows && t.result == OQ_F32; r++)
		for (int64_t o = 0; o < columns; o++) {
			float got;
			memcpy(&got, twin + sizeof got * (size_t)(r * columns + o), sizeof got);
			double want = want_of(&t, &m, r, o, columns);
			/* Exact sums in bytes; in bfloat16 a float32 chain of at most 300 terms below 1. */
			OQ_CHECK_NEAR((double)got, want, (t.desc.codes ? 1e-6 : 1e-4) * (1 + fabs(want)));
		}
	for (int threads = 1; threads <= 2 && oq_linear_supports(t.desc.compute, &cpu); threads++) {
		unsigned char *fast = run(&t, &m, OQ_ISA_AVX512, threads, &bytes);
		OQ_CHECK(!memcmp(fast, twin, bytes));
		free(fast);
	}
	free(twin);
	free_data(&m);
}

static void check_endings(oq_dtype compute, int64_t rows, int64_t in, int64_t out)
{
	static const oq_dtype results[] = {OQ_F32, OQ_BF16, OQ_U8};
	for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
		trial t = {.desc = {.compute = compute, .in = in, .out = out, .slope = 1}, .rows = rows, .result = results[i]};
		check_trial(t);
		t.residual = true;
		t.desc.slope = 0.25f;
		check_trial(t);
		t.residual = false;
		t.desc.gelu = true;
		check_trial(t);
		t.desc.gelu = false;
		t.desc.gated = true;
		check_trial(t);
	}
}

static void check_linear(void)
{
	static const oq_dtype computes[] = {OQ_I8, OQ_BF16};
	for (size_t i = 0; i < sizeof computes / sizeof *computes; i++) {
		check_endings(computes[i], 1, 1, 2);
		check_endings(computes[i], 2, 10, 34);
		check_endings(computes[i], 54, 33, 298);
		check_endings(computes[i], 115, 300, 64);
	}
}

static const kernel_case cases[] = {{"linear", check_linear, NULL}, {NULL, NULL, NULL}};

const kernel_family linear_family = KERNEL_FAMILY(cases);
