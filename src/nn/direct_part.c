#include "direct_part.h"

#include "onednn.h"

#include <string.h>

struct oq_direct_part {
	const oq_direct *whole;
	oq_direct *direct;                      /* without padding: that is copied, too */
	int64_t in[4], out[4];                  /* C,D,H,W of the copies */
	size_t src, dst, residual, scratch, end; /* where they are in scratch, bytes */
};

static size_t bytes_of(const int64_t shape[4], oq_dtype dtype)
{
	return (size_t)(shape[0] * shape[1] * shape[2] * shape[3]) * oq_dtype_size(dtype);
}

static size_t aligned(size_t bytes)
{
	return (bytes + OQ_ALIGN - 1) / OQ_ALIGN * OQ_ALIGN;
}

static void lay_out(oq_direct_part *p)
{
	const oq_direct_desc *d = oq_direct_described(p->direct);
	memcpy(p->in, d->in, sizeof p->in);
	memcpy(p->out, d->out, sizeof p->out);
	p->dst = aligned(bytes_of(p->in, d->src->dtype));
	p->residual = p->dst + aligned(bytes_of(p->out, d->dst->dtype));
	p->scratch = p->residual + (d->residual ? aligned(bytes_of(p->out, d->residual->dtype)) : 0);
	p->end = p->scratch + oq_direct_scratch_bytes(p->direct);
}

/* Voxels from `first` on of a volume (whose outside is `outside`) into a copy; or those of a copy, all inside, back. */
typedef struct window_copy {
	const int64_t *shape, *copied; /* C,D,H,W of the volume and of the copy */
	size_t element;
	int outside;
} window_copy;

static void copy_out(const window_copy *c, const int64_t first[OQ_SPATIAL], const unsigned char *volume, unsigned char *copy)
{
	size_t voxel = (size_t)c->shape[0] * c->element, line = (size_t)c->copied[3] * voxel;
	int64_t low = first[2] < 0 ? -first[2] : 0, high = c->shape[3] - first[2] < c->copied[3] ? c->shape[3] - first[2] : c->copied[3];
	for (int64_t d = first[0]; d < first[0] + c->copied[1]; d++)
		for (int64_t h = first[1]; h < first[1] + c->copied[2]; h++, copy += line) {
			bool inside = d >= 0 && d < c->shape[1] && h >= 0 && h < c->shape[2] && low < high;
			if (!inside || low > 0 || high < c->copied[3])
				memset(copy, c->outside, line);
			if (inside)
				memcpy(copy + (size_t)low * voxel, volume + (size_t)((d * c->shape[2] + h) * c->shape[3] + first[2] + low) * voxel, (size_t)(high - low) * voxel);
		}
}

static void copy_back(const window_copy *c, const int64_t first[OQ_SPATIAL], const unsigned char *copy, unsigned char *volume)
{
	size_t voxel = (size_t)c->shape[0] * c->element, line = (size_t)c->copied[3] * voxel;
	for (int64_t d = first[0]; d < first[0] + c->copied[1]; d++)
		for (int64_t h = first[1]; h < first[1] + c->copied[2]; h++, copy += line)
			memcpy(volume + (size_t)((d * c->shape[2] + h) * c->shape[3] + first[2]) * voxel, copy, line);
}

oq_status oq_direct_part_run(const oq_direct_part *p, const oq_direct_bound *bound, const oq_direct_values *values, const oq_box *box,
	struct dnnl_stream *stream, oq_error *err)
{
	const oq_direct_desc *d = oq_direct_described(p->whole);
	unsigned char *scratch = values->scratch;
	int64_t first[OQ_SPATIAL], from[OQ_SPATIAL];
	for (int i = 0; i < OQ_SPATIAL; i++) { /* moved inwards where it would leave the output */
		first[i] = box->low[i] + p->out[1 + i] > d->out[1 + i] ? d->out[1 + i] - p->out[1 + i] : box->low[i];
		from[i] = first[i] * d->attributes->stride[i] - d->attributes->pad_low[i];
	}
	const window_copy src = {d->in, p->in, oq_dtype_size(d->src->dtype), d->src->dtype == OQ_U8 ? d->src->zero : 0};
	const window_copy dst = {d->out, p->out, oq_dtype_size(d->dst->dtype), 0};
	copy_out(&src, from, values->src, scratch + p->src);
	if (values->residual) {
		const window_copy residual = {d->out, p->out, oq_dtype_size(d->residual->dtype), 0};
		copy_out(&residual, first, values->residual, scratch + p->residual);
	}
	OQ_TRY(oq_direct_run(p->direct, bound, stream, d->where, err));
	copy_back(&dst, first, scratch + p->dst, values->dst);
	return OQ_OK;
}

oq_status oq_direct_part_bind(const oq_direct_part *p, void *scratch, oq_direct_bound **out, oq_error *err)
{
	unsigned char *at = scratch;
	return oq_direct_bind(p->direct, at + p->src, at + p->dst, oq_direct_described(p->direct)->residual ? at + p->residual : NULL, at + p->scratch, out, err);
}

size_t oq_direct_part_scratch_bytes(const oq_direct_part *p)
{
	return p->end;
}

bool oq_direct_part_fits(const oq_direct_part *p, const oq_box *box)
{
	bool fits = true;
	for (int i = 0; i < OQ_SPATIAL; i++)
		fits = fits && box->high[i] - box->low[i] <= p->out[1 + i];
	return fits;
}

int64_t oq_direct_part_voxels(const oq_direct_part *p)
{
	return p->out[1] * p->out[2] * p->out[3];
}

/* ---- Whether it has the whole one's bits ---- */

/* Any finite values will do; bytes are codes. */
static void make_up(const int64_t shape[4], oq_dtype dtype, unsigned char *values)
{
	uint32_t state = 1;
	for (size_t i = 0, count = bytes_of(shape, dtype) / oq_dtype_size(dtype); i < count; i++) {
		state = state * 1664525u + 1013904223u;
		float number = (float)(state >> 8) * 0x1p-23f - 1.0f;
		if (dtype == OQ_F32)
			((float *)(void *)values)[i] = number;
		else if (dtype == OQ_BF16)
			((uint16_t *)(void *)values)[i] = oq_f32_to_bf16(number);
		else
			values[i] = (unsigned char)(state >> 24);
	}
}

/* The whole output, and boxes at both of its ends and in the middle. */
typedef struct trial {
	const oq_direct_part *part;
	unsigned char *src, *residual, *dst, *again, *scratch;
	oq_direct_bound *whole, *bound;
	dnnl_stream_t stream;
} trial;

static oq_status open_trial(trial *t, oq_error *err)
{
	const oq_direct *whole = t->part->whole;
	const oq_direct_desc *d = oq_direct_described(whole);
	size_t src = bytes_of(d->in, d->src->dtype), dst = bytes_of(d->out, d->dst->dtype), residual = d->residual ? bytes_of(d->out, d->residual->dtype) : 0;
	size_t scratch = oq_direct_scratch_bytes(whole) > t->part->end ? oq_direct_scratch_bytes(whole) : t->part->end;
	t->src = oq_alloc_aligned(src);
	t->dst = oq_alloc_aligned(dst);
	t->again = oq_alloc_aligned(dst);
	t->residual = oq_alloc_aligned(residual);
	t->scratch = oq_alloc_aligned(scratch);
	if (!t->src || !t->dst || !t->again || !t->residual || !t->scratch)
		return oq_fail_memory(err, d->where, src + 2 * dst + residual + scratch);
	make_up(d->in, d->src->dtype, t->src);
	if (d->residual)
		make_up(d->out, d->residual->dtype, t->residual);
	OQ_TRY(oq_direct_bind(whole, t->src, t->dst, d->residual ? t->residual : NULL, t->scratch, &t->whole, err));
	OQ_TRY(oq_direct_part_bind(t->part, t->scratch, &t->bound, err));
	return oq_direct_stream(whole, &t->stream, err);
}

static void close_trial(trial *t)
{
	dnnl_stream_destroy(t->stream);
	oq_direct_unbind(t->whole);
	oq_direct_unbind(t->bound);
	oq_free_aligned(t->src);
	oq_free_aligned(t->dst);
	oq_free_aligned(t->again);
	oq_free_aligned(t->residual);
	oq_free_aligned(t->scratch);
}

static oq_status run_trial(const trial *t, bool *same, oq_error *err)
{
	const oq_direct_part *p = t->part;
	const oq_direct_desc *d = oq_direct_described(p->whole);
	const window_copy dst = {d->out, p->out, oq_dtype_size(d->dst->dtype), 0};
	const oq_direct_values values = {.src = t->src, .residual = d->residual ? t->residual : NULL, .dst = t->again, .scratch = t->scratch};
	OQ_TRY(oq_direct_run(p->whole, t->whole, t->stream, d->where, err));
	for (int64_t place = 0; place < 3 && *same; place++) {
		oq_box box;
		for (int i = 0; i < OQ_SPATIAL; i++) {
			box.low[i] = (d->out[1 + i] - p->out[1 + i]) * place / 2;
			box.high[i] = box.low[i] + p->out[1 + i];
		}
		OQ_TRY(oq_direct_part_run(p, t->bound, &values, &box, t->stream, err));
		copy_out(&dst, box.low, t->dst, t->again);
		*same = !memcmp(t->again, t->scratch + p->dst, bytes_of(p->out, d->dst->dtype));
	}
	return OQ_OK;
}

static oq_status has_same_bits(const oq_direct_part *part, bool *same, oq_error *err)
{
	trial t = {.part = part};
	*same = true;
	oq_status status = open_trial(&t, err);
	if (status == OQ_OK)
		status = run_trial(&t, same, err);
	close_trial(&t);
	return status;
}

oq_status oq_direct_part_create(const oq_direct *whole, const int64_t extent[OQ_SPATIAL], oq_direct_part **out, oq_error *err)
{
	const oq_attributes *a = oq_direct_described(whole)->attributes;
	int64_t in[OQ_SPATIAL];
	bool same = false;
	oq_direct_part *p = oq_calloc(1, sizeof *p);
	if (!p)
		return oq_fail_memory(err, oq_direct_described(whole)->where, sizeof *p);
	for (int i = 0; i < OQ_SPATIAL; i++)
		in[i] = (extent[i] - 1) * a->stride[i] + (a->kernel[i] - 1) * a->dilation[i] + 1;
	p->whole = whole;
	oq_status status = oq_direct_create_like(whole, in, extent, &p->direct, err);
	if (status == OQ_OK) {
		lay_out(p);
		status = has_same_bits(p, &same, err);
	}
	if (status == OQ_OK && same) {
		*out = p;
		return OQ_OK;
	}
	oq_direct_part_free(p);
	return status == OQ_E_UNSUPPORTED ? OQ_OK : status;
}

void oq_direct_part_free(oq_direct_part *p)
{
	if (!p)
		return;
	oq_direct_free(p->direct);
	oq_free(p);
}
