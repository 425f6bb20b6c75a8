/* cJSON behind the strict wrapper of core/json.h. */
#include "core/json.h"

#include "core/file.h"
#include "core/mem.h"
#include "json_scan.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_EXACT 9007199254740992.0 /* 2^53 */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static oq_status check_object(const cJSON *object, const char *name, oq_error *err)
{
	size_t count = (size_t)cJSON_GetArraySize(object), at = 0;
	const char **names = oq_alloc(count * sizeof *names);
	if (!names)
		return oq_fail_memory(err, name, count * sizeof *names);
	for (const cJSON *e = object->child; e; e = e->next)
		names[at++] = e->string;
	qsort(names, count, sizeof *names, compare_names);
	oq_status status = OQ_OK;
	for (size_t i = 1; i < count && status == OQ_OK; i++)
		if (!strcmp(names[i - 1], names[i]))
			status = oq_fail(err, OQ_E_MODEL, "E_JSON", "%s: the key \"%s\" stands twice in one object", name, names[i]);
	oq_free(names);
	return status;
}

/* Depth is bounded by the scan, so recursion is. */
static oq_status check_duplicates(const cJSON *json, const char *name, oq_error *err)
{
	if (cJSON_IsObject(json))
		OQ_TRY(check_object(json, name, err));
	for (const cJSON *e = json->child; e; e = e->next)
		if (e->child)
			OQ_TRY(check_duplicates(e, name, err));
	return OQ_OK;
}

oq_status oq_json_parse(const char *text, size_t length, const char *name, oq_json **out, oq_error *err)
{
	OQ_TRY(oq_json_scan(text, length, name, err));
	cJSON *json = cJSON_ParseWithLength(text, length);
	if (!json)
		return oq_fail(err, OQ_E_RESOURCE, "E_MEMORY", "%s: out of memory while parsing %zu bytes of JSON", name, length);
	oq_status status = check_duplicates(json, name, err);
	if (status == OQ_OK)
		*out = json;
	else
		cJSON_Delete(json);
	return status;
}

oq_status oq_json_read_file(const char *path, oq_json **out, oq_error *err)
{
	char *text = NULL;
	size_t length;
	OQ_TRY(oq_file_read_all(path, OQ_JSON_MAX_BYTES, OQ_E_MODEL, &text, &length, err));
	oq_status status = oq_json_parse(text, length, path, out, err);
	oq_free(text);
	return status;
}

void oq_json_free(oq_json *json)
{
	cJSON_Delete(json);
}

/* cJSON writes 15 digits where they come within a rounding of the number, and may lose its last bit so. */
static bool loses_bits(const cJSON *number)
{
	char text[32];
	double value = number->valuedouble;
	if (value == floor(value) && fabs(value) < 1e15)
		return false;
	snprintf(text, sizeof text, "%.15g", value);
	return strtod(text, NULL) != value; /* reads and writes by the same locale */
}

static bool any_loses_bits(const cJSON *json)
{
	if (cJSON_IsNumber(json))
		return loses_bits(json);
	for (const cJSON *e = json ? json->child : NULL; e; e = e->next)
		if (any_loses_bits(e))
			return true;
	return false;
}

/* Such numbers become text of as many digits, 16 or 17, as read back to the same double; false when out of memory. */
static bool spell_out(cJSON *json)
{
	char text[32];
	for (cJSON *e = json->child; e; e = e->next)
		if (!spell_out(e))
			return false;
	if (!cJSON_IsNumber(json) || !loses_bits(json))
		return true;
	snprintf(text, sizeof text, "%.16g", json->valuedouble);
	if (strtod(text, NULL) != json->valuedouble)
		snprintf(text, sizeof text, "%.17g", json->valuedouble);
	for (char *c = text; *c; c++) /* a decimal comma of the host's */
		*c = *c == ',' ? '.' : *c;
	cJSON *raw = cJSON_CreateRaw(text);
	if (!raw)
		return false;
	json->valuestring = raw->valuestring;
	json->type = cJSON_Raw | (json->type & cJSON_StringIsConst);
	raw->valuestring = NULL;
	cJSON_Delete(raw);
	return true;
}

oq_status oq_json_print(const oq_json *json, bool pretty, char **text, oq_error *err)
{
	cJSON *exact = any_loses_bits(json) ? cJSON_Duplicate(json, true) : NULL;
	bool good = !any_loses_bits(json) || (exact && spell_out(exact));
	const cJSON *source = exact ? exact : json;
	char *printed = good ? (pretty ? cJSON_Print(source) : cJSON_PrintUnformatted(source)) : NULL;
	cJSON_Delete(exact);
	if (!printed)
		return oq_fail(err, OQ_E_RESOURCE, "E_MEMORY", "JSON: out of memory while printing");
	*text = oq_strdup(printed); /* cJSON's allocator and ours need not be one */
	cJSON_free(printed);
	return *text ? OQ_OK : oq_fail_memory(err, "JSON", 0);
}

oq_json *oq_json_object(void)
{
	return cJSON_CreateObject();
}

oq_json *oq_json_array(void)
{
	return cJSON_CreateArray();
}

bool oq_json_add(oq_json *parent, const char *key, oq_json *value)
{
	if (!parent || !value || !(key ? cJSON_AddItemToObject(parent, key, value) : cJSON_AddItemToArray(parent, value))) {
		cJSON_Delete(value);
		return false;
	}
	return true;
}

bool oq_json_add_string(oq_json *parent, const char *key, const char *value)
{
	char *text = value ? oq_strdup(value) : NULL;
	if (text)
		oq_utf8_mend(text); /* the name of a file may be in any encoding */
	oq_json *item = text ? cJSON_CreateString(text) : value ? NULL : cJSON_CreateNull();
	oq_free(text);
	return oq_json_add(parent, key, item);
}

bool oq_json_add_number(oq_json *parent, const char *key, double value)
{
	return oq_json_add(parent, key, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

bool oq_json_add_int(oq_json *parent, const char *key, int64_t value)
{
	if (fabs((double)value) > MAX_EXACT)
		return false;
	return oq_json_add_number(parent, key, (double)value);
}

bool oq_json_add_bool(oq_json *parent, const char *key, bool value)
{
	return oq_json_add(parent, key, cJSON_CreateBool(value));
}

oq_json *oq_json_add_object(oq_json *parent, const char *key)
{
	oq_json *value = cJSON_CreateObject();
	return oq_json_add(parent, key, value) ? value : NULL;
}

oq_json *oq_json_add_array(oq_json *parent, const char *key)
{
	oq_json *value = cJSON_CreateArray();
	return oq_json_add(parent, key, value) ? value : NULL;
}

bool oq_json_add_ints(oq_json *parent, const char *key, const int64_t *values, int count)
{
	oq_json *array = oq_json_add_array(parent, key);
	bool good = array != NULL;
	for (int i = 0; i < count && good; i++)
		good = oq_json_add_int(array, NULL, values[i]);
	return good;
}

oq_json *oq_json_copy(const oq_json *json)
{
	return cJSON_Duplicate(json, true);
}

const oq_json *oq_json_get(const oq_json *object, const char *key)
{
	return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

const oq_json *oq_json_first(const oq_json *container)
{
	return container ? container->child : NULL;
}

const oq_json *oq_json_next(const oq_json *element)
{
	return element ? element->next : NULL;
}

const char *oq_json_key(const oq_json *element)
{
	return element ? element->string : NULL;
}

int oq_json_count(const oq_json *container)
{
	return container ? cJSON_GetArraySize(container) : 0;
}

bool oq_json_is_object(const oq_json *json)
{
	return cJSON_IsObject(json);
}

bool oq_json_is_array(const oq_json *json)
{
	return cJSON_IsArray(json);
}

bool oq_json_is_string(const oq_json *json)
{
	return cJSON_IsString(json);
}

bool oq_json_is_number(const oq_json *json)
{
	return cJSON_IsNumber(json);
}

bool oq_json_is_null(const oq_json *json)
{
	return cJSON_IsNull(json);
}

const char *oq_json_string(const oq_json *json)
{
	return cJSON_IsString(json) ? json->valuestring : NULL;
}

double oq_json_number(const oq_json *json)
{
	return cJSON_IsNumber(json) ? json->valuedouble : (double)NAN;
}

bool oq_json_is_true(const oq_json *json)
{
	return cJSON_IsTrue(json);
}

static const char *type_name(const cJSON *json)
{
	return cJSON_IsObject(json) ? "an object" : cJSON_IsArray(json) ? "an array" : cJSON_IsString(json) ? "a string"
		: cJSON_IsNumber(json) ? "a number" : cJSON_IsBool(json) ? "true or false" : "null";
}

static oq_status wrong(const cJSON *value, const char *key, const char *where, const char *expected, oq_error *err)
{
	if (!value)
		return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: field \"%s\" is missing, expected %s", where, key, expected);
	return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: field \"%s\" is %s, expected %s", where, key, type_name(value), expected);
}

static bool integral(const cJSON *value, int64_t *out)
{
	double number = cJSON_IsNumber(value) ? value->valuedouble : (double)NAN;
	if (!(fabs(number) <= MAX_EXACT) || number != floor(number))
		return false;
	*out = (int64_t)number;
	return true;
}

oq_status oq_json_need_string(const oq_json *object, const char *key, const char *where, const char **out, oq_error *err)
{
	const cJSON *value = oq_json_get(object, key);
	if (!cJSON_IsString(value))
		return wrong(value, key, where, "a string", err);
	*out = value->valuestring;
	return OQ_OK;
}

oq_status oq_json_need_int(const oq_json *object, const char *key, const char *where, int64_t *out, oq_error *err)
{
	const cJSON *value = oq_json_get(object, key);
	return integral(value, out) ? OQ_OK : wrong(value, key, where, "an integer", err);
}

oq_status oq_json_need_number(const oq_json *object, const char *key, const char *where, double *out, oq_error *err)
{
	const cJSON *value = oq_json_get(object, key);
	if (!cJSON_IsNumber(value))
		return wrong(value, key, where, "a number", err);
	*out = value->valuedouble;
	return OQ_OK;
}

oq_status oq_json_need_object(const oq_json *object, const char *key, const char *where, const oq_json **out, oq_error *err)
{
	const cJSON *value = oq_json_get(object, key);
	*out = value;
	return cJSON_IsObject(value) ? OQ_OK : wrong(value, key, where, "an object", err);
}

oq_status oq_json_need_array(const oq_json *object, const char *key, const char *where, const oq_json **out, oq_error *err)
{
	const cJSON *value = oq_json_get(object, key);
	*out = value;
	return cJSON_IsArray(value) ? OQ_OK : wrong(value, key, where, "an array", err);
}

oq_status oq_json_want_string(const oq_json *object, const char *key, const char *where, const char **out, oq_error *err)
{
	return oq_json_get(object, key) ? oq_json_need_string(object, key, where, out, err) : OQ_OK;
}

oq_status oq_json_want_int(const oq_json *object, const char *key, const char *where, int64_t *out, oq_error *err)
{
	return oq_json_get(object, key) ? oq_json_need_int(object, key, where, out, err) : OQ_OK;
}

oq_status oq_json_want_number(const oq_json *object, const char *key, const char *where, double *out, oq_error *err)
{
	return oq_json_get(object, key) ? oq_json_need_number(object, key, where, out, err) : OQ_OK;
}

oq_status oq_json_want_bool(const oq_json *object, const char *key, const char *where, bool *out, oq_error *err)
{
	const cJSON *value = oq_json_get(object, key);
	if (!value)
		return OQ_OK;
	if (!cJSON_IsBool(value))
		return wrong(value, key, where, "true or false", err);
	*out = cJSON_IsTrue(value);
	return OQ_OK;
}

oq_status oq_json_need_ints(const oq_json *object, const char *key, const char *where, int64_t *out, int count, oq_error *err)
{
	char expected[48];
	snprintf(expected, sizeof expected, "an array of %d integers", count);
	const cJSON *value = oq_json_get(object, key);
	bool good = cJSON_IsArray(value) && cJSON_GetArraySize(value) == count;
	int at = 0;
	for (const cJSON *e = good ? value->child : NULL; e && good; e = e->next)
		good = integral(e, &out[at++]);
	return good ? OQ_OK : wrong(value, key, where, expected, err);
}

oq_status oq_json_need_numbers(const oq_json *object, const char *key, const char *where, double *out, int count, oq_error *err)
{
	char expected[48];
	snprintf(expected, sizeof expected, "an array of %d numbers", count);
	const cJSON *value = oq_json_get(object, key);
	bool good = cJSON_IsArray(value) && cJSON_GetArraySize(value) == count;
	int at = 0;
	for (const cJSON *e = good ? value->child : NULL; e && good; e = e->next) {
		good = cJSON_IsNumber(e);
		out[at++] = e->valuedouble;
	}
	return good ? OQ_OK : wrong(value, key, where, expected, err);
}

oq_status oq_json_only_keys(const oq_json *object, const char *const *known, const char *where, oq_error *err)
{
	if (!cJSON_IsObject(object)) /* elements of an array have no keys */
		return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: is %s, expected an object", where, object ? type_name(object) : "missing");
	for (const cJSON *e = oq_json_first(object); e; e = e->next) {
		bool found = false;
		for (int i = 0; known[i] && !found; i++)
			found = !strcmp(known[i], e->string);
		if (!found)
			return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: field \"%s\" is unknown", where, e->string);
	}
	return OQ_OK;
}
