/* Inflating at once. Refuses nothing by itself: what libdeflate does not take as it stands goes to zlib. */
#include "inflate.h"

#ifdef OQ_WITH_LIBDEFLATE
#include <libdeflate.h>

bool oq_inflate_whole_works(void)
{
	return true;
}

/* One member or stream; *used and *made on success. */
static bool inflate_one(struct libdeflate_decompressor *d, const unsigned char *packed, size_t packed_bytes, void *out, size_t room, size_t *used, size_t *made)
{
	bool gzip = packed_bytes >= 2 && packed[0] == 0x1f && packed[1] == 0x8b;
	enum libdeflate_result result = gzip ? libdeflate_gzip_decompress_ex(d, packed, packed_bytes, out, room, used, made)
		: libdeflate_zlib_decompress_ex(d, packed, packed_bytes, out, room, used, made);
	return result == LIBDEFLATE_SUCCESS && *used > 0;
}

bool oq_inflate_whole(const unsigned char *packed, size_t packed_bytes, void *out, size_t bytes)
{
	size_t at = 0, done = 0;
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	bool good = d != NULL;
	while (good && at < packed_bytes) {
		size_t used = 0, made = 0;
		/* Only gzip members may follow each other. */
		good = (at == 0 || packed[at] == 0x1f) && inflate_one(d, packed + at, packed_bytes - at, (unsigned char *)out + done, bytes - done, &used, &made);
		at += used;
		done += made;
	}
	libdeflate_free_decompressor(d);
	return good && done == bytes;
}

#else

bool oq_inflate_whole_works(void)
{
	return false;
}

bool oq_inflate_whole(const unsigned char *packed, size_t packed_bytes, void *out, size_t bytes)
{
	(void)packed;
	(void)packed_bytes;
	(void)out;
	(void)bytes;
	return false;
}

#endif
