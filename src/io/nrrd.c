/* NRRD (.nrrd, .nhdr with a data file): the header as ITK 5.4 understands it. Refuses text and bzip2 voxels, slices in files of
 * their own, unknown fields, and a world that does not say where left and right are. */
#include "affine.h"
#include "core/mem.h"
#include "formats.h"
#include "header_text.h"

#include <math.h>
#include <string.h>
#include <strings.h>

typedef enum field {
	TYPE = 0, DIMENSION, SIZES, ENCODING, ENDIAN, SPACE, SPACE_DIMENSION, DIRECTIONS, ORIGIN, UNITS, DATA_FILE, BYTE_SKIP, LINE_SKIP, IGNORED, FIELDS
} field;

static const struct {
	const char *name;
	field field;
} names[] = {
	{"type", TYPE}, {"dimension", DIMENSION}, {"sizes", SIZES}, {"encoding", ENCODING}, {"endian", ENDIAN}, {"space", SPACE},
	{"space dimension", SPACE_DIMENSION}, {"space directions", DIRECTIONS}, {"space origin", ORIGIN}, {"space units", UNITS}, {"data file", DATA_FILE},
	{"datafile", DATA_FILE}, {"byte skip", BYTE_SKIP}, {"byteskip", BYTE_SKIP}, {"line skip", LINE_SKIP}, {"lineskip", LINE_SKIP},
	/* known, and without meaning for a CT in a named space */
	{"content", IGNORED}, {"number", IGNORED}, {"min", IGNORED}, {"max", IGNORED}, {"old min", IGNORED}, {"oldmin", IGNORED}, {"old max", IGNORED},
	{"oldmax", IGNORED}, {"block size", IGNORED}, {"blocksize", IGNORED}, {"sample units", IGNORED}, {"sampleunits", IGNORED}, {"spacings", IGNORED},
	{"thicknesses", IGNORED}, {"axis mins", IGNORED}, {"axismins", IGNORED}, {"axis maxs", IGNORED}, {"axismaxs", IGNORED}, {"centers", IGNORED},
	{"centerings", IGNORED}, {"labels", IGNORED}, {"units", IGNORED}, {"kinds", IGNORED}, {"measurement frame", IGNORED},
};

static const struct {
	const char *name;
	oq_dtype dtype;
} types[] = {
	{"signed char", OQ_I8}, {"char", OQ_I8}, {"int8", OQ_I8}, {"int8_t", OQ_I8}, {"uchar", OQ_U8}, {"unsigned char", OQ_U8}, {"uint8", OQ_U8},
	{"uint8_t", OQ_U8}, {"short", OQ_I16}, {"short int", OQ_I16}, {"signed short", OQ_I16}, {"signed short int", OQ_I16}, {"int16", OQ_I16},
	{"int16_t", OQ_I16}, {"ushort", OQ_U16}, {"unsigned short", OQ_U16}, {"unsigned short int", OQ_U16}, {"uint16", OQ_U16}, {"uint16_t", OQ_U16},
	{"int", OQ_I32}, {"signed int", OQ_I32}, {"int32", OQ_I32}, {"int32_t", OQ_I32}, {"uint", OQ_U32}, {"unsigned int", OQ_U32}, {"uint32", OQ_U32},
	{"uint32_t", OQ_U32}, {"longlong", OQ_I64}, {"long long", OQ_I64}, {"long long int", OQ_I64}, {"signed long long", OQ_I64},
	{"signed long long int", OQ_I64}, {"int64", OQ_I64}, {"int64_t", OQ_I64}, {"ulonglong", OQ_U64}, {"unsigned long long", OQ_U64},
	{"unsigned long long int", OQ_U64}, {"uint64", OQ_U64}, {"uint64_t", OQ_U64}, {"float", OQ_F32}, {"double", OQ_F64},
};

/* The spaces that say where a patient's left is; the factors take them to RAS. */
static const struct {
	const char *name, *longer;
	double to_ras[3];
} spaces[] = {
	{"RAS", "right-anterior-superior", {1, 1, 1}},
	{"LAS", "left-anterior-superior", {-1, 1, 1}},
	{"LPS", "left-posterior-superior", {-1, -1, 1}},
};

typedef struct header {
	const char *path;
	oq_header_text text;
	char *value[FIELDS]; /* into the text; NULL = not given */
	oq_error *err;
} header;

static oq_status refuse_field(const header *h, field f, const char *expected)
{
	size_t row = 0;
	while (names[row].field != f)
		row++;
	return oq_fail(h->err, OQ_E_INPUT, "E_FIELD", "%s: \"%s\" is %s%.100s%s, expected %s", h->path, names[row].name, h->value[f] ? "\"" : "",
		h->value[f] ? h->value[f] : "missing", h->value[f] ? "\"" : "", expected);
}

/* "field: value"; "key:=value" and "# text" belong to the writer. */
static oq_status take_line(header *h, char *line)
{
	char *colon = strchr(line, ':');
	if (line[0] == '#' || (colon && colon[1] == '='))
		return OQ_OK;
	if (!colon)
		return oq_fail(h->err, OQ_E_INPUT, "E_FIELD", "%s: a line of its header has no colon, expected \"field: value\"", h->path);
	*colon = 0;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcasecmp(line, names[i].name)) {
			field f = names[i].field;
			if (h->value[f] && f != IGNORED)
				return oq_fail(h->err, OQ_E_INPUT, "E_FIELD", "%s: \"%s\" is given twice", h->path, names[i].name);
			h->value[f] = oq_text_trim(colon + 1);
			return OQ_OK;
		}
	return oq_fail(h->err, OQ_E_INPUT, "E_FIELD", "%s: \"%.60s\" is not a field of NRRD", h->path, line);
}

/* An empty line ends the header; a detached header may also end with its file. */
static oq_status read_fields(header *h, oq_stream *stream)
{
	char *line;
	OQ_TRY(oq_header_text_read(stream, h->path, &h->text, h->err));
	if (!h->text.bytes)
		return oq_fail(h->err, OQ_E_INPUT, "E_TRUNCATED", "%s: is empty, expected a NRRD header", h->path);
	const char *start = h->text.text, *hint = oq_format_hint((const unsigned char *)start, h->text.bytes);
	bool magic = !strncmp(start, "NRRD000", 7) && start[7] >= '1' && start[7] <= '5' && (start[8] == '\n' || start[8] == '\r');
	if (!magic)
		return oq_fail(h->err, OQ_E_INPUT, "E_MAGIC", "%s: is not NRRD: its first line is not NRRD0001 to NRRD0005%s", h->path, hint);
	OQ_TRY(oq_header_text_line(&h->text, h->path, &line, h->err));
	for (;;) {
		OQ_TRY(oq_header_text_line(&h->text, h->path, &line, h->err));
		if (!line && !h->value[DATA_FILE])
			return oq_fail(h->err, OQ_E_INPUT, "E_TRUNCATED", "%s: its header ends without the empty line before the voxels", h->path);
		if (!line || !*line)
			return OQ_OK;
		OQ_TRY(take_line(h, line));
	}
}

static oq_status check_image(const header *h, oq_volume *v, size_t *bytes)
{
	int64_t axes, dims[3];
	if (!h->value[DIMENSION] || !oq_text_integers(h->value[DIMENSION], 1, &axes))
		return refuse_field(h, DIMENSION, "3");
	if (axes != 3)
		return oq_fail(h->err, OQ_E_INPUT, axes == 4 ? "E_4D" : "E_DIMS", "%s: dimension is %lld, expected a 3-D CT", h->path, (long long)axes);
	if (!h->value[SIZES] || !oq_text_integers(h->value[SIZES], 3, dims))
		return refuse_field(h, SIZES, "three whole numbers");
	OQ_TRY(oq_dims_check(h->path, "sizes", 3, dims, v, h->err));
	v->slope = 1;
	v->inter = 0;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (h->value[TYPE] && !strcasecmp(h->value[TYPE], types[i].name)) {
			v->dtype = types[i].dtype;
			return oq_size_product(dims, 3, oq_dtype_size(v->dtype), bytes) ? OQ_OK
				: oq_fail(h->err, OQ_E_INPUT, "E_OVERFLOW", "%s: the product of its sizes overflows", h->path);
		}
	return oq_fail(h->err, OQ_E_INPUT, "E_DTYPE", "%s: type is %.40s, expected a scalar integer or float", h->path, h->value[TYPE] ? h->value[TYPE] : "missing");
}

/* "(a,b,c)" at *text, blanks allowed anywhere between; moves *text behind it. */
static bool parse_vector(const char **text, double out[3])
{
	const char *at = *text + strspn(*text, " \t");
	char inside[200];
	size_t n = *at == '(' ? strcspn(at + 1, ")") : 0;
	if (!n || n >= sizeof inside || at[1 + n] != ')')
		return false;
	memcpy(inside, at + 1, n);
	inside[n] = 0;
	int commas = 0;
	for (char *c = inside; *c; c++)
		if (*c == ',') {
			*c = ' ';
			commas++;
		}
	*text = at + n + 2;
	return commas == 2 && oq_text_numbers(inside, 3, out);
}

static bool only_blanks(const char *text)
{
	return !text[strspn(text, " \t")];
}

static oq_status find_space(const header *h, const double **to_ras)
{
	const char *name = h->value[SPACE];
	for (size_t i = 0; name && i < sizeof spaces / sizeof *spaces; i++)
		if (!strcasecmp(name, spaces[i].name) || !strcasecmp(name, spaces[i].longer)) {
			*to_ras = spaces[i].to_ras;
			return OQ_OK;
		}
	return oq_fail(h->err, OQ_E_INPUT, "E_NO_ORIENTATION", "%s: space is %.60s: left and right are unknown, expected one such as left-posterior-superior", h->path,
		name ? name : "missing");
}

/* "mm" for each axis, when units are told at all. */
static oq_status check_units(const header *h)
{
	const char *at = h->value[UNITS];
	for (int i = 0; at && i < 3; i++) {
		at += strspn(at, " \t");
		if (strncmp(at, "\"mm\"", 4))
			return refuse_field(h, UNITS, "\"mm\" \"mm\" \"mm\"");
		at += 4;
	}
	return !at || only_blanks(at) ? OQ_OK : refuse_field(h, UNITS, "\"mm\" \"mm\" \"mm\"");
}

static oq_status check_geometry(const header *h, const oq_volume_options *options, oq_volume *v)
{
	const double *to_ras = NULL;
	double direction[3][3], origin[3] = {0};
	OQ_TRY(find_space(h, &to_ras));
	OQ_TRY(check_units(h));
	const char *at = h->value[DIRECTIONS];
	if (!at)
		return oq_fail(h->err, OQ_E_INPUT, "E_NO_ORIENTATION", "%s: has no space directions, expected one per axis", h->path);
	for (int k = 0; k < 3; k++)
		if (!parse_vector(&at, direction[k]))
			return refuse_field(h, DIRECTIONS, "three vectors of three numbers");
	const char *o = h->value[ORIGIN];
	if (!only_blanks(at))
		return refuse_field(h, DIRECTIONS, "three vectors of three numbers");
	if (!o)
		oq_notes_add(&v->notes, "W_ORIENTATION", "has no space origin; ITK's default, the origin of the world, was taken");
	else if (!parse_vector(&o, origin) || !only_blanks(o))
		return refuse_field(h, ORIGIN, "a vector of three numbers");
	oq_affine a;
	for (int i = 0; i < 3; i++) {
		for (int k = 0; k < 3; k++)
			a.m[i][k] = to_ras[i] * direction[k][i] + 0.0; /* + 0.0: no negative zeros */
		a.m[i][3] = to_ras[i] * origin[i] + 0.0;
	}
	OQ_TRY(oq_affine_check(h->path, "space directions", &a, options && options->allow_shear ? &v->notes : NULL, h->err));
	memcpy(v->affine, a.m, sizeof v->affine);
	oq_affine_norms(&a, v->spacing_mm);
	return oq_spacing_check(h->path, "space directions", v->spacing_mm, h->err);
}

static oq_status check_coding(const header *h, const oq_volume *v, oq_voxel_place *place)
{
	const char *coding = h->value[ENCODING], *endian = h->value[ENDIAN];
	if (!coding)
		return refuse_field(h, ENCODING, "raw or gzip");
	bool gzip = !strcasecmp(coding, "gzip") || !strcasecmp(coding, "gz");
	if (!gzip && strcasecmp(coding, "raw"))
		return oq_fail(h->err, OQ_E_INPUT, "E_ENCODING", "%s: encoding is %.40s, expected raw or gzip", h->path, coding);
	place->coding = gzip ? OQ_CODING_DEFLATE : OQ_CODING_RAW;
	if (oq_dtype_size(v->dtype) == 1)
		return OQ_OK;
	bool big = endian && !strcasecmp(endian, "big");
	if (!big && (!endian || strcasecmp(endian, "little")))
		return refuse_field(h, ENDIAN, "little or big");
	place->swapped = big != oq_machine_is_big_endian();
	return OQ_OK;
}

/* A byte skip counts decoded bytes in a gzip encoding, and bytes of the file in a raw one; -1 = the end of the file. */
static oq_status check_skips(const header *h, oq_voxel_place *place)
{
	int64_t bytes = 0, lines = 0;
	bool gzip = place->coding == OQ_CODING_DEFLATE;
	if (h->value[LINE_SKIP] && (!oq_text_integers(h->value[LINE_SKIP], 1, &lines) || lines != 0))
		return oq_fail(h->err, OQ_E_INPUT, "E_OFFSET", "%s: line skip is %.40s, expected 0 (use byte skip)", h->path, h->value[LINE_SKIP]);
	if (h->value[BYTE_SKIP] && (!oq_text_integers(h->value[BYTE_SKIP], 1, &bytes) || bytes < (gzip ? 0 : -1) || bytes > (int64_t)1 << 40))
		return oq_fail(h->err, OQ_E_INPUT, "E_OFFSET", "%s: byte skip is %.40s, expected at least %d", h->path, h->value[BYTE_SKIP], gzip ? 0 : -1);
	place->at_end = bytes == -1;
	place->offset = place->path ? 0 : h->text.at;
	if (gzip)
		place->skip = (uint64_t)bytes;
	else if (bytes > 0)
		place->offset += (uint64_t)bytes;
	return OQ_OK;
}

static oq_status check_header(const header *h, const oq_volume_options *options, oq_volume *volume, oq_voxel_place *place)
{
	const char *name = h->value[DATA_FILE];
	OQ_TRY(check_image(h, volume, &place->bytes));
	OQ_TRY(check_geometry(h, options, volume));
	OQ_TRY(check_coding(h, volume, place));
	if (name && (!strncmp(name, "LIST", 4) || strchr(name, '%')))
		return oq_fail(h->err, OQ_E_INPUT, "E_DATA_FILE", "%s: data file names one file per slice, expected one file", h->path);
	if (name)
		OQ_TRY(oq_text_data_path(h->path, name, &place->path, h->err));
	return check_skips(h, place);
}

oq_status oq_nrrd_read_header(oq_stream *stream, const char *path, const oq_volume_options *options, oq_volume *volume, oq_voxel_place *place,
	oq_error *err)
{
	header h = {.path = path, .err = err};
	oq_status status = read_fields(&h, stream);
	if (status == OQ_OK)
		status = check_header(&h, options, volume, place);
	oq_header_text_free(&h.text);
	return status;
}
