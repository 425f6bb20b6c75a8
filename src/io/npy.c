/* .npy files. The header is a Python dictionary literal; only the exact form that NumPy writes is read. */
#include "io/npy.h"

#include "core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_HEADER 65536

static const struct {
	const char *descr;
	oq_dtype dtype;
} descrs[] = {{"<f4", OQ_F32}, {"<f2", OQ_F16}, {"<f8", OQ_F64}, {"|i1", OQ_I8}, {"|u1", OQ_U8}, {"<i2", OQ_I16}, {"<u2", OQ_U16},
	{"<i4", OQ_I32}, {"<u4", OQ_U32}, {"<i8", OQ_I64}, {"<u8", OQ_U64}, {"|b1", OQ_BOOL}};

static oq_status bad(const oq_npy *npy, const char *what, oq_error *err)
{
	return oq_fail(err, OQ_E_INPUT, "E_NPY", "%s: not a usable .npy file: %s", npy->path, what);
}

/* Skips `expected`; false when the text does not begin with it. */
static bool eat(const char **at, const char *expected)
{
	size_t n = strlen(expected);
	if (strncmp(*at, expected, n))
		return false;
	*at += n;
	return true;
}

static oq_status parse_descr(oq_npy *npy, const char **at, oq_error *err)
{
	for (size_t i = 0; i < sizeof descrs / sizeof *descrs; i++)
		if (eat(at, descrs[i].descr)) {
			npy->dtype = descrs[i].dtype;
			return OQ_OK;
		}
	return bad(npy, "its element type is not a little-endian number", err);
}

static oq_status parse_shape(oq_npy *npy, const char **at, oq_error *err)
{
	while (**at != ')') {
		if (npy->rank == 8 || **at < '0' || **at > '9')
			return bad(npy, "its shape is damaged or has more than 8 axes", err);
		char *end;
		long long extent = strtoll(*at, &end, 10);
		npy->shape[npy->rank++] = extent;
		*at = end;
		if (!eat(at, ", "))
			(void)eat(at, ",");
	}
	return OQ_OK;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } */
static oq_status parse_header(oq_npy *npy, const char *text, oq_error *err)
{
	const char *at = text;
	if (!eat(&at, "{'descr': '"))
		return bad(npy, "its header is damaged", err);
	OQ_TRY(parse_descr(npy, &at, err));
	if (eat(&at, "', 'fortran_order': True"))
		return bad(npy, "it is in Fortran order, expected C order", err);
	if (!eat(&at, "', 'fortran_order': False, 'shape': ("))
		return bad(npy, "its header is damaged", err);
	OQ_TRY(parse_shape(npy, &at, err));
	return eat(&at, "), }") || eat(&at, ")}") || eat(&at, "),}") ? OQ_OK : bad(npy, "its header is damaged", err);
}

static oq_status read_header(oq_npy *npy, uint64_t size, oq_error *err)
{
	unsigned char head[12];
	if (size < sizeof head)
		return oq_fail(err, OQ_E_INPUT, "E_TRUNCATED", "%s: has %llu bytes, expected a .npy file", npy->path, (unsigned long long)size);
	OQ_TRY(oq_file_read_at(npy->fd, npy->path, head, sizeof head, 0, OQ_E_INPUT, err));
	if (memcmp(head, "\x93NUMPY", 6) || head[6] < 1 || head[6] > 3)
		return bad(npy, "its magic is missing", err);
	size_t length = head[8] | (size_t)head[9] << 8, begin = 10;
	if (head[6] > 1) {
		length |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
		begin = 12;
	}
	if (length > MAX_HEADER || length > size - begin)
		return bad(npy, "its header is longer than the file or 64 KiB", err);
	char *text = oq_alloc(length + 1);
	if (!text)
		return oq_fail_memory(err, npy->path, length);
	oq_status status = oq_file_read_at(npy->fd, npy->path, text, length, begin, OQ_E_INPUT, err);
	text[length] = 0;
	if (status == OQ_OK)
		status = parse_header(npy, text, err);
	oq_free(text);
	if (status != OQ_OK)
		return status;
	size_t bytes;
	npy->data_offset = begin + length;
	if (!oq_size_product(npy->shape, npy->rank, oq_dtype_size(npy->dtype), &bytes))
		return bad(npy, "its size overflows", err);
	npy->count = bytes / oq_dtype_size(npy->dtype);
	if (bytes != size - npy->data_offset)
		return oq_fail(err, OQ_E_INPUT, "E_TRUNCATED", "%s: holds %llu bytes of data, its header declares %zu", npy->path,
			(unsigned long long)(size - npy->data_offset), bytes);
	return OQ_OK;
}

oq_status oq_npy_open(const char *path, oq_npy **out, oq_error *err)
{
	oq_npy *npy = oq_calloc(1, sizeof *npy);
	if (!npy)
		return oq_fail_memory(err, path, sizeof *npy);
	uint64_t size = 0;
	npy->path = oq_strdup(path);
	npy->fd = oq_file_open(path, OQ_E_INPUT, &size, err);
	oq_status status = !npy->path ? oq_fail_memory(err, path, strlen(path)) : npy->fd < 0 ? OQ_E_INPUT : read_header(npy, size, err);
	if (status == OQ_OK)
		*out = npy;
	else
		oq_npy_close(npy);
	return status;
}

#define CHUNK 65536 /* elements converted at a time */

oq_status oq_npy_read_f32(const oq_npy *npy, size_t first, size_t count, float *dst, oq_error *err)
{
	size_t item = oq_dtype_size(npy->dtype);
	if (first > npy->count || count > npy->count - first)
		return oq_fail(err, OQ_E_INTERNAL, "E_NPY", "%s: elements %zu to %zu were asked for, it has %zu", npy->path, first, first + count, npy->count);
	if (npy->dtype == OQ_F32)
		return oq_file_read_at(npy->fd, npy->path, dst, count * item, npy->data_offset + first * item, OQ_E_INPUT, err);
	unsigned char *raw = oq_alloc(CHUNK * item);
	if (!raw)
		return oq_fail_memory(err, npy->path, CHUNK * item);
	oq_status status = OQ_OK;
	for (size_t at = 0; at < count && status == OQ_OK; at += CHUNK) {
		size_t some = count - at < CHUNK ? count - at : CHUNK;
		status = oq_file_read_at(npy->fd, npy->path, raw, some * item, npy->data_offset + (first + at) * item, OQ_E_INPUT, err);
		if (status == OQ_OK)
			oq_dtype_to_f32(npy->dtype, raw, some, dst + at);
	}
	oq_free(raw);
	return status;
}

void oq_npy_close(oq_npy *npy)
{
	if (!npy)
		return;
	if (npy->fd >= 0)
		close(npy->fd);
	oq_free(npy->path);
	oq_free(npy);
}

size_t oq_npy_header(const int64_t *shape, int rank, char *buffer, size_t capacity)
{
	char dict[256];
	size_t used = (size_t)snprintf(dict, sizeof dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
	for (int i = 0; i < rank && used < sizeof dict; i++)
		used += (size_t)snprintf(dict + used, sizeof dict - used, "%s%lld%s", i ? " " : "", (long long)shape[i], i + 1 < rank || rank == 1 ? "," : "");
	if (used < sizeof dict)
		used += (size_t)snprintf(dict + used, sizeof dict - used, "), }");
	size_t total = (10 + used + 1 + 63) / 64 * 64;
	if (used >= sizeof dict || total > capacity)
		return 0;
	memset(buffer, ' ', total);
	memcpy(buffer, "\x93NUMPY\x01\x00", 8);
	buffer[8] = (char)((total - 10) & 0xff);
	buffer[9] = (char)((total - 10) >> 8);
	memcpy(buffer + 10, dict, used);
	buffer[total - 1] = '\n';
	return total;
}
