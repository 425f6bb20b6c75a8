/* Which format a file is in: by its first bytes where they tell, by its name where they do not. */
#include "formats.h"

#include "core/mem.h"

#include <string.h>

static bool starts_with(const unsigned char *bytes, size_t count, const char *text)
{
	size_t n = strlen(text);
	return count >= n && !memcmp(bytes, text, n);
}

bool oq_name_ends(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);
	return n >= m && !strcmp(name + n - m, end);
}

bool oq_machine_is_big_endian(void)
{
	const uint16_t probe = 1;
	return *(const unsigned char *)&probe == 0;
}

static const struct {
	const char *start, *name; /* either, or NULL */
	oq_header_reader *reader;
} formats[] = {
	{"NRRD", NULL, oq_nrrd_read_header},
	{"ObjectType", NULL, oq_metaimage_read_header},
	{"NDims", NULL, oq_metaimage_read_header},
	{NULL, ".mhd", oq_metaimage_read_header},
	{NULL, ".mha", oq_metaimage_read_header},
	{NULL, ".nrrd", oq_nrrd_read_header},
	{NULL, ".nhdr", oq_nrrd_read_header},
};

oq_header_reader *oq_format_of(const unsigned char *bytes, size_t count, const char *path)
{
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (formats[i].start ? starts_with(bytes, count, formats[i].start) : oq_name_ends(path, formats[i].name))
			return formats[i].reader;
	return oq_nifti_read_header;
}

const char *oq_format_hint(const unsigned char *bytes, size_t count)
{
	static const struct {
		const char *start, *hint;
	} hints[] = {
		{"<!DOCTYPE", "; it is an HTML page, perhaps a failed download"},
		{"<!doctype", "; it is an HTML page, perhaps a failed download"},
		{"<html", "; it is an HTML page, perhaps a failed download"},
		{"<HTML", "; it is an HTML page, perhaps a failed download"},
		{"version https://git-lfs", "; it is a git-lfs pointer, the scan itself was not fetched"},
	};
	for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
		if (starts_with(bytes, count, hints[i].start))
			return hints[i].hint;
	return count >= 132 && !memcmp(bytes + 128, "DICM", 4) ? "; it is DICOM: convert it with dcm2niix" : "";
}

oq_status oq_dims_check(const char *path, const char *field, int count, const int64_t *dims, oq_volume *volume, oq_error *err)
{
	for (int i = 0; i < count; i++)
		if (dims[i] < 1)
			return oq_fail(err, OQ_E_INPUT, "E_DIMS", "%s: %s of axis %d is %lld, expected at least 1", path, field, i, (long long)dims[i]);
	size_t total;
	if (!oq_size_product(dims, count, 16, &total))
		return oq_fail(err, OQ_E_INPUT, "E_OVERFLOW", "%s: the product of its %s overflows", path, field);
	memcpy(volume->dims, dims, sizeof volume->dims);
	for (int i = 0; i < 3; i++)
		if (dims[i] == 1)
			oq_notes_add(&volume->notes, "W_THIN", "axis %d has one voxel; patches are mostly padding", i);
	return OQ_OK;
}
