/* MetaImage (.mhd with .raw or .zraw, .mha): the header as ITK 5.4 understands it, in LPS millimetres. Refuses text voxels, several
 * channels, slices in files of their own, intensity scales (readers differ on them), and keys that contradict each other. */
#include "affine.h"
#include "core/mem.h"
#include "formats.h"
#include "header_text.h"

#include <math.h>
#include <string.h>

typedef enum key {
	NDIMS = 0, DIM_SIZE, ELEMENT_TYPE, CHANNELS, SPACING, ELEMENT_SIZE, OFFSET, MATRIX, MSB, BINARY, COMPRESSED, COMPRESSED_SIZE, HEADER_SIZE, SLOPE,
	INTERCEPT, OBJECT, DATA_FILE, KEYS
} key;

static const struct {
	const char *name;
	key key;
} names[] = {
	{"NDims", NDIMS}, {"DimSize", DIM_SIZE}, {"ElementType", ELEMENT_TYPE}, {"ElementNumberOfChannels", CHANNELS}, {"ElementSpacing", SPACING},
	{"ElementSize", ELEMENT_SIZE}, {"Offset", OFFSET}, {"Position", OFFSET}, {"Origin", OFFSET}, {"TransformMatrix", MATRIX}, {"Orientation", MATRIX},
	{"Rotation", MATRIX}, {"ElementByteOrderMSB", MSB}, {"BinaryDataByteOrderMSB", MSB}, {"BinaryData", BINARY}, {"CompressedData", COMPRESSED},
	{"CompressedDataSize", COMPRESSED_SIZE}, {"HeaderSize", HEADER_SIZE}, {"ElementToIntensityFunctionSlope", SLOPE},
	{"ElementToIntensityFunctionOffset", INTERCEPT}, {"ObjectType", OBJECT}, {"ElementDataFile", DATA_FILE},
};

static const struct {
	const char *name;
	oq_dtype dtype;
} types[] = {
	{"MET_CHAR", OQ_I8}, {"MET_UCHAR", OQ_U8}, {"MET_SHORT", OQ_I16}, {"MET_USHORT", OQ_U16}, {"MET_INT", OQ_I32}, {"MET_UINT", OQ_U32},
	/* a MetaImage long has four bytes on every machine */
	{"MET_LONG", OQ_I32}, {"MET_ULONG", OQ_U32}, {"MET_LONG_LONG", OQ_I64}, {"MET_ULONG_LONG", OQ_U64}, {"MET_FLOAT", OQ_F32}, {"MET_DOUBLE", OQ_F64},
};

typedef struct header {
	const char *path;
	oq_header_text text;
	char *value[KEYS]; /* into the text; NULL = not given */
	const char *name[KEYS];
	oq_error *err;
} header;

static oq_status refuse_field(const header *h, key k, const char *expected)
{
	size_t row = 0;
	while (names[row].key != k)
		row++;
	return oq_fail(h->err, OQ_E_INPUT, "E_FIELD", "%s: %s is %s%.100s%s, expected %s", h->path, h->name[k] ? h->name[k] : names[row].name,
		h->value[k] ? "\"" : "", h->value[k] ? h->value[k] : "missing", h->value[k] ? "\"" : "", expected);
}

static oq_status take_line(header *h, char *line)
{
	size_t end = strcspn(line, "=:");
	if (!line[end])
		return *oq_text_trim(line) ? oq_fail(h->err, OQ_E_INPUT, "E_FIELD", "%s: a line of its header has no =, expected KEY = VALUE", h->path) : OQ_OK;
	line[end] = 0;
	const char *name = oq_text_trim(line);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i].name)) {
			key k = names[i].key;
			char *value = oq_text_trim(line + end + 1);
			if (h->value[k] && strcmp(h->value[k], value))
				return oq_fail(h->err, OQ_E_INPUT, "E_FIELD", "%s: %s and %s contradict each other", h->path, h->name[k], name);
			h->value[k] = value;
			h->name[k] = names[i].name;
		}
	return OQ_OK; /* other keys are a writer's own */
}

/* ElementDataFile is the last key: what follows it may be voxels. */
static oq_status read_keys(header *h, oq_stream *stream)
{
	char *line;
	OQ_TRY(oq_header_text_read(stream, h->path, &h->text, h->err));
	const char *start = h->text.text + strspn(h->text.text, " \t\r\n");
	if (!h->text.bytes)
		return oq_fail(h->err, OQ_E_INPUT, "E_TRUNCATED", "%s: is empty, expected a MetaImage header", h->path);
	size_t word = strcspn(start, " \t\r\n=:"); /* before the first separator there is a bare word */
	const char *after = start + word + strspn(start + word, " \t");
	if (!word || (*after != '=' && *after != ':') || *oq_format_hint((const unsigned char *)h->text.text, h->text.bytes))
		return oq_fail(h->err, OQ_E_INPUT, "E_MAGIC", "%s: is not MetaImage: its first line is not KEY = VALUE%s", h->path,
			oq_format_hint((const unsigned char *)h->text.text, h->text.bytes));
	while (!h->value[DATA_FILE]) {
		OQ_TRY(oq_header_text_line(&h->text, h->path, &line, h->err));
		if (!line)
			return oq_fail(h->err, OQ_E_INPUT, "E_TRUNCATED", "%s: its header ends without ElementDataFile", h->path);
		OQ_TRY(take_line(h, line));
	}
	return OQ_OK;
}

static oq_status read_flag(const header *h, key k, bool absent, bool *out)
{
	const char *value = h->value[k];
	*out = absent;
	if (!value)
		return OQ_OK;
	*out = !strcmp(value, "True") || !strcmp(value, "true") || !strcmp(value, "1");
	return *out || !strcmp(value, "False") || !strcmp(value, "false") || !strcmp(value, "0") ? OQ_OK : refuse_field(h, k, "True or False");
}

static oq_status check_image(const header *h, oq_volume *v, size_t *bytes)
{
	int64_t axes, channels = 1, dims[3];
	if (h->value[OBJECT] && strcmp(h->value[OBJECT], "Image"))
		return refuse_field(h, OBJECT, "Image");
	if (!h->value[NDIMS] || !oq_text_integers(h->value[NDIMS], 1, &axes))
		return refuse_field(h, NDIMS, "3");
	if (axes != 3)
		return oq_fail(h->err, OQ_E_INPUT, axes == 4 ? "E_4D" : "E_DIMS", "%s: NDims is %lld, expected a 3-D CT", h->path, (long long)axes);
	if (!h->value[DIM_SIZE] || !oq_text_integers(h->value[DIM_SIZE], 3, dims))
		return refuse_field(h, DIM_SIZE, "three whole numbers");
	OQ_TRY(oq_dims_check(h->path, "DimSize", 3, dims, v, h->err));
	if (h->value[CHANNELS] && (!oq_text_integers(h->value[CHANNELS], 1, &channels) || channels != 1))
		return oq_fail(h->err, OQ_E_INPUT, "E_DTYPE", "%s: ElementNumberOfChannels is %.40s, expected 1", h->path, h->value[CHANNELS]);
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (h->value[ELEMENT_TYPE] && !strcmp(h->value[ELEMENT_TYPE], types[i].name)) {
			v->dtype = types[i].dtype;
			return oq_size_product(dims, 3, oq_dtype_size(v->dtype), bytes) ? OQ_OK
				: oq_fail(h->err, OQ_E_INPUT, "E_OVERFLOW", "%s: the product of its DimSize overflows", h->path);
		}
	return oq_fail(h->err, OQ_E_INPUT, "E_DTYPE", "%s: ElementType is %.40s, expected a scalar integer or float", h->path,
		h->value[ELEMENT_TYPE] ? h->value[ELEMENT_TYPE] : "missing");
}

/* ITK reads the scale and does not apply it, other readers do; so only a scale that changes nothing is accepted. */
static oq_status check_scale(const header *h, oq_volume *v)
{
	double slope = 1, inter = 0;
	if (h->value[SLOPE] && !oq_text_numbers(h->value[SLOPE], 1, &slope))
		return refuse_field(h, SLOPE, "a number");
	if (h->value[INTERCEPT] && !oq_text_numbers(h->value[INTERCEPT], 1, &inter))
		return refuse_field(h, INTERCEPT, "a number");
	if (slope != 1 || inter != 0)
		return oq_fail(h->err, OQ_E_INPUT, "E_SCALE_AMBIG", "%s: ElementToIntensityFunction is %g*value%+g: readers differ on it, store HU", h->path, slope, inter);
	v->slope = 1;
	v->inter = 0;
	return OQ_OK;
}

static oq_status check_unit_rows(const header *h, const double matrix[9])
{
	for (int k = 0; k < 3; k++) {
		const double *row = matrix + 3 * k, norm = sqrt(row[0] * row[0] + row[1] * row[1] + row[2] * row[2]);
		if (!(fabs(norm - 1) <= 1e-3) && norm > 0) /* printed digits round by far less; zero rows are refused as singular */
			return oq_fail(h->err, OQ_E_INPUT, "E_AFFINE", "%s: row %d of %s has length %g, expected 1", h->path, k, h->name[MATRIX], norm);
	}
	return OQ_OK;
}

/* Row k of the matrix is the direction of image axis k; the world is LPS. */
static oq_status check_geometry(const header *h, const oq_volume_options *options, oq_volume *v)
{
	static const double to_ras[3] = {-1, -1, 1};
	double spacing[3], origin[3] = {0}, matrix[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
	key spacing_key = h->value[SPACING] ? SPACING : ELEMENT_SIZE;
	if (!h->value[spacing_key])
		return oq_fail(h->err, OQ_E_INPUT, "E_SPACING", "%s: has no ElementSpacing, expected one in mm", h->path);
	if (!oq_text_numbers(h->value[spacing_key], 3, spacing))
		return refuse_field(h, spacing_key, "three numbers");
	OQ_TRY(oq_spacing_check(h->path, h->name[spacing_key], spacing, h->err));
	if (h->value[OFFSET] && !oq_text_numbers(h->value[OFFSET], 3, origin))
		return refuse_field(h, OFFSET, "three numbers");
	if (h->value[MATRIX] && !oq_text_numbers(h->value[MATRIX], 9, matrix))
		return refuse_field(h, MATRIX, "nine numbers");
	if (!h->value[MATRIX] || !h->value[OFFSET])
		oq_notes_add(&v->notes, "W_ORIENTATION", "has no %s; ITK's default was taken", h->value[MATRIX] ? "Offset" : "TransformMatrix");
	OQ_TRY(check_unit_rows(h, matrix));
	oq_affine a;
	for (int i = 0; i < 3; i++) {
		for (int k = 0; k < 3; k++)
			a.m[i][k] = to_ras[i] * (matrix[3 * k + i] * spacing[k]) + 0.0; /* + 0.0: no negative zeros */
		a.m[i][3] = to_ras[i] * origin[i] + 0.0;
	}
	OQ_TRY(oq_affine_check(h->path, "TransformMatrix", &a, options && options->allow_shear ? &v->notes : NULL, h->err));
	memcpy(v->affine, a.m, sizeof v->affine);
	oq_affine_norms(&a, v->spacing_mm);
	return OQ_OK;
}

/* HeaderSize: bytes before the voxels in their file, or -1 for voxels at its end. */
static oq_status check_header_size(const header *h, oq_voxel_place *place)
{
	int64_t size = 0;
	if (h->value[HEADER_SIZE] && !oq_text_integers(h->value[HEADER_SIZE], 1, &size))
		return refuse_field(h, HEADER_SIZE, "a whole number");
	bool compressed = place->coding == OQ_CODING_DEFLATE, local = !place->path;
	if (size < -1 || (size == -1 && compressed) || (local && size > 0 && (uint64_t)size < h->text.at))
		return oq_fail(h->err, OQ_E_INPUT, "E_OFFSET", "%s: HeaderSize is %lld, expected %s", h->path, (long long)size,
			compressed ? "at least 0 with compressed data" : local ? "-1, 0 or a byte behind the header" : "at least -1");
	place->at_end = size == -1;
	place->offset = size > 0 ? (uint64_t)size : local ? h->text.at : 0;
	return OQ_OK;
}

static oq_status check_place(const header *h, oq_stream *stream, oq_voxel_place *place)
{
	const char *name = h->value[DATA_FILE];
	bool binary, compressed, msb;
	OQ_TRY(read_flag(h, BINARY, true, &binary));
	OQ_TRY(read_flag(h, COMPRESSED, false, &compressed));
	OQ_TRY(read_flag(h, MSB, false, &msb));
	if (!binary)
		return oq_fail(h->err, OQ_E_INPUT, "E_ENCODING", "%s: BinaryData is False: its voxels are text, expected binary", h->path);
	if (!strncmp(name, "LIST", 4) || strchr(name, '%'))
		return oq_fail(h->err, OQ_E_INPUT, "E_DATA_FILE", "%s: ElementDataFile names one file per slice, expected one file", h->path);
	if (strcmp(name, "LOCAL") && strcmp(name, "Local") && strcmp(name, "local"))
		OQ_TRY(oq_text_data_path(h->path, name, &place->path, h->err));
	place->coding = compressed ? OQ_CODING_DEFLATE : OQ_CODING_RAW;
	place->swapped = msb != oq_machine_is_big_endian();
	OQ_TRY(check_header_size(h, place));
	int64_t packed = 0;
	if (compressed && h->value[COMPRESSED_SIZE] && (!oq_text_integers(h->value[COMPRESSED_SIZE], 1, &packed) || packed < 0))
		return refuse_field(h, COMPRESSED_SIZE, "a whole number");
	uint64_t size = oq_stream_size(stream);
	if (!place->path && packed && (place->offset > size || (uint64_t)packed > size - place->offset))
		return oq_fail(h->err, OQ_E_INPUT, "E_TRUNCATED", "%s: CompressedDataSize is %lld, the file has %llu bytes there", h->path, (long long)packed,
			(unsigned long long)(place->offset > size ? 0 : size - place->offset));
	return OQ_OK;
}

static oq_status check_header(const header *h, oq_stream *stream, const oq_volume_options *options, oq_volume *volume, oq_voxel_place *place)
{
	OQ_TRY(check_image(h, volume, &place->bytes));
	OQ_TRY(check_scale(h, volume));
	OQ_TRY(check_geometry(h, options, volume));
	return check_place(h, stream, place);
}

oq_status oq_metaimage_read_header(oq_stream *stream, const char *path, const oq_volume_options *options, oq_volume *volume, oq_voxel_place *place,
	oq_error *err)
{
	header h = {.path = path, .err = err};
	oq_status status = read_keys(&h, stream);
	if (status == OQ_OK)
		status = check_header(&h, stream, options, volume, place);
	oq_header_text_free(&h.text);
	return status;
}
