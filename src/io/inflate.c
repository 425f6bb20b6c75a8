/* Inflating by ISA-L. Headers are left to zlib, so that both builds accept the same ones. */
#include "inflate.h"

#ifdef OQ_WITH_ISAL
#include "core/mem.h"

#include <isa-l/igzip_lib.h>

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

#endif
