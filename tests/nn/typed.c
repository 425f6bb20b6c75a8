/* Ops that read and write bytes and bfloat16 themselves. Their float32 form on the plain instruction set stands against arithmetic in
 * double; every other form (types of inputs and result, instruction set, threads, in place) has exactly its bits, rounded once to the
 * type of the result by arithmetic of this file. Sizes fill no block, bytes saturate at both ends, nothing behind an array is touched. */
#include "small_package.h"

#include "core/cpu.h"
#include "core/mem.h"
#include "op.h"

#define WIDEST 520     /* channels that have tensors */
#define GUARD 64       /* bytes behind every array */
#define UNTOUCHED 0x5a
#define MASKED (-100.0)

static const oq_dtype types[] = {OQ_F32, OQ_BF16, OQ_U8};
static const float input_scale = 0.011f, output_scale = 0.009f; /* a byte spans some 2.8 and 2.3: results lie beyond both ends */
static const int32_t input_zero = 117, output_zero = 101;

typedef struct setting setting;
typedef void reference_fn(const setting *s, const float *const x[2], double *y);

struct setting {
	const char *what;
	const oq_op *op;
	oq_attributes attributes;
	int64_t shape[2][4]; /* of the inputs, [C][D][H][W] */
	int inputs;
	float slope;         /* of an activation that was folded in; 1: none */
	reference_fn *reference;
	double tolerance;    /* of float32 beside double, relative to 1 + |y| */
	oq_dtype compute;    /* of attention's products: OQ_F32; or OQ_I8, which takes no bytes, and rounds padding beside bfloat16 */
};

/* The tensors of all settings: "w<C>" and "b<C>" are the first C of these; "pad" is of 3*64 channels, "qs" and "ks" of 32. */
static float weights[WIDEST], biases[WIDEST];
static const int64_t widths[] = {1, 3, 17, 33, 100, 129, 520};
static oq_package *package;
static bool dot_product; /* of bytes, which this processor has */

static uint32_t random_bits(void)
{
	return (uint32_t)(random_next() >> 33);
}

static float random_unit(void)
{
	return (float)(random_bits() % 2001) / 1000.0f - 1.0f;
}

/* ---- Package ---- */

#define WIDTHS (sizeof widths / sizeof *widths)
#define TENSORS (3 + 2 * WIDTHS)

static void make_package(void)
{
	static char names[2 * WIDTHS][16];
	small_tensor tensors[TENSORS] = {{"pad", OQ_F32, 1, {192}, weights}, {"qs", OQ_F32, 1, {32}, biases}, {"ks", OQ_F32, 1, {32}, weights + 40}};
	oq_error err = {0};
	for (int i = 0; i < WIDEST; i++) {
		weights[i] = random_unit();
		biases[i] = random_unit();
	}
	for (size_t i = 0; i < 2 * WIDTHS; i++) {
		snprintf(names[i], sizeof names[i], "%s%lld", i % 2 ? "b" : "w", (long long)widths[i / 2]);
		tensors[3 + i] = (small_tensor){names[i], OQ_F32, 1, {widths[i / 2]}, i % 2 ? biases : weights};
	}
	make_folder();
	write_small_package("", "", tensors, TENSORS);
	OQ_REQUIRE(oq_package_open(folder, &package, &err) == OQ_OK);
}

static void remove_package(void)
{
	oq_package_close(package);
	remove_small_package("");
}

/* ---- Arithmetic in double ---- */

static int64_t voxels_of(const int64_t shape[4])
{
	return shape[1] * shape[2] * shape[3];
}

static double gelu(double x)
{
	return 0.5 * x * erfc(-x / sqrt(2));
}

static void mean_and_variance(int64_t count, int64_t stride, const float *x, double *mean, double *variance)
{
	*mean = *variance = 0;
	for (int64_t i = 0; i < count; i++)
		*mean += (double)x[i * stride] / (double)count;
	for (int64_t i = 0; i < count; i++)
		*variance += ((double)x[i * stride] - *mean) * ((double)x[i * stride] - *mean) / (double)count;
}

static void layer_norm(const setting *s, const float *const x[2], double *y)
{
	int64_t channels = s->shape[0][0];
	for (int64_t v = 0; v < voxels_of(s->shape[0]); v++) {
		double mean, variance;
		mean_and_variance(channels, 1, x[0] + v * channels, &mean, &variance);
		for (int64_t c = 0; c < channels; c++) {
			double unit = ((double)x[0][v * channels + c] - mean) / sqrt(variance + s->attributes.eps);
			y[v * channels + c] = s->attributes.weight ? unit * (double)weights[c] + (double)biases[c] : unit;
		}
	}
}

static void instance_norm(const setting *s, const float *const x[2], double *y)
{
	int64_t channels = s->shape[0][0], voxels = voxels_of(s->shape[0]);
	for (int64_t c = 0; c < channels; c++) {
		double mean, variance;
		mean_and_variance(voxels, channels, x[0] + c, &mean, &variance);
		for (int64_t v = 0; v < voxels; v++) {
			double unit = ((double)x[0][v * channels + c] - mean) / sqrt(variance + s->attributes.eps);
			double value = s->attributes.weight ? unit * (double)weights[c] + (double)biases[c] : unit;
			y[v * channels + c] = value > 0 ? value : value * (double)s->slope;
		}
	}
}

static void plain_gelu(const setting *s, const float *const x[2], double *y)
{
	for (int64_t i = 0; i < s->shape[0][0] * voxels_of(s->shape[0]); i++)
		y[i] = gelu((double)x[0][i]);
}

static void geglu(const setting *s, const float *const x[2], double *y)
{
	int64_t half = s->shape[0][0] / 2;
	for (int64_t v = 0; v < voxels_of(s->shape[0]); v++)
		for (int64_t c = 0; c < half; c++)
			y[v * half + c] = (double)x[0][2 * v * half + c] * gelu((double)x[0][(2 * v + 1) * half + c]);
}

#define DIM 32 /* of a head */
#define TOKENS_MOST 64

/* The tokens of a window: where they lie, or -1 in the padding; and which see each other after the cyclic shift. */
typedef struct window {
	int64_t count, voxel[TOKENS_MOST], label[TOKENS_MOST];
} window;

static void find_window(const setting *s, const int64_t at[3], window *w)
{
	const int64_t *extent = s->attributes.kernel, *shift = s->attributes.pad_low, *grid = s->shape[0] + 1;
	w->count = extent[0] * extent[1] * extent[2];
	for (int64_t t = 0; t < w->count; t++) {
		const int64_t in[3] = {t / (extent[1] * extent[2]), t / extent[2] % extent[1], t % extent[2]};
		bool outside = false;
		w->voxel[t] = w->label[t] = 0;
		for (int axis = 0; axis < 3; axis++) {
			int64_t padded = (grid[axis] + extent[axis] - 1) / extent[axis] * extent[axis], p = at[axis] * extent[axis] + in[axis];
			int64_t from = (p + shift[axis]) % padded, part = p < padded - extent[axis] ? 0 : p < padded - shift[axis] ? 1 : 2;
			outside = outside || from >= grid[axis];
			w->voxel[t] = w->voxel[t] * grid[axis] + from;
			w->label[t] = w->label[t] * 3 + (shift[axis] ? part : 0);
		}
		w->voxel[t] = outside ? -1 : w->voxel[t];
	}
}

/* Row of a head: `which` is 0, 1, 2 for query, key, value. */
static void head_row(const setting *s, const float *const x[2], int64_t voxel, int which, int64_t head, double row[DIM])
{
	int64_t channels = s->attributes.heads * DIM;
	bool two = s->inputs == 2;
	const float *from = two && which ? x[1] + (2 * voxel + which - 1) * channels : x[0] + (two ? voxel : 3 * voxel + which) * channels;
	if (voxel < 0)
		from = weights + which * channels;
	double squares = 0;
	for (int d = 0; d < DIM; d++) {
		row[d] = (double)from[head * DIM + d];
		squares += row[d] * row[d];
	}
	for (int d = 0; d < DIM && s->attributes.var && which < 2; d++)
		row[d] = row[d] / sqrt(squares) * (double)(which ? weights[40 + d] : biases[d]);
}

static void attend_window(const setting *s, const float *const x[2], const window *w, int64_t head, double *y)
{
	static double q[TOKENS_MOST][DIM], k[TOKENS_MOST][DIM], v[TOKENS_MOST][DIM], p[TOKENS_MOST];
	for (int64_t t = 0; t < w->count; t++) {
		head_row(s, x, w->voxel[t], 0, head, q[t]);
		head_row(s, x, w->voxel[t], 1, head, k[t]);
		head_row(s, x, w->voxel[t], 2, head, v[t]);
	}
	for (int64_t i = 0; i < w->count; i++) {
		double sum = 0, *out = y + (w->voxel[i] * s->attributes.heads + head) * DIM;
		for (int64_t j = 0; j < w->count; j++) {
			double score = w->label[i] == w->label[j] ? 0 : MASKED;
			for (int d = 0; d < DIM; d++)
				score += s->attributes.eps * q[i][d] * k[j][d];
			p[j] = exp(score);
			sum += p[j];
		}
		for (int d = 0; d < DIM && w->voxel[i] >= 0; d++) {
			out[d] = 0;
			for (int64_t j = 0; j < w->count; j++)
				out[d] += p[j] / sum * v[j][d];
		}
	}
}

static void window_attention(const setting *s, const float *const x[2], double *y)
{
	const int64_t *extent = s->attributes.kernel, *grid = s->shape[0] + 1;
	window w;
	for (int64_t d = 0; d * extent[0] < grid[0]; d++)
		for (int64_t h = 0; h * extent[1] < grid[1]; h++)
			for (int64_t v = 0; v * extent[2] < grid[2]; v++) {
				const int64_t at[3] = {d, h, v};
				find_window(s, at, &w);
				for (int64_t head = 0; head < s->attributes.heads; head++)
					attend_window(s, x, &w, head, y);
			}
}

/* ---- One run ---- */

typedef struct trial {
	const setting *set;
	oq_dtype in[2], out;
	oq_isa isa;
	int threads;
	bool in_place;
} trial;

static size_t padded(size_t bytes)
{
	return (bytes + GUARD + OQ_ALIGN - 1) / OQ_ALIGN * OQ_ALIGN;
}

static void place(oq_value *value, oq_dtype dtype, bool output)
{
	value->count = (size_t)(value->shape[0] * voxels_of(value->shape));
	value->dtype = dtype;
	value->scale = output ? output_scale : input_scale;
	value->zero = output ? output_zero : input_zero;
}

static size_t bytes_of(const oq_value *value)
{
	return value->count * oq_dtype_size(value->dtype);
}

static bool guarded(const unsigned char *behind)
{
	bool good = true;
	for (int i = 0; i < GUARD; i++)
		good = good && behind[i] == UNTOUCHED;
	return good;
}

/* Inputs come as the bytes of their types; returns the result's, to be freed. */
static unsigned char *run_trial(const trial *t, void *const inputs[2], size_t *bytes)
{
	const setting *s = t->set;
	oq_value values[3] = {{.name = "x", .rank = 4}, {.name = "z", .rank = 4}, {.name = "y"}};
	oq_node node = {.op = s->op, .name = "op", .inputs = {0, 1}, .input_count = s->inputs, .output = 2, .attributes = s->attributes, .residual = -1,
		.repeat_in = 1, .activated = s->slope != 1.0f, .slope = s->slope, .compute = s->compute};
	const oq_graph graph = {.where = "test", .package = package, .values = values, .value_count = 3, .nodes = &node, .node_count = 1, .output = 2};
	const oq_planner planner = {.graph = &graph, .threads = t->threads, .isa = t->isa,
		.vnni = dot_product && t->isa == OQ_ISA_AVX512};
	oq_step step = {.op = s->op, .node = &node, .graph = &graph};
	oq_error err = {0};
	size_t total = 0, offset[3];
	for (int i = 0; i < s->inputs; i++) {
		memcpy(values[i].shape, s->shape[i], sizeof s->shape[i]);
		place(&values[i], t->in[i], false);
		offset[i] = total / sizeof(float);
		total += padded(bytes_of(&values[i]));
	}
	OQ_REQUIRE(s->op->infer(&graph, &node, &values[2], &err) == OQ_OK);
	place(&values[2], t->out, true);
	*bytes = bytes_of(&values[2]);
	offset[2] = t->in_place ? offset[0] : total / sizeof(float);
	total += padded(*bytes);
	OQ_REQUIRE(!s->op->plan || s->op->plan(&planner, &node, &step, &err) == OQ_OK);
	oq_run run = {.slab = oq_alloc_aligned(total), .place = offset, .scratch = oq_alloc_aligned(step.scratch_bytes + GUARD), .threads = t->threads, .isa = t->isa};
	unsigned char *result = oq_alloc(*bytes);
	OQ_REQUIRE(run.slab && run.scratch && result);
	memset(run.slab, UNTOUCHED, total);
	memset(run.scratch, UNTOUCHED, step.scratch_bytes + GUARD);
	for (int i = 0; i < s->inputs; i++)
		memcpy(oq_run_input(&step, &run, i), inputs[i], bytes_of(&values[i]));
	OQ_REQUIRE(s->op->run(&step, &run, &err) == OQ_OK);
	OQ_CHECK(guarded((unsigned char *)run.scratch + step.scratch_bytes) && guarded((unsigned char *)oq_run_output(&step, &run) + *bytes));
	for (int i = 0; i < s->inputs; i++) {
		bool same = t->in_place || !memcmp(oq_run_input(&step, &run, i), inputs[i], bytes_of(&values[i]));
		OQ_CHECK(same && guarded((unsigned char *)oq_run_input(&step, &run, i) + bytes_of(&values[i])));
	}
	memcpy(result, oq_run_output(&step, &run), *bytes);
	if (s->op->close)
		s->op->close(&step);
	oq_free_aligned(run.slab);
	oq_free_aligned(run.scratch);
	return result;
}

/* ---- Types ---- */

/* Random elements of a type, and what they stand for. Bytes have both ends among them; one voxel in eight is constant. */
static void make_input(oq_dtype dtype, const int64_t shape[4], void **raw, float **values)
{
	int64_t count = shape[0] * voxels_of(shape);
	*raw = oq_alloc((size_t)count * oq_dtype_size(dtype));
	*values = oq_alloc((size_t)count * sizeof **values);
	OQ_REQUIRE(*raw && *values);
	for (int64_t i = 0; i < count; i++) {
		bool constant = i / shape[0] % 8 == 5;
		uint8_t byte = (uint8_t)(constant ? 131 : i % 61 == 0 ? 0 : i % 61 == 1 ? 255 : random_bits() % 256);
		float value = constant ? 0.3f : 2.5f * random_unit();
		if (dtype == OQ_U8)
			((uint8_t *)*raw)[i] = byte;
		else if (dtype == OQ_BF16)
			((uint16_t *)*raw)[i] = oq_f32_to_bf16(value);
		else
			((float *)*raw)[i] = value;
		(*values)[i] = dtype == OQ_U8 ? (float)((int)byte - input_zero) * input_scale : dtype == OQ_BF16 ? oq_bf16_to_f32(((uint16_t *)*raw)[i]) : value;
	}
}

/* Nearest, ties to even, both ends saturated: by the C library. */
static uint8_t byte_of(float value)
{
	double code = nearbyint((double)(value * (1.0f / output_scale) + (float)output_zero));
	return (uint8_t)(code < 0 ? 0 : code > 255 ? 255 : code);
}

static int64_t saturated_low, saturated_high;

/* Elements of `got` that are not `want` rounded once. */
static int64_t count_wrong(oq_dtype dtype, int64_t count, const float *want, const unsigned char *got)
{
	int64_t wrong = 0;
	for (int64_t i = 0; i < count; i++) {
		if (dtype == OQ_U8) {
			uint8_t byte = byte_of(want[i]);
			saturated_low += want[i] < -(float)(output_zero + 1) * output_scale && !got[i];
			saturated_high += want[i] > (float)(256 - output_zero) * output_scale && got[i] == 255;
			wrong += got[i] != byte;
		} else if (dtype == OQ_BF16) {
			uint16_t bits = oq_f32_to_bf16(want[i]);
			wrong += memcmp(got + 2 * i, &bits, sizeof bits) != 0;
		} else {
			wrong += memcmp(got + 4 * i, &want[i], sizeof *want) != 0;
		}
	}
	return wrong;
}

static void check_double(const setting *s, const float *const x[2], int64_t count, const float *got)
{
	double *want = oq_calloc((size_t)count, sizeof *want);
	int64_t wrong = 0;
	OQ_REQUIRE(want);
	s->reference(s, x, want);
	for (int64_t i = 0; i < count; i++) {
		bool good = fabs((double)got[i] - want[i]) <= s->tolerance * (1 + fabs(want[i])); /* a NaN is not */
		if (!good && !wrong++)
			fprintf(stderr, "%s: element %lld is %.9g, expected %.9g\n", s->what, (long long)i, (double)got[i], want[i]);
	}
	OQ_CHECK_INT(wrong, 0);
	oq_free(want);
}

/* All instruction sets and numbers of threads of one choice of types: each set with another number, as none may change a bit. */
static void check_forms(trial t, oq_isa best, void *const inputs[2], const float *want)
{
	for (int form = 0; form < 3; form++) {
		size_t bytes;
		t.isa = form < (int)best ? (oq_isa)form : best;
		t.threads = 1 + form;
		unsigned char *got = run_trial(&t, inputs, &bytes);
		int64_t wrong = count_wrong(t.out, (int64_t)(bytes / oq_dtype_size(t.out)), want, got);
		if (wrong)
			fprintf(stderr, "%s: %s, %s to %s on %s, %d threads%s: %lld wrong\n", t.set->what, oq_dtype_name(t.in[0]), oq_dtype_name(t.in[1]),
				oq_dtype_name(t.out), oq_isa_name(t.isa), t.threads, t.in_place ? ", in place" : "", (long long)wrong);
		OQ_CHECK_INT(wrong, 0);
		oq_free(got);
	}
}

static void check_setting(const setting *s, oq_isa best)
{
	for (int a = 0; a < (s->compute != OQ_I8 ? 3 : s->attributes.weight ? 1 : 2); a++) {
		const oq_dtype in[2] = {types[a], types[s->compute == OQ_I8 ? a : (a + 1) % 3]}, wide[2] = {OQ_F32, OQ_F32};
		void *raw[2] = {NULL, NULL};
		float *x[2] = {NULL, NULL};
		size_t bytes;
		for (int i = 0; i < s->inputs; i++)
			make_input(in[i], s->shape[i], &raw[i], &x[i]);
		trial t = {.set = s, .in = {wide[0], wide[1]}, .out = OQ_F32, .threads = 1};
		unsigned char *want = run_trial(&t, (void *const[2]){x[0], x[1]}, &bytes);
		const float *values = (const float *)(const void *)want;
		check_double(s, (const float *const[2]){x[0], x[1]}, (int64_t)(bytes / sizeof(float)), values);
		memcpy(t.in, in, sizeof in);
		for (int b = 0; b < 3; b++) {
			t.out = types[b];
			t.in_place = false;
			check_forms(t, best, raw, values);
			t.in_place = s->op->in_place && t.out == in[0];
			if (t.in_place)
				check_forms(t, best, raw, values);
		}
		oq_free(want);
		for (int i = 0; i < s->inputs; i++) {
			oq_free(raw[i]);
			oq_free(x[i]);
		}
	}
}

/* ---- Settings ---- */

static void check_norms(oq_isa best)
{
	static const int64_t grids[][3] = {{1, 1, 2}, {3, 3, 5}, {2, 5, 13}}; /* 2, 45, 130 voxels: no whole block of 16 */
	char w[16], b[16];
	for (size_t i = 0; i < WIDTHS; i++)
		for (size_t g = 0; g < 3; g++) {
			bool affine = (i + g) % 2;
			setting s = {.what = "layer norm", .op = &oq_op_layer_norm, .inputs = 1, .slope = 1, .reference = layer_norm,
				.shape = {{widths[i], grids[g][0], grids[g][1], grids[g][2]}}, .attributes = {.eps = 1e-5}};
			snprintf(w, sizeof w, "w%lld", (long long)widths[i]);
			snprintf(b, sizeof b, "b%lld", (long long)widths[i]);
			s.attributes.weight = affine ? w : NULL;
			s.attributes.bias = affine ? b : NULL;
			/* Sums in sixteen lanes of float32 lose a few units of a mean that 1/sqrt(eps) magnifies where all channels are equal. */
			s.tolerance = 2e-4;
			check_setting(&s, best);
			s.what = "instance norm";
			s.op = &oq_op_instance_norm;
			s.reference = instance_norm;
			s.slope = affine ? 0.01f : 1;
			/* The mean is rounded to float32, half a unit of 2.5, times 1/sqrt(eps) where all voxels are equal. */
			s.tolerance = 4e-5;
			check_setting(&s, best);
		}
}

static void check_gelus(oq_isa best)
{
	static const int64_t halves[] = {1, 5, 16, 77, 300};
	for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
		setting s = {.what = "geglu", .op = &oq_op_geglu, .inputs = 1, .slope = 1, .reference = geglu, .shape = {{2 * halves[i], 2, 3, 5}}, .tolerance = 2e-6};
		check_setting(&s, best);
		s.what = "gelu"; /* 30 to 18000 values, in blocks of 4096 */
		s.op = &oq_op_gelu;
		s.reference = plain_gelu;
		s.tolerance = 1e-6;
		check_setting(&s, best);
	}
}

/* The windows of `s`, their products in bytes: scores good to some hundredths, values to 1/254 of the largest, 2.5. */
static void check_bytes(setting s, oq_isa best)
{
	s.compute = OQ_I8;
	s.tolerance = 0.04;
	s.what = "padded windows in bytes";
	check_setting(&s, best);
	s.what = "shifted windows in bytes";
	s.attributes.weight = NULL;
	memcpy(s.shape[0] + 1, (const int64_t[3]){4, 6, 4}, 3 * sizeof(int64_t));
	check_setting(&s, best);
	s.what = "windows in bytes";
	memset(s.attributes.pad_low, 0, sizeof s.attributes.pad_low);
	check_setting(&s, best);
}

static void check_attention(oq_isa best)
{
	/* scores of some 8 in float32, and their exponentials */
	setting s = {.what = "window attention", .op = &oq_op_window_attention, .inputs = 1, .slope = 1, .reference = window_attention, .tolerance = 1e-5,
		.shape = {{192, 4, 6, 4}}, .attributes = {.heads = 2, .kernel = {2, 3, 4}, .eps = 0.1}};
	check_setting(&s, best);
	s.what = "shifted windows";
	memcpy(s.attributes.pad_low, (const int64_t[3]){1, 1, 2}, sizeof s.attributes.pad_low);
	check_setting(&s, best);
	s.what = "padded windows";
	s.attributes.weight = "pad";
	memcpy(s.shape[0] + 1, (const int64_t[3]){3, 5, 7}, 3 * sizeof(int64_t));
	check_setting(&s, best);
	check_bytes(s, best);
	s.what = "cosine attention";
	s.attributes.var = "qs";
	s.attributes.k_scale = "ks";
	check_setting(&s, best);
	s = (setting){.what = "queries apart from keys", .op = &oq_op_window_attention, .inputs = 2, .slope = 1, .reference = window_attention, .tolerance = 1e-5,
		.shape = {{96, 2, 4, 6}, {192, 2, 4, 6}}, .attributes = {.heads = 3, .kernel = {1, 4, 3}, .eps = 0.1}};
	check_setting(&s, best);
}

int main(void)
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	dot_product = cpu.avx512_vnni;
	make_package();
	check_norms(cpu.isa);
	check_gelus(cpu.isa);
	check_attention(cpu.isa);
	OQ_CHECK(saturated_low > 1000 && saturated_high > 1000);
	remove_package();
	return oq_checks_done();
}
