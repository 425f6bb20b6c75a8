/* Any file as the index of a scan that it is not bound to, or, with its binding and checksum put right, of one that it is: it is refused, or every part
 * that it names lies within both files. */
#include "fuzz.h"

#include "../../src/io/index.h"
#include "core/mem.h"
#include "core/sha256.h"

#include <string.h>

#define HEADER 176
#define CHECKSUM 112
#define BINDING 48
#define SCAN 5000 /* bytes of it */

static const char *make_scan(void)
{
	static char path[128];
	static unsigned char bytes[SCAN] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
	snprintf(path, sizeof path, "/tmp/oq_fuzz_%ld_scan", (long)getpid());
	FILE *file = fopen(path, "wb");
	if (!file || fwrite(bytes, 1, sizeof bytes, file) != sizeof bytes || fclose(file))
		abort();
	return path;
}

/* So that what is behind the checksum is reached. */
static void put_right(uint8_t *data, size_t size, const char *binding)
{
	char sum[65];
	uint64_t entries = (uint64_t)data[16] | (uint64_t)data[17] << 8, table = entries * 40;
	oq_sha256 hash;
	memcpy(data, "OQINDEX\n\1\0\0\0", 12);
	memset(data + 18, 0, 6);
	memcpy(data + BINDING, binding, 64);
	if (table > size - HEADER)
		return;
	oq_sha256_init(&hash);
	oq_sha256_update(&hash, data, CHECKSUM);
	oq_sha256_update(&hash, data + HEADER, (size_t)table);
	oq_sha256_hex(&hash, sum);
	memcpy(data + CHECKSUM, sum, 64);
}

static void try(oq_index *x)
{
	unsigned char window[OQ_WINDOW];
	if (oq_index_read(x, NULL) != OQ_OK)
		return;
	for (uint64_t i = 0; i < x->count; i++) {
		const oq_index_point *p = &x->points[i];
		if (p[1].out <= p->out || p[1].in < p->in || p[1].in > SCAN || p->in < 1 || p->bits > 7 || p->window_at + p->window_bytes > x->bytes)
			abort();
		if (p->window_bytes)
			(void)oq_index_window(x, i, window, NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *scan = make_scan();
	uint8_t *copy = oq_alloc(size + 1);
	oq_stream *stream = NULL;
	if (!copy || oq_stream_open(scan, &stream, NULL) != OQ_OK)
		abort();
	memcpy(copy, data, size);
	for (int right = 0; right < 2; right++) {
		oq_index x = {.fd = -1};
		if (oq_index_of(stream, 0, NULL, &x, NULL) != OQ_OK)
			abort();
		if (right && size >= HEADER)
			put_right(copy, size, x.binding);
		FILE *file = fopen(x.path, "wb");
		if (!file || fwrite(copy, 1, size, file) != size || fclose(file))
			abort();
		try(&x);
		unlink(x.path);
		oq_index_close(&x);
	}
	oq_stream_close(stream);
	oq_free(copy);
	unlink(scan);
	return 0;
}
