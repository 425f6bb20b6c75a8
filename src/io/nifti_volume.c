/* A NIfTI header read from a stream: which version, where its voxels lie. Refuses what nifti_header.c and nifti_geometry.c refuse. */
#include "core/mem.h"
#include "formats.h"
#include "nifti_header.h"

#include <string.h>

/* `bytes`: room for the longer header; *consumed: how much of the stream it was. */
static oq_status read_header(oq_stream *stream, const char *path, oq_nifti_header *header, size_t *consumed, oq_error *err)
{
	unsigned char bytes[OQ_NIFTI2_BYTES];
	size_t got, more = 0;
	OQ_TRY(oq_stream_read(stream, bytes, OQ_NIFTI1_BYTES, &got, err));
	/* The first field says whether the longer header follows. */
	bool longer = got == OQ_NIFTI1_BYTES && (!memcmp(bytes, "\x1c\x02\0\0", 4) || !memcmp(bytes, "\0\0\x02\x1c", 4));
	if (longer)
		OQ_TRY(oq_stream_read(stream, bytes + got, OQ_NIFTI2_BYTES - got, &more, err));
	*consumed = got + more;
	return oq_nifti_header_parse(bytes, got + more, path, header, err);
}

/* NAME.hdr -> NAME.img, or the same with .gz */
static oq_status pair_path(const char *path, char **out, oq_error *err)
{
	size_t tail = oq_name_ends(path, ".hdr.gz") ? 7 : oq_name_ends(path, ".hdr") ? 4 : 0;
	if (!tail)
		return oq_fail(err, OQ_E_INPUT, "E_MAGIC", "%s: has the magic of a .hdr/.img pair, expected a file that holds its own voxels", path);
	*out = oq_strdup(path);
	if (!*out)
		return oq_fail_memory(err, path, strlen(path));
	memcpy(*out + strlen(path) - tail, ".img", 4);
	return OQ_OK;
}

/* An announced extension that is not there or damaged does not touch the voxels; it is told and skipped. */
static oq_status note_extension(oq_stream *stream, bool swapped, uint64_t gap, oq_volume *volume, oq_error *err)
{
	unsigned char start[12] = {0};
	size_t got;
	OQ_TRY(oq_stream_read(stream, start, gap < sizeof start ? (size_t)gap : sizeof start, &got, err));
	if (got < 4 || !start[0])
		return OQ_OK;
	bool big = swapped != oq_machine_is_big_endian();
	uint32_t size = 0;
	for (size_t i = 0; i < 4; i++)
		size |= (uint32_t)start[4 + (big ? 3 - i : i)] << 8 * i;
	if (got < 12 || size < 8 || size % 16 || size > gap - 4)
		oq_notes_add(&volume->notes, "W_EXTENSION", "its header extension is missing or damaged; it was skipped");
	return OQ_OK;
}

oq_status oq_nifti_read_header(oq_stream *stream, const char *path, const oq_volume_options *options, oq_volume *volume, oq_voxel_place *place,
	oq_error *err)
{
	oq_nifti_header header;
	size_t consumed;
	int64_t which = options ? options->volume : 0, volumes;
	OQ_TRY(read_header(stream, path, &header, &consumed, err));
	if (oq_name_ends(path, ".gz") != oq_stream_is_gzip(stream))
		oq_notes_add(&volume->notes, "W_NAME", "is %s although its name says otherwise", oq_stream_is_gzip(stream) ? "gzip" : "not gzip");
	OQ_TRY(oq_nifti_check_image(&header, path, which, volume, &place->bytes, err));
	OQ_TRY(oq_nifti_check_offset(&header, path, volume, &place->offset, err));
	OQ_TRY(oq_nifti_check_geometry(&header, path, options, volume, err));
	place->swapped = header.swapped;
	if (header.pair)
		OQ_TRY(pair_path(path, &place->path, err));
	else
		OQ_TRY(note_extension(stream, header.swapped, place->offset - consumed, volume, err));
	/* The product of all dimensions was checked, so these do not overflow. */
	volumes = header.dim[0] >= 4 ? header.dim[4] : 1;
	place->offset += which ? (uint64_t)(which - 1) * place->bytes : 0;
	place->behind = which ? (uint64_t)(volumes - which) * place->bytes : 0;
	return OQ_OK;
}
