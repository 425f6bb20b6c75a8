/* The voxels of a volume slice by slice (along k, as they lie in the file). Raw ones are read where a patch needs them: by pread, so that a file that
 * shrinks, or a network drive that fails, is an error and not a signal; compressed ones: packed.c. Every slice is looked at once, whoever asks for it. */
#include "voxels.h"

#include "core/mem.h"

#include <math.h>
#include <string.h>

#define HU_LIMIT 1e6 /* far beyond any scanner's scale, even padded and extended ones */
#define AIR_HU -1024.0

oq_status oq_voxels_make(const oq_volume *volume, const char *path, const oq_volume_options *options, oq_voxels **out, oq_error *err)
{
	const char *name = options ? options->name : NULL, *folder = options ? options->index_folder : NULL;
	oq_voxels *v = oq_calloc(1, sizeof *v);
	if (!v)
		return oq_fail_memory(err, path, sizeof *v);
	pthread_mutex_init(&v->lock, NULL);
	v->nonfinite_as_air = options && options->nonfinite_as_air;
	v->path = oq_strdup(path);
	v->name = name ? oq_strdup(name) : NULL;
	v->index_folder = folder ? oq_strdup(folder) : NULL;
	v->slices = oq_calloc((size_t)volume->dims[2], sizeof *v->slices);
	if (v->path && v->slices && (v->name || !name) && (v->index_folder || !folder)) {
		*out = v;
		return OQ_OK;
	}
	oq_voxels_free(v);
	return oq_fail_memory(err, path, (size_t)volume->dims[2] * sizeof *v->slices);
}

void oq_voxels_free(oq_voxels *v)
{
	if (!v)
		return;
	pthread_mutex_destroy(&v->lock);
	oq_stream_close(v->stream);
	oq_free(v->path);
	oq_free(v->name);
	oq_free(v->index_folder);
	oq_free(v->slices);
	oq_free(v);
}

static size_t slice_voxels(const oq_volume *v)
{
	return (size_t)(v->dims[0] * v->dims[1]);
}

size_t oq_slice_bytes(const oq_volume *v)
{
	return slice_voxels(v) * oq_dtype_size(v->dtype);
}

unsigned char *oq_slice_start(const oq_volume *v, int64_t k)
{
	return (unsigned char *)v->voxels + (size_t)k * oq_slice_bytes(v);
}

static void swap_bytes(unsigned char *bytes, size_t count, size_t item)
{
	for (size_t i = 0; i < count; i += item)
		for (size_t k = 0; k < item / 2; k++) {
			unsigned char t = bytes[i + k];
			bytes[i + k] = bytes[i + item - 1 - k];
			bytes[i + item - 1 - k] = t;
		}
}

#define LANES 16

/* Values lane by lane, so that the compiler uses vectors: neither order nor number of the lanes changes what comes out. */
static void look_at_values(const float *values, size_t count, float low[LANES], float high[LANES], int32_t bad[LANES])
{
	size_t i = 0;
	for (; i + LANES <= count; i += LANES)
		for (int k = 0; k < LANES; k++) {
			float x = values[i + (size_t)k];
			low[k] = x < low[k] ? x : low[k];
			high[k] = x > high[k] ? x : high[k];
			bad[k] += !(x - x == 0.0f);
		}
	for (; i < count; i++) {
		float x = values[i];
		low[0] = x < low[0] ? x : low[0];
		high[0] = x > high[0] ? x : high[0];
		bad[0] += !(x - x == 0.0f);
	}
}

static oq_slice_look look_at(const oq_volume *v, int64_t k)
{
	float values[4096], low[LANES], high[LANES];
	oq_slice_look l = {.low = INFINITY, .high = -INFINITY};
	for (int i = 0; i < LANES; i++) {
		low[i] = INFINITY;
		high[i] = -INFINITY;
	}
	const unsigned char *voxels = oq_slice_start(v, k);
	size_t count = slice_voxels(v);
	for (size_t at = 0; at < count; at += 4096) {
		size_t some = count - at < 4096 ? count - at : 4096;
		oq_dtype_to_f32(v->dtype, voxels + at * oq_dtype_size(v->dtype), some, values);
		int32_t bad[LANES] = {0};
		look_at_values(values, some, low, high, bad);
		for (int i = 0; i < LANES; i++)
			l.bad += bad[i];
	}
	for (int i = 0; i < LANES; i++) {
		l.low = low[i] < l.low ? low[i] : l.low;
		l.high = high[i] > l.high ? high[i] : l.high;
	}
	return l;
}

/* Every NaN and infinity becomes the raw value of air. Only floats hold any. */
static void make_air(const oq_volume *v, int64_t k)
{
	double air = (AIR_HU - v->inter) / v->slope;
	float *f = (float *)(void *)oq_slice_start(v, k);
	double *d = (double *)(void *)oq_slice_start(v, k);
	for (size_t i = 0; i < slice_voxels(v); i++) {
		if (v->dtype == OQ_F32 && !isfinite(f[i]))
			f[i] = (float)air;
		/* beyond float32 is infinite to everything that follows */
		if (v->dtype == OQ_F64 && !isfinite((float)d[i]))
			d[i] = air;
	}
}

static void take_in(const oq_volume *v, int64_t k)
{
	oq_voxels *s = v->source;
	if (s->swapped)
		swap_bytes(oq_slice_start(v, k), oq_slice_bytes(v), oq_dtype_size(v->dtype));
	oq_slice_look look = look_at(v, k);
	if (look.bad && s->nonfinite_as_air) {
		int64_t bad = look.bad;
		make_air(v, k);
		look = look_at(v, k);
		look.bad = bad;
	}
	look.state = OQ_SLICE_READY;
	s->slices[k] = look;
}

/* Slices of which none is ready. */
static oq_status read_run(const oq_volume *v, int64_t first, int64_t end, oq_error *err)
{
	oq_voxels *s = v->source;
	size_t slice = oq_slice_bytes(v);
	if (!s->packed) {
		oq_status status = oq_stream_read_at(s->stream, oq_slice_start(v, first), (size_t)(end - first) * slice, s->skip + (uint64_t)first * slice, err);
		if (status != OQ_OK && s->name)
			oq_error_rename(err, oq_stream_path(s->stream), s->name);
		OQ_TRY(status);
	}
#pragma omp parallel for
	for (int64_t k = first; k < end; k++)
		take_in(v, k);
	return OQ_OK;
}

/* True when one was not in memory yet. */
static bool want(const oq_voxels *s, int64_t first, int64_t end)
{
	bool news = false;
	for (int64_t k = first; k < end; k++) {
		news |= s->slices[k].state < OQ_SLICE_HELD;
		if (s->slices[k].state == OQ_SLICE_ABSENT)
			s->slices[k].state = OQ_SLICE_WANTED;
	}
	return news;
}

void oq_volume_want(const oq_volume *v, int64_t first, int64_t end)
{
	if (!v->source)
		return;
	pthread_mutex_lock(&v->source->lock);
	want(v->source, first, end);
	pthread_mutex_unlock(&v->source->lock);
}

oq_status oq_volume_unpack(oq_volume *v, oq_error *err)
{
	oq_voxels *s = v->source;
	oq_status status = OQ_OK;
	if (!s)
		return OQ_OK;
	pthread_mutex_lock(&s->lock);
	if (s->packed && !s->unpacked)
		status = oq_voxels_unpack(v, err);
	pthread_mutex_unlock(&s->lock);
	if (status == OQ_OK && s->trailing)
		oq_notes_add(&v->notes, "W_TRAILING", "bytes follow its voxels; they were ignored");
	return status;
}

oq_status oq_volume_need(const oq_volume *v, int64_t first, int64_t end, oq_error *err)
{
	oq_voxels *s = v->source;
	oq_status status = OQ_OK;
	if (!s)
		return OQ_OK; /* made in memory, not read */
	pthread_mutex_lock(&s->lock);
	if (want(s, first, end) && s->packed)
		status = oq_voxels_unpack(v, err);
	for (int64_t at = first, next; at < end && status == OQ_OK; at = next) {
		bool ready = s->slices[at].state == OQ_SLICE_READY;
		for (next = at + 1; next < end && (s->slices[next].state == OQ_SLICE_READY) == ready; next++)
			;
		if (!ready)
			status = read_run(v, at, next, err);
	}
	pthread_mutex_unlock(&s->lock);
	return status;
}

oq_index_use oq_volume_index_use(const oq_volume *v)
{
	return v->source ? v->source->index_use : OQ_INDEX_UNUSED;
}

oq_status oq_volume_load(oq_volume *v, oq_error *err)
{
	oq_volume_want(v, 0, v->dims[2]);
	OQ_TRY(oq_volume_unpack(v, err));
	return oq_volume_need(v, 0, v->dims[2], err);
}

static oq_slice_look look_over(const oq_volume *v, int64_t first, int64_t end)
{
	oq_slice_look all = {.low = INFINITY, .high = -INFINITY};
	for (int64_t k = first; k < end; k++) {
		const oq_slice_look *one = &v->source->slices[k];
		all.low = one->low < all.low ? one->low : all.low;
		all.high = one->high > all.high ? one->high : all.high;
		all.bad += one->bad;
	}
	return all;
}

void oq_volume_range(const oq_volume *v, int64_t first, int64_t end, double hu[2])
{
	oq_slice_look raw = look_over(v, first, end);
	double a = (double)raw.low * v->slope + v->inter, b = (double)raw.high * v->slope + v->inter;
	hu[0] = fmin(a, b);
	hu[1] = fmax(a, b);
}

static void note_range(const double hu[2], oq_notes *notes)
{
	const float low = (float)hu[0], high = (float)hu[1];
	if (low == high)
		oq_notes_add(notes, "W_CONSTANT", "every voxel is %g HU", (double)low);
	else if (low >= 0 && high <= 255)
		oq_notes_add(notes, "W_HU_RANGE", "values reach from %g to %g: looks windowed, not HU", (double)low, (double)high);
	else if (low >= 0)
		oq_notes_add(notes, "W_HU_RANGE", "no value below 0: is the HU offset missing?");
}

oq_status oq_volume_judge(const oq_volume *v, int64_t first, int64_t end, oq_notes *notes, oq_error *err)
{
	const oq_voxels *s = v->source;
	if (!s || first >= end)
		return OQ_OK;
	const char *name = s->name ? s->name : s->path;
	double hu[2];
	int64_t bad = look_over(v, first, end).bad;
	if (bad && (!s->nonfinite_as_air || bad == (end - first) * (int64_t)slice_voxels(v)))
		return oq_fail(err, OQ_E_INPUT, "E_NONFINITE", "%s: %lld voxels are NaN or infinite, expected HU everywhere", name, (long long)bad);
	oq_volume_range(v, first, end, hu);
	if (!(fabs(hu[0]) <= HU_LIMIT && fabs(hu[1]) <= HU_LIMIT))
		return oq_fail(err, OQ_E_INPUT, "E_HU_RANGE", "%s: values reach from %g to %g, expected HU", name, hu[0], hu[1]);
	if (bad && notes)
		oq_notes_add(notes, "W_NONFINITE", "%lld voxels are NaN or infinite, taken as %g HU", (long long)bad, AIR_HU);
	if (notes)
		note_range(hu, notes);
	return OQ_OK;
}
