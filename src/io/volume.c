/* Opening scans: header first, sizes before memory. What the voxels hold: voxels.c. */
#include "io/volume.h"

#include "core/mem.h"
#include "formats.h"
#include "voxels.h"

#include <string.h>

#define DEFAULT_MAX ((size_t)8 << 30)
#define MOST_SLICES 100000 /* of a metre at a hundredth of a millimetre; each has an entry of its own in memory */

typedef struct loader {
	const char *path;
	const oq_volume_options *options;
	oq_stream *header_stream, *voxel_stream; /* the same for a single file */
	oq_voxel_place place;
	oq_volume *volume;
	oq_error *err;
} loader;

static oq_status read_header(loader *l)
{
	unsigned char first[OQ_SNIFF_BYTES];
	size_t got;
	OQ_TRY(oq_stream_open(l->path, &l->header_stream, l->err));
	OQ_TRY(oq_stream_read(l->header_stream, first, sizeof first, &got, l->err));
	OQ_TRY(oq_stream_begin(l->header_stream, 0, oq_stream_is_gzip(l->header_stream), l->err));
	return oq_format_of(first, got, l->path)(l->header_stream, l->path, l->options, l->volume, &l->place, l->err);
}

/* The stream of the voxels, at the place where they or their compressed bytes begin. */
static oq_status open_voxels(loader *l)
{
	oq_voxel_place *p = &l->place;
	oq_error reason;
	l->voxel_stream = l->header_stream;
	if (p->path) {
		l->voxel_stream = NULL;
		oq_status status = oq_stream_open(p->path, &l->voxel_stream, &reason);
		if (status != OQ_OK && l->options && l->options->name)
			oq_error_rename(&reason, p->path, "data file");
		if (status == OQ_E_INPUT)
			return oq_fail(l->err, OQ_E_INPUT, "E_PAIR", "%s: its voxels cannot be read: %.600s", l->path, reason.message);
		if (status != OQ_OK) { /* memory or the drive: nothing is known of the file */
			if (l->err)
				*l->err = reason;
			return status;
		}
	}
	bool compressed = p->coding == OQ_CODING_DEFLATE || (p->coding == OQ_CODING_SNIFF && oq_stream_is_gzip(l->voxel_stream));
	uint64_t size = oq_stream_size(l->voxel_stream);
	if (compressed && p->coding == OQ_CODING_SNIFF) {
		p->skip = p->offset;
		p->offset = 0;
	}
	if (p->at_end)
		p->offset = p->bytes < size ? size - p->bytes : 0;
	if (p->offset > size)
		return oq_fail(l->err, OQ_E_INPUT, "E_TRUNCATED", "%s: its voxels begin at byte %llu of a file of %llu", l->path, (unsigned long long)p->offset,
			(unsigned long long)size);
	return oq_stream_begin(l->voxel_stream, p->offset, compressed, l->err);
}

/* Declared size against what the file can hold, before a byte of it is allocated. */
static oq_status check_size(const loader *l)
{
	uint64_t capacity = oq_stream_capacity(l->voxel_stream), skip = l->place.skip;
	size_t bytes = l->place.bytes, most = l->options && l->options->max_bytes ? l->options->max_bytes : DEFAULT_MAX;
	if (skip > capacity || bytes > capacity - skip || l->place.behind > capacity - skip - bytes)
		return oq_fail(l->err, OQ_E_INPUT, "E_TRUNCATED", "%s: declares %zu bytes of voxels from byte %llu on, the file can hold %llu", l->path, bytes,
			(unsigned long long)(l->place.offset + skip), (unsigned long long)(l->place.offset + capacity));
	if (bytes > most)
		return oq_fail(l->err, OQ_E_INPUT, "E_SIZE", "%s: declares %zu bytes of voxels, at most %zu are accepted", l->path, bytes, most);
	if (l->volume->dims[2] > MOST_SLICES)
		return oq_fail(l->err, OQ_E_INPUT, "E_SIZE", "%s: has %lld slices, at most %d are accepted", l->path, (long long)l->volume->dims[2], MOST_SLICES);
	return OQ_OK;
}

/* Room for the voxels, which stay in their stream until they are needed: what is never read takes no memory. */
static oq_status make_room(loader *l)
{
	l->volume->voxels = oq_alloc_aligned(l->place.bytes);
	return l->volume->voxels ? OQ_OK : oq_fail_memory(l->err, l->path, l->place.bytes);
}

/* The volume keeps the stream of its voxels. */
static oq_status keep_source(loader *l)
{
	const oq_voxel_place *p = &l->place;
	oq_voxels *source;
	OQ_TRY(oq_voxels_make(l->volume, l->path, l->options, &source, l->err));
	l->volume->source = source;
	source->stream = l->voxel_stream;
	source->packed = oq_stream_is_inflating(l->voxel_stream);
	source->swapped = p->swapped;
	source->offset = p->offset;
	source->skip = p->skip;
	source->behind = p->behind;
	source->trailing = !source->packed && p->bytes + p->skip + p->behind < oq_stream_capacity(l->voxel_stream);
	l->header_stream = l->header_stream == l->voxel_stream ? NULL : l->header_stream;
	l->voxel_stream = NULL;
	return source->packed ? OQ_OK : oq_volume_unpack(l->volume, l->err);
}

static oq_status load(loader *l)
{
	OQ_TRY(read_header(l));
	OQ_TRY(open_voxels(l));
	OQ_TRY(check_size(l));
	OQ_TRY(make_room(l));
	return keep_source(l);
}

oq_status oq_volume_open(const char *path, const oq_volume_options *options, oq_volume **out, oq_error *err)
{
	loader l = {.path = path, .options = options, .volume = oq_calloc(1, sizeof *l.volume), .err = err};
	if (!l.volume)
		return oq_fail_memory(err, path, sizeof *l.volume);
	oq_status status = load(&l);
	if (l.voxel_stream != l.header_stream)
		oq_stream_close(l.voxel_stream);
	oq_stream_close(l.header_stream);
	if (status != OQ_OK && options && options->name) {
		oq_error_rename(err, path, options->name);
		if (l.place.path)
			oq_error_rename(err, l.place.path, options->name);
	}
	oq_free(l.place.path);
	if (status == OQ_OK)
		*out = l.volume;
	else
		oq_volume_free(l.volume);
	return status;
}

oq_status oq_volume_read(const char *path, const oq_volume_options *options, oq_volume **out, oq_error *err)
{
	oq_volume *volume = NULL;
	OQ_TRY(oq_volume_open(path, options, &volume, err));
	oq_status status = oq_volume_load(volume, err);
	if (status == OQ_OK)
		status = oq_volume_judge(volume, 0, volume->dims[2], &volume->notes, err);
	if (status == OQ_OK)
		*out = volume;
	else
		oq_volume_free(volume);
	return status;
}

void oq_volume_free(oq_volume *volume)
{
	if (!volume)
		return;
	oq_voxels_free(volume->source);
	oq_free_aligned(volume->voxels);
	oq_notes_free(&volume->notes);
	oq_free(volume);
}

void oq_volume_to_ras(const oq_volume *v, const double ijk[3], double ras[3])
{
	for (int i = 0; i < 3; i++)
		ras[i] = v->affine[i][0] * ijk[0] + v->affine[i][1] * ijk[1] + v->affine[i][2] * ijk[2] + v->affine[i][3];
}

void oq_volume_from_ras(const oq_volume *v, const double ras[3], double ijk[3])
{
	/* Cramer's rule; the affine was checked to be regular. */
	const double(*m)[4] = v->affine;
	double b[3] = {ras[0] - m[0][3], ras[1] - m[1][3], ras[2] - m[2][3]}, c[3][3];
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++)
			c[i][k] = m[(i + 1) % 3][(k + 1) % 3] * m[(i + 2) % 3][(k + 2) % 3] - m[(i + 1) % 3][(k + 2) % 3] * m[(i + 2) % 3][(k + 1) % 3];
	double determinant = m[0][0] * c[0][0] + m[0][1] * c[0][1] + m[0][2] * c[0][2];
	for (int k = 0; k < 3; k++)
		ijk[k] = (c[0][k] * b[0] + c[1][k] * b[1] + c[2][k] * b[2]) / determinant;
}

float oq_volume_hu(const oq_volume *v, int64_t i, int64_t j, int64_t k)
{
	float raw;
	size_t item = oq_dtype_size(v->dtype), at = (size_t)((k * v->dims[1] + j) * v->dims[0] + i);
	oq_dtype_to_f32(v->dtype, (const unsigned char *)v->voxels + at * item, 1, &raw);
	return (float)((double)raw * v->slope + v->inter);
}
