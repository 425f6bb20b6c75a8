/* PNG, 8-bit RGB: signature, header, one zlib stream of unfiltered rows, end. */
#include "io/png.h"

#include "core/file.h"
#include "core/mem.h"

#include <string.h>
#include <zlib.h>

#define MAX_SIDE 16384

static void store_big(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static oq_status write_chunk(oq_outfile *file, const char *type, const unsigned char *data, size_t bytes, oq_error *err)
{
	unsigned char head[8], tail[4];
	store_big(head, (uint32_t)bytes);
	memcpy(head + 4, type, 4);
	uLong crc = crc32_z(crc32_z(0, head + 4, 4), data, bytes);
	store_big(tail, (uint32_t)crc);
	OQ_TRY(oq_outfile_write(file, head, sizeof head, err));
	OQ_TRY(oq_outfile_write(file, data, bytes, err));
	return oq_outfile_write(file, tail, sizeof tail, err);
}

static oq_status write_all(oq_outfile *file, int width, int height, const unsigned char *packed, size_t packed_bytes, oq_error *err)
{
	static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
	unsigned char header[13] = {[8] = 8, [9] = 2}; /* 8 bits, RGB */
	store_big(header, (uint32_t)width);
	store_big(header + 4, (uint32_t)height);
	OQ_TRY(oq_outfile_write(file, signature, sizeof signature, err));
	OQ_TRY(write_chunk(file, "IHDR", header, sizeof header, err));
	OQ_TRY(write_chunk(file, "IDAT", packed, packed_bytes, err));
	return write_chunk(file, "IEND", header, 0, err);
}

oq_status oq_png_write_rgb(const char *path, int width, int height, const unsigned char *rgb, oq_error *err)
{
	if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
		return oq_fail(err, OQ_E_INTERNAL, "E_PNG", "%s: a picture of %d x %d was asked for", path, width, height);
	size_t row = (size_t)width * 3, raw_bytes = (row + 1) * (size_t)height;
	uLongf packed_bytes = compressBound((uLong)raw_bytes);
	unsigned char *raw = oq_alloc(raw_bytes), *packed = oq_alloc(packed_bytes);
	oq_outfile *file = NULL;
	oq_status status = raw && packed ? OQ_OK : oq_fail_memory(err, path, raw_bytes);
	if (status == OQ_OK) {
		for (size_t y = 0; y < (size_t)height; y++) {
			raw[y * (row + 1)] = 0; /* no filter */
			memcpy(raw + y * (row + 1) + 1, rgb + y * row, row);
		}
		if (compress2(packed, &packed_bytes, raw, (uLong)raw_bytes, 6) != Z_OK)
			status = oq_fail_memory(err, path, raw_bytes);
	}
	if (status == OQ_OK)
		status = oq_outfile_open(path, &file, err);
	if (status == OQ_OK)
		status = write_all(file, width, height, packed, packed_bytes, err);
	if (status == OQ_OK)
		status = oq_outfile_commit(file, err);
	else
		oq_outfile_abort(file);
	oq_free(raw);
	oq_free(packed);
	return status;
}
