/* The file of an index: written whole, and believed only when its checksum is right and it is bound to the very stream. Whatever it says is checked
 * against the sizes of both files before memory is asked for. Numbers are little-endian. */
#include "index.h"

#include "core/file.h"
#include "core/mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "OQINDEX\n"
#define VERSION 1
#define ENDS 4096   /* bytes at the begin of the stream and at the end of the file that it is bound to */
#define HEADER 176
#define BINDING 48  /* places in it */
#define CHECKSUM 112
#define ENTRY 40

static void put(unsigned char *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get(const unsigned char *at, int bytes)
{
	uint64_t value = 0;
	for (int i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

static oq_status bind(const oq_stream *s, uint64_t offset, oq_index *x, oq_error *err)
{
	unsigned char ends[16 + 2 * ENDS];
	uint64_t left = x->size - offset;
	size_t some = left < ENDS ? (size_t)left : ENDS;
	oq_sha256 hash;
	put(ends, x->size, 8);
	put(ends + 8, offset, 8);
	OQ_TRY(oq_stream_read_at(s, ends + 16, some, 0, err));
	OQ_TRY(oq_stream_read_at(s, ends + 16 + some, some, left - some, err));
	oq_sha256_init(&hash);
	oq_sha256_update(&hash, ends, 16 + 2 * some);
	oq_sha256_hex(&hash, x->binding);
	return OQ_OK;
}

oq_status oq_index_of(const oq_stream *s, uint64_t offset, const char *folder, oq_index *x, oq_error *err)
{
	const char *scan = oq_stream_path(s);
	size_t room = strlen(folder ? folder : scan) + 48;
	*x = (oq_index){.fd = -1, .size = oq_stream_size(s), .path = oq_alloc(room)};
	if (!x->path)
		return oq_fail_memory(err, scan, room);
	OQ_TRY(bind(s, offset, x, err));
	/* In a folder the name tells nothing of the patient, and a scan is known wherever it has been copied to. */
	if (folder)
		snprintf(x->path, room, "%s/%.32s.oqx", folder, x->binding);
	else
		snprintf(x->path, room, "%s.oqx", scan);
	return OQ_OK;
}

void oq_index_close(oq_index *x)
{
	if (x->path && x->fd >= 0)
		close(x->fd);
	oq_free(x->path);
	oq_free(x->points);
	*x = (oq_index){.fd = -1};
}

static oq_status refuse(const oq_index *x, const char *what, oq_error *err)
{
	return oq_fail(err, OQ_E_INPUT, "E_INDEX", "%s: %s; make it again", x->path, what);
}

static void checksum(const unsigned char header[HEADER], const unsigned char *table, size_t bytes, char hex[65])
{
	oq_sha256 hash;
	oq_sha256_init(&hash);
	oq_sha256_update(&hash, header, CHECKSUM);
	oq_sha256_update(&hash, table, bytes);
	oq_sha256_hex(&hash, hex);
}

/* Whether the part that begins at p[0] can be what it says. */
static bool is_sound(const oq_index *x, const oq_index_point *p)
{
	uint64_t first = p->in - (p->bits > 0);
	return p->bits <= 7 && p->in > 0 && p->in <= p[1].in && p[1].in <= x->size && p[1].in - first <= OQ_INDEX_PART && p[1].in > first
		&& p->out < p[1].out && p[1].out - p->out <= OQ_INDEX_PART && p->window_bytes <= OQ_INDEX_WINDOW
		&& p->window_at <= x->bytes && p->window_bytes <= x->bytes - p->window_at;
}

static oq_status read_table(oq_index *x, const unsigned char header[HEADER], oq_error *err)
{
	size_t bytes = (size_t)x->count * ENTRY;
	char sum[65];
	unsigned char *table = oq_alloc(bytes);
	x->points = oq_calloc((size_t)x->count + 1, sizeof *x->points);
	oq_status status = table && x->points ? oq_file_read_at(x->fd, x->path, table, bytes, HEADER, OQ_E_INPUT, err) : oq_fail_memory(err, x->path, bytes);
	if (status == OQ_OK) {
		checksum(header, table, bytes, sum);
		if (memcmp(sum, header + CHECKSUM, 64) != 0)
			status = refuse(x, "the index is damaged", err);
	}
	for (uint64_t i = 0; i < x->count && status == OQ_OK; i++) {
		const unsigned char *e = table + i * ENTRY;
		x->points[i] = (oq_index_point){get(e, 8), get(e + 8, 8), get(e + 16, 8), (uint32_t)get(e + 24, 4), (uint32_t)get(e + 28, 4), e[32]};
	}
	oq_free(table);
	return status;
}

oq_status oq_index_read(oq_index *x, oq_error *err)
{
	unsigned char h[HEADER];
	x->fd = oq_file_open(x->path, OQ_E_INPUT, &x->bytes, err);
	if (x->fd < 0)
		return OQ_E_INPUT;
	if (x->bytes < HEADER)
		return refuse(x, "the index is damaged", err);
	OQ_TRY(oq_file_read_at(x->fd, x->path, h, HEADER, 0, OQ_E_INPUT, err));
	if (memcmp(h, MAGIC, 8) != 0 || get(h + 8, 4) != VERSION)
		return refuse(x, "is no index of this version", err);
	if (memcmp(h + BINDING, x->binding, 64) != 0)
		return refuse(x, "is the index of another scan, or of this one before it was changed", err);
	x->garbage = get(h + 12, 4) & 1;
	x->count = get(h + 16, 8);
	if (x->count < 1 || x->count > OQ_INDEX_POINTS || x->count > (x->bytes - HEADER) / ENTRY)
		return refuse(x, "the index is damaged", err);
	OQ_TRY(read_table(x, h, err));
	x->points[x->count] = (oq_index_point){.in = get(h + 24, 8), .out = get(h + 32, 8)};
	bool sound = x->points[0].out == 0;
	for (uint64_t i = 0; i < x->count && sound; i++)
		sound = is_sound(x, &x->points[i]);
	return sound ? OQ_OK : refuse(x, "the index is damaged", err);
}

oq_status oq_index_window(const oq_index *x, uint64_t which, unsigned char window[OQ_WINDOW], oq_error *err)
{
	unsigned char packed[OQ_INDEX_WINDOW];
	const oq_index_point *p = &x->points[which];
	uLongf bytes = OQ_WINDOW;
	OQ_TRY(oq_file_read_at(x->fd, x->path, packed, p->window_bytes, p->window_at, OQ_E_INPUT, err));
	if (uncompress(window, &bytes, packed, p->window_bytes) != Z_OK || bytes != OQ_WINDOW)
		return refuse(x, "the index is damaged", err);
	return OQ_OK;
}

static oq_status write_all(const oq_index *x, const unsigned char header[HEADER], const unsigned char *table, const unsigned char *const *windows,
	oq_error *err)
{
	oq_outfile *file = NULL;
	OQ_TRY(oq_outfile_open(x->path, &file, err));
	oq_status status = oq_outfile_write(file, header, HEADER, err);
	if (status == OQ_OK)
		status = oq_outfile_write(file, table, (size_t)x->count * ENTRY, err);
	for (uint64_t i = 0; i < x->count && status == OQ_OK; i++)
		if (x->points[i].window_bytes)
			status = oq_outfile_write(file, windows[i], x->points[i].window_bytes, err);
	if (status == OQ_OK)
		return oq_outfile_commit(file, err);
	oq_outfile_abort(file);
	return status;
}

oq_status oq_index_write(oq_index *x, const unsigned char *const *windows, oq_error *err)
{
	unsigned char h[HEADER] = MAGIC, *table = oq_calloc((size_t)x->count, ENTRY);
	char sum[65];
	if (!table)
		return oq_fail_memory(err, x->path, (size_t)x->count * ENTRY);
	x->bytes = HEADER + x->count * ENTRY;
	for (uint64_t i = 0; i < x->count; i++) {
		oq_index_point *p = &x->points[i];
		unsigned char *e = table + i * ENTRY;
		p->window_at = x->bytes;
		x->bytes += p->window_bytes;
		put(e, p->in, 8);
		put(e + 8, p->out, 8);
		put(e + 16, p->window_at, 8);
		put(e + 24, p->window_bytes, 4);
		put(e + 28, p->crc, 4);
		e[32] = (unsigned char)p->bits;
	}
	put(h + 8, VERSION, 4);
	put(h + 12, x->garbage, 4);
	put(h + 16, x->count, 8);
	put(h + 24, x->points[x->count].in, 8);
	put(h + 32, x->points[x->count].out, 8);
	memcpy(h + BINDING, x->binding, 64);
	checksum(h, table, (size_t)x->count * ENTRY, sum);
	memcpy(h + CHECKSUM, sum, 64);
	oq_status status = write_all(x, h, table, windows, err);
	oq_free(table);
	return status;
}
