/* Compressed voxels by the index of their stream: parts that hold slices somebody wants are decoded, each from its own point on and each checked by its
 * CRC-32, and nothing else is. Whatever does not fit ends in a whole pass (packed.c), whose answer counts. */
#include "index.h"
#include "voxels.h"

#include "core/mem.h"

#include <string.h>
#include <unistd.h>

typedef struct reader {
	const oq_volume *volume;
	oq_index index;
	unsigned char *in, *out;  /* of one part: packed, decoded */
	size_t in_room, out_room;
	unsigned char window[OQ_WINDOW]; /* before point `next`, when that is not 0 */
	uint64_t next;
	oq_error *err;
} reader;

/* Slices [first,end) that bytes [from,to) of the stream belong to, in part or whole. */
static void slices_of(const oq_volume *v, uint64_t from, uint64_t to, int64_t slices[2])
{
	uint64_t skip = v->source->skip, slice = oq_slice_bytes(v), most = (uint64_t)v->dims[2];
	uint64_t first = from > skip ? (from - skip) / slice : 0, end = to > skip ? (to - skip + slice - 1) / slice : 0;
	slices[0] = (int64_t)(first < most ? first : most);
	slices[1] = (int64_t)(end < most ? end : most);
}

static bool is_wanted(const oq_volume *v, const oq_index_point *p)
{
	int64_t slices[2];
	slices_of(v, p->out, p[1].out, slices);
	for (int64_t k = slices[0]; k < slices[1]; k++)
		if (v->source->slices[k].state == OQ_SLICE_WANTED)
			return true;
	return false;
}

/* Of a part that is in r->out: what wanted slices have of it. */
static void hand_out(const reader *r, const oq_index_point *p)
{
	const oq_volume *v = r->volume;
	uint64_t slice = oq_slice_bytes(v);
	int64_t slices[2];
	slices_of(v, p->out, p[1].out, slices);
	for (int64_t k = slices[0]; k < slices[1]; k++) {
		uint64_t begin = v->source->skip + (uint64_t)k * slice, from = begin > p->out ? begin : p->out, end = begin + slice;
		uint64_t to = end < p[1].out ? end : p[1].out;
		if (v->source->slices[k].state == OQ_SLICE_WANTED)
			memcpy(oq_slice_start(v, k) + (from - begin), r->out + (from - p->out), (size_t)(to - from));
	}
}

static bool make_room(unsigned char **block, size_t *room, size_t bytes)
{
	if (*room >= bytes)
		return true;
	oq_free(*block);
	*block = oq_alloc(bytes);
	*room = *block ? bytes : 0;
	return *block != NULL;
}

/* Part `which` into r->out, checked. */
static oq_status decode_part(reader *r, uint64_t which)
{
	const oq_voxels *s = r->volume->source;
	const oq_index_point *p = &r->index.points[which];
	uint64_t first = p->in - (p->bits > 0);
	oq_part part = {.in_bytes = (size_t)(p[1].in - first), .bits = p->bits, .window = p->window_bytes ? r->window : NULL,
		.out_bytes = (size_t)(p[1].out - p->out)};
	if (!make_room(&r->in, &r->in_room, part.in_bytes) || !make_room(&r->out, &r->out_room, part.out_bytes))
		return oq_fail_memory(r->err, s->path, part.in_bytes + part.out_bytes);
	if (first < s->offset)
		return oq_fail(r->err, OQ_E_INPUT, "E_INDEX", "%s: a point lies before the stream", r->index.path);
	if (part.window && r->next != which)
		OQ_TRY(oq_index_window(&r->index, which, r->window, r->err));
	OQ_TRY(oq_stream_read_at(s->stream, r->in, part.in_bytes, first - s->offset, r->err));
	part.in = r->in;
	part.out = r->out;
	bool good = false;
	for (int hurry = 1; hurry >= 0 && !good; hurry--) /* what the faster one does not take may still be right */
		good = oq_part_inflate(&part, hurry) && oq_bytes_crc(0, r->out, part.out_bytes) == p->crc;
	if (!good)
		return oq_fail(r->err, OQ_E_INPUT, "E_INDEX", "%s: a part of the scan is not what it was", r->index.path);
	r->next = part.out_bytes >= OQ_WINDOW ? which + 1 : 0;
	if (r->next)
		memcpy(r->window, r->out + part.out_bytes - OQ_WINDOW, OQ_WINDOW);
	return OQ_OK;
}

/* Decoded bytes of all parts that are needed. */
static uint64_t needed(const reader *r)
{
	uint64_t bytes = 0;
	for (uint64_t i = 0; i < r->index.count; i++)
		if (is_wanted(r->volume, &r->index.points[i]))
			bytes += r->index.points[i + 1].out - r->index.points[i].out;
	return bytes;
}

static oq_status read_parts(reader *r, bool *done)
{
	oq_voxels *s = r->volume->source;
	OQ_TRY(oq_index_read(&r->index, r->err));
	uint64_t total = r->index.points[r->index.count].out, declared = s->skip + (uint64_t)r->volume->dims[2] * oq_slice_bytes(r->volume) + s->behind;
	if (total < declared || needed(r) > total / 4 * 3) /* a scan to be refused; or hardly less than all of it */
		return OQ_OK;
	for (uint64_t i = 0; i < r->index.count; i++) {
		if (!is_wanted(r->volume, &r->index.points[i]))
			continue;
		OQ_TRY(decode_part(r, i));
		hand_out(r, &r->index.points[i]);
	}
	s->trailing = total > declared || r->index.garbage;
	s->index_use = OQ_INDEX_USED;
	*done = true;
	return OQ_OK;
}

/* True when most slices are wanted, for which there is no use in looking. */
static bool is_most(const oq_volume *v)
{
	int64_t wanted = 0;
	for (int64_t k = 0; k < v->dims[2]; k++)
		wanted += v->source->slices[k].state == OQ_SLICE_WANTED;
	return wanted > v->dims[2] / 4 * 3;
}

oq_status oq_voxels_unpack_parts(const oq_volume *v, bool *done, oq_error *err)
{
	oq_voxels *s = v->source;
	oq_error own = {0};
	*done = false;
	if (s->index_use == OQ_INDEX_UNFIT || is_most(v))
		return OQ_OK;
	reader *r = oq_calloc(1, sizeof *r);
	if (!r)
		return oq_fail_memory(err, s->path, sizeof *r);
	r->volume = v;
	r->err = &own;
	oq_status status = oq_index_of(s->stream, s->offset, s->index_folder, &r->index, &own);
	const bool there = status == OQ_OK && access(r->index.path, F_OK) == 0;
	if (there)
		status = read_parts(r, done);
	oq_index_close(&r->index);
	oq_free(r->in);
	oq_free(r->out);
	oq_free(r);
	bool ours = status != OQ_OK && !strcmp(own.code, "E_MEMORY");
	if (ours && err)
		*err = own;
	else if (there && status != OQ_OK)
		s->index_use = OQ_INDEX_UNFIT;
	return ours ? status : OQ_OK;
}
