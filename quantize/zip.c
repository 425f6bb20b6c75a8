#include "zip.h"

#include "core/file.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define MAX_ENTRIES 200000
#define MAX_DIRECTORY ((uint64_t)64 << 20)
#define END_BYTES 22
#define END64_BYTES 56
#define LOCATOR_BYTES 20
#define CENTRAL_BYTES 46
#define LOCAL_BYTES 30

struct oq_zip {
	char *path;
	int fd;
	uint64_t size;
	oq_arena names;
	oq_zip_entry *entries;
	const oq_zip_entry **by_name;
	int count;
};

static uint64_t little(const unsigned char *p, int bytes)
{
	uint64_t value = 0;
	for (int i = bytes - 1; i >= 0; i--)
		value = value << 8 | p[i];
	return value;
}

static oq_status bad(const oq_zip *zip, oq_error *err, const char *what)
{
	return oq_fail(err, OQ_E_MODEL, "E_ZIP", "%s: zip archive: %s", zip->path, what);
}

typedef struct directory {
	uint64_t offset, bytes, entries;
} directory;

/* Zip64: a locator before the end record points to a longer one. */
static oq_status read_end64(const oq_zip *zip, uint64_t end_offset, directory *dir, oq_error *err)
{
	unsigned char locator[LOCATOR_BYTES], end[END64_BYTES];
	if (end_offset < LOCATOR_BYTES)
		return bad(zip, err, "its zip64 locator is missing");
	OQ_TRY(oq_file_read_at(zip->fd, zip->path, locator, sizeof locator, end_offset - LOCATOR_BYTES, OQ_E_MODEL, err));
	uint64_t at = little(locator + 8, 8);
	if (memcmp(locator, "PK\6\7", 4) || zip->size < END64_BYTES || at > zip->size - END64_BYTES)
		return bad(zip, err, "its zip64 locator is missing or points outside");
	OQ_TRY(oq_file_read_at(zip->fd, zip->path, end, sizeof end, at, OQ_E_MODEL, err));
	if (memcmp(end, "PK\6\6", 4))
		return bad(zip, err, "its zip64 end record is missing");
	*dir = (directory){.entries = little(end + 32, 8), .bytes = little(end + 40, 8), .offset = little(end + 48, 8)};
	return OQ_OK;
}

static oq_status read_end(const oq_zip *zip, directory *dir, oq_error *err)
{
	unsigned char end[END_BYTES];
	if (zip->size < END_BYTES)
		return oq_fail(err, OQ_E_MODEL, "E_MODEL_TRUNCATED", "%s: has %llu bytes, expected a zip archive", zip->path, (unsigned long long)zip->size);
	/* PyTorch writes no archive comment, so the end record is the last thing in the file; a truncated copy has none. */
	uint64_t at = zip->size - END_BYTES;
	OQ_TRY(oq_file_read_at(zip->fd, zip->path, end, sizeof end, at, OQ_E_MODEL, err));
	if (memcmp(end, "PK\5\6", 4) || little(end + 20, 2))
		return oq_fail(err, OQ_E_MODEL, "E_MODEL_TRUNCATED", "%s: the end record of the zip archive is missing; the file is truncated or has something appended",
			zip->path);
	*dir = (directory){.entries = little(end + 10, 2), .bytes = little(end + 12, 4), .offset = little(end + 16, 4)};
	if (dir->entries == 0xffff || dir->bytes == 0xffffffff || dir->offset == 0xffffffff)
		OQ_TRY(read_end64(zip, at, dir, err));
	if (dir->entries > MAX_ENTRIES || dir->bytes > MAX_DIRECTORY)
		return oq_fail(err, OQ_E_MODEL, "E_ZIP", "%s: its directory has %llu entries in %llu bytes, at most %d in %llu are accepted", zip->path,
			(unsigned long long)dir->entries, (unsigned long long)dir->bytes, MAX_ENTRIES, (unsigned long long)MAX_DIRECTORY);
	if (dir->offset > zip->size || dir->bytes > zip->size - dir->offset)
		return bad(zip, err, "its directory lies outside the file");
	return OQ_OK;
}

static bool safe_name(const char *name, size_t length)
{
	if (!length || name[0] == '/' || memchr(name, 0, length) || memchr(name, '\\', length))
		return false;
	for (size_t i = 0; i + 1 < length; i++)
		if (name[i] == '.' && name[i + 1] == '.' && (i == 0 || name[i - 1] == '/') && (i + 2 == length || name[i + 2] == '/'))
			return false;
	return true;
}

/* Zip64 extra field: only those of size, compressed size, offset that are all ones in the header, in that order. */
static bool read_extra(const unsigned char *extra, size_t length, uint64_t *size, uint64_t *stored, uint64_t *offset)
{
	while (length >= 4) {
		size_t bytes = (size_t)little(extra + 2, 2);
		if (bytes > length - 4)
			return false;
		if (little(extra, 2) == 1) {
			uint64_t *const fields[3] = {size, stored, offset};
			size_t at = 4;
			for (int i = 0; i < 3; i++) {
				if (*fields[i] != 0xffffffff)
					continue;
				if (at + 8 > 4 + bytes)
					return false;
				*fields[i] = little(extra + at, 8);
				at += 8;
			}
			return true;
		}
		extra += 4 + bytes;
		length -= 4 + bytes;
	}
	return *size != 0xffffffff && *stored != 0xffffffff && *offset != 0xffffffff;
}

/* The local header must tell the same story; it also says where the data begins. */
static oq_status check_local(const oq_zip *zip, oq_zip_entry *entry, uint64_t offset, oq_error *err)
{
	unsigned char local[LOCAL_BYTES];
	size_t length = strlen(entry->name);
	if (offset > zip->size || zip->size - offset < LOCAL_BYTES)
		return bad(zip, err, "a local header lies outside the file");
	OQ_TRY(oq_file_read_at(zip->fd, zip->path, local, sizeof local, offset, OQ_E_MODEL, err));
	if (memcmp(local, "PK\3\4", 4) || little(local + 26, 2) != length || little(local + 8, 2) != 0)
		return bad(zip, err, "a local header disagrees with the directory");
	char *name = oq_alloc(length + 1);
	if (!name)
		return oq_fail_memory(err, zip->path, length);
	oq_status status = oq_file_read_at(zip->fd, zip->path, name, length, offset + LOCAL_BYTES, OQ_E_MODEL, err);
	if (status == OQ_OK && memcmp(name, entry->name, length))
		status = bad(zip, err, "a local header disagrees with the directory");
	oq_free(name);
	entry->data_offset = offset + LOCAL_BYTES + length + little(local + 28, 2);
	if (status == OQ_OK && (entry->data_offset > zip->size || entry->size > zip->size - entry->data_offset))
		status = bad(zip, err, "an entry ends behind the file");
	return status;
}

static oq_status parse_entry(oq_zip *zip, const unsigned char **at, const unsigned char *end, oq_error *err)
{
	const unsigned char *p = *at;
	if (end - p < CENTRAL_BYTES || memcmp(p, "PK\1\2", 4))
		return bad(zip, err, "its directory is damaged");
	size_t name = (size_t)little(p + 28, 2), extra = (size_t)little(p + 30, 2), comment = (size_t)little(p + 32, 2);
	if ((size_t)(end - p) - CENTRAL_BYTES < name + extra + comment || !safe_name((const char *)p + CENTRAL_BYTES, name))
		return bad(zip, err, "an entry has an unsafe or damaged name");
	uint64_t stored = little(p + 20, 4), size = little(p + 24, 4), offset = little(p + 42, 4);
	if (!read_extra(p + CENTRAL_BYTES + name, extra, &size, &stored, &offset))
		return bad(zip, err, "an entry has a damaged zip64 field");
	oq_zip_entry *entry = &zip->entries[zip->count];
	char *copy = oq_arena_alloc(&zip->names, name + 1);
	if (!copy)
		return oq_fail_memory(err, zip->path, name);
	memcpy(copy, p + CENTRAL_BYTES, name);
	*entry = (oq_zip_entry){.name = copy, .size = size, .crc = (uint32_t)little(p + 16, 4)};
	if (little(p + 10, 2) != 0 || stored != size || (little(p + 8, 2) & 1))
		return oq_fail(err, OQ_E_MODEL, "E_ZIP", "%s: entry %s is compressed or encrypted, expected it stored as PyTorch does", zip->path, entry->name);
	OQ_TRY(check_local(zip, entry, offset, err));
	zip->count++;
	*at = p + CENTRAL_BYTES + name + extra + comment;
	return OQ_OK;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(const oq_zip_entry *const *)a)->name, (*(const oq_zip_entry *const *)b)->name);
}

static oq_status index_names(oq_zip *zip, oq_error *err)
{
	for (int i = 0; i < zip->count; i++)
		zip->by_name[i] = &zip->entries[i];
	qsort(zip->by_name, (size_t)zip->count, sizeof *zip->by_name, compare_names);
	for (int i = 1; i < zip->count; i++)
		if (!strcmp(zip->by_name[i - 1]->name, zip->by_name[i]->name))
			return oq_fail(err, OQ_E_MODEL, "E_ZIP", "%s: entry %s stands twice in the archive", zip->path, zip->by_name[i]->name);
	return OQ_OK;
}

static oq_status read_directory(oq_zip *zip, oq_error *err)
{
	directory dir;
	OQ_TRY(read_end(zip, &dir, err));
	unsigned char *bytes = oq_alloc((size_t)dir.bytes);
	zip->entries = oq_calloc((size_t)dir.entries, sizeof *zip->entries);
	zip->by_name = oq_calloc((size_t)dir.entries, sizeof *zip->by_name);
	oq_status status = bytes && zip->entries && zip->by_name ? OQ_OK : oq_fail_memory(err, zip->path, (size_t)dir.bytes);
	if (status == OQ_OK)
		status = oq_file_read_at(zip->fd, zip->path, bytes, (size_t)dir.bytes, dir.offset, OQ_E_MODEL, err);
	const unsigned char *at = bytes;
	for (uint64_t i = 0; i < dir.entries && status == OQ_OK; i++)
		status = parse_entry(zip, &at, bytes + dir.bytes, err);
	oq_free(bytes);
	return status == OQ_OK ? index_names(zip, err) : status;
}

oq_status oq_zip_open(const char *path, oq_zip **out, oq_error *err)
{
	oq_zip *zip = oq_calloc(1, sizeof *zip);
	if (!zip)
		return oq_fail_memory(err, path, sizeof *zip);
	oq_status status = OQ_OK;
	zip->path = oq_strdup(path);
	zip->fd = oq_file_open(path, OQ_E_MODEL, &zip->size, err);
	if (!zip->path)
		status = oq_fail_memory(err, path, strlen(path));
	else if (zip->fd < 0)
		status = OQ_E_MODEL;
	else
		status = read_directory(zip, err);
	if (status == OQ_OK)
		*out = zip;
	else
		oq_zip_close(zip);
	return status;
}

void oq_zip_close(oq_zip *zip)
{
	if (!zip)
		return;
	if (zip->fd >= 0)
		close(zip->fd);
	oq_free(zip->path);
	oq_free(zip->entries);
	oq_free(zip->by_name);
	oq_arena_free(&zip->names);
	oq_free(zip);
}

int oq_zip_count(const oq_zip *zip)
{
	return zip->count;
}

const oq_zip_entry *oq_zip_at(const oq_zip *zip, int index)
{
	return &zip->entries[index];
}

const oq_zip_entry *oq_zip_find(const oq_zip *zip, const char *name)
{
	const oq_zip_entry key = {.name = name}, *pointer = &key;
	const oq_zip_entry *const *found = bsearch(&pointer, zip->by_name, (size_t)zip->count, sizeof *zip->by_name, compare_names);
	return found ? *found : NULL;
}

oq_status oq_zip_read(const oq_zip *zip, const oq_zip_entry *entry, void *buffer, oq_error *err)
{
	OQ_TRY(oq_file_read_at(zip->fd, zip->path, buffer, (size_t)entry->size, entry->data_offset, OQ_E_MODEL, err));
	uLong crc = crc32_z(0, buffer, (size_t)entry->size);
	if ((uint32_t)crc != entry->crc)
		return oq_fail(err, OQ_E_MODEL, "E_CHECKSUM", "%s: entry %s: its CRC-32 is %08lx, the archive says %08x", zip->path, entry->name, crc, entry->crc);
	return OQ_OK;
}
