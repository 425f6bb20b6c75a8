/* Inflating by ISA-L: headers are left to zlib, so that both builds accept the same ones; and parts of a stream, by either. */
#include "inflate.h"

#ifdef OQ_WITH_ISAL
#include "core/mem.h"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx"))) static void zero_upper(void)
{
	_mm256_zeroupper();
}

/* ISA-L leaves the upper halves of vector registers in use, after which code for SSE takes more than twice its time. */
static void tidy_up(void)
{
	if (__builtin_cpu_supports("avx"))
		zero_upper();
}
#else
static void tidy_up(void)
{
}
#endif

struct oq_inflater {
	struct inflate_state state;
};

oq_inflater *oq_inflater_make(void)
{
	oq_inflater *f = oq_alloc(sizeof *f);
	if (f)
		isal_inflate_init(&f->state);
	return f;
}

void oq_inflater_free(oq_inflater *f)
{
	oq_free(f);
}

void oq_inflater_begin(oq_inflater *f, bool gzip)
{
	isal_inflate_reset(&f->state);
	f->state.crc_flag = gzip ? ISAL_GZIP_NO_HDR_VER : ISAL_ZLIB_NO_HDR_VER;
}

int oq_inflater_run(oq_inflater *f, z_stream *z)
{
	struct inflate_state *s = &f->state;
	s->next_in = z->next_in;
	s->avail_in = z->avail_in;
	s->next_out = z->next_out;
	s->avail_out = z->avail_out;
	uint32_t had = s->avail_in, room = s->avail_out;
	int code = isal_inflate(s);
	tidy_up();
	z->next_in = s->next_in;
	z->avail_in = s->avail_in;
	z->next_out = s->next_out;
	z->avail_out = s->avail_out;
	if (code == ISAL_DECOMP_OK && s->block_state == ISAL_BLOCK_FINISH) {
		uint32_t beyond = (uint32_t)s->read_in_length / 8; /* the trailer; versions before 2.32.1 do not give these back */
		z->next_in -= beyond;
		z->avail_in += beyond;
		return Z_STREAM_END;
	}
	bool stuck = s->avail_in > 0 && s->avail_in == had && s->avail_out == room; /* asked again it would only stand still again */
	return code == ISAL_DECOMP_OK && !stuck ? Z_OK : Z_DATA_ERROR;
}

/* Until the room is full: that it wants no more of the data, or stands still, says that the data is no such part. */
static bool fill(struct inflate_state *s)
{
	while (s->avail_out > 0 && s->block_state != ISAL_BLOCK_FINISH) {
		uint32_t had = s->avail_in, room = s->avail_out;
		if (isal_inflate(s) != ISAL_DECOMP_OK || (s->avail_in == had && s->avail_out == room))
			return false;
	}
	return s->avail_out == 0;
}

static bool inflate_fast(const oq_part *p)
{
	oq_inflater *f = oq_inflater_make();
	union { const unsigned char *in; unsigned char *out; } window = {p->window}, in = {p->in}; /* neither is written to */
	if (!f)
		return false;
	struct inflate_state *s = &f->state;
	s->crc_flag = ISAL_DEFLATE;
	const bool split = p->bits > 0;
	s->read_in = split ? (uint64_t)(p->in[0] >> (8 - p->bits)) : 0;
	s->read_in_length = p->bits;
	s->next_in = in.out + split;
	s->avail_in = (uint32_t)p->in_bytes - split;
	s->next_out = p->out;
	s->avail_out = (uint32_t)p->out_bytes;
	bool good = (!p->window || isal_inflate_set_dict(s, window.out, OQ_WINDOW) == COMP_OK) && fill(s);
	tidy_up();
	oq_inflater_free(f);
	return good;
}

uint32_t oq_bytes_crc(uint32_t crc, const unsigned char *bytes, size_t count)
{
	crc = crc32_gzip_refl(crc, bytes, count);
	tidy_up();
	return crc;
}

#else

oq_inflater *oq_inflater_make(void)
{
	return NULL;
}

void oq_inflater_free(oq_inflater *f)
{
	(void)f;
}

void oq_inflater_begin(oq_inflater *f, bool gzip)
{
	(void)f;
	(void)gzip;
}

int oq_inflater_run(oq_inflater *f, z_stream *z)
{
	(void)f;
	(void)z;
	return Z_DATA_ERROR;
}

static bool inflate_fast(const oq_part *part)
{
	(void)part;
	return false;
}

uint32_t oq_bytes_crc(uint32_t crc, const unsigned char *bytes, size_t count)
{
	return (uint32_t)crc32_z(crc, bytes, count);
}

#endif

static bool inflate_plain(const oq_part *p)
{
	union { const unsigned char *in; unsigned char *out; } in = {p->in}; /* not written to */
	const bool split = p->bits > 0;
	z_stream z = {.next_in = in.out + split, .avail_in = (uInt)p->in_bytes - split, .next_out = p->out, .avail_out = (uInt)p->out_bytes};
	if (inflateInit2(&z, -15) != Z_OK)
		return false;
	bool good = (!split || inflatePrime(&z, p->bits, p->in[0] >> (8 - p->bits)) == Z_OK)
		&& (!p->window || inflateSetDictionary(&z, p->window, OQ_WINDOW) == Z_OK);
	if (good) {
		int code = inflate(&z, Z_SYNC_FLUSH);
		good = (code == Z_OK || code == Z_STREAM_END) && z.avail_out == 0;
	}
	inflateEnd(&z);
	return good;
}

bool oq_part_inflate(const oq_part *part, bool hurry)
{
	if (part->bits < 0 || part->bits > 7 || part->in_bytes <= (size_t)(part->bits > 0) || part->in_bytes > INT32_MAX || part->out_bytes > INT32_MAX)
		return false;
	return hurry ? inflate_fast(part) : inflate_plain(part);
}
