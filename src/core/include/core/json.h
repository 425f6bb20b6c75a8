/* JSON, strictly: cJSON behind a wrapper that refuses duplicate keys, trailing text, deep nesting, invalid UTF-8,
 * embedded NUL, non-finite numbers, and (on reading) values of the wrong type. Messages give `name:line:column` or `name: path.to.key`. */
#ifndef OQ_CORE_JSON_H
#define OQ_CORE_JSON_H

#include "core/error.h"

typedef struct cJSON oq_json;

#define OQ_JSON_MAX_BYTES ((size_t)64 << 20)

/* `name` is used in messages only. Status on failure: OQ_E_MODEL unless said otherwise by the caller through oq_error. */
oq_status oq_json_parse(const char *text, size_t length, const char *name, oq_json **out, oq_error *err);
oq_status oq_json_read_file(const char *path, oq_json **out, oq_error *err);
void oq_json_free(oq_json *json);

/* Writing. Numbers print so that they read back to the same double; keys keep their order. Free the text with oq_free. */
oq_status oq_json_print(const oq_json *json, bool pretty, char **text, oq_error *err);
oq_json *oq_json_object(void); /* NULL when out of memory, as for every constructor here */
oq_json *oq_json_array(void);
/* Add to an object (key) or append to an array (key NULL); false when out of memory. `add` takes ownership of `value` in every case. */
bool oq_json_add(oq_json *parent, const char *key, oq_json *value);
bool oq_json_add_string(oq_json *parent, const char *key, const char *value); /* NULL value = null */
bool oq_json_add_number(oq_json *parent, const char *key, double value);      /* non-finite = null */
bool oq_json_add_int(oq_json *parent, const char *key, int64_t value);
bool oq_json_add_bool(oq_json *parent, const char *key, bool value);
oq_json *oq_json_add_object(oq_json *parent, const char *key);
oq_json *oq_json_add_array(oq_json *parent, const char *key);
bool oq_json_add_ints(oq_json *parent, const char *key, const int64_t *values, int count);
oq_json *oq_json_copy(const oq_json *json);

/* Reading. `oq_json_get` is NULL for an absent key. Iterate with first/next; `oq_json_key` is an element's key in its object. */
const oq_json *oq_json_get(const oq_json *object, const char *key);
const oq_json *oq_json_first(const oq_json *container);
const oq_json *oq_json_next(const oq_json *element);
const char *oq_json_key(const oq_json *element);
int oq_json_count(const oq_json *container);
bool oq_json_is_object(const oq_json *json);
bool oq_json_is_array(const oq_json *json);
bool oq_json_is_string(const oq_json *json);
bool oq_json_is_number(const oq_json *json);
bool oq_json_is_null(const oq_json *json);
const char *oq_json_string(const oq_json *json); /* NULL when not a string */
double oq_json_number(const oq_json *json);      /* NaN when not a number */
bool oq_json_is_true(const oq_json *json);

/* Typed fields of an object. `where` names the object in messages ("model.json: graph.nodes[3]").
 * need_*: absent or wrong type fails with OQ_E_MODEL. want_*: absent leaves *out as it is, wrong type fails. */
oq_status oq_json_need_string(const oq_json *object, const char *key, const char *where, const char **out, oq_error *err);
oq_status oq_json_need_int(const oq_json *object, const char *key, const char *where, int64_t *out, oq_error *err);
oq_status oq_json_need_number(const oq_json *object, const char *key, const char *where, double *out, oq_error *err);
oq_status oq_json_need_object(const oq_json *object, const char *key, const char *where, const oq_json **out, oq_error *err);
oq_status oq_json_need_array(const oq_json *object, const char *key, const char *where, const oq_json **out, oq_error *err);
oq_status oq_json_want_string(const oq_json *object, const char *key, const char *where, const char **out, oq_error *err);
oq_status oq_json_want_int(const oq_json *object, const char *key, const char *where, int64_t *out, oq_error *err);
oq_status oq_json_want_number(const oq_json *object, const char *key, const char *where, double *out, oq_error *err);
oq_status oq_json_want_bool(const oq_json *object, const char *key, const char *where, bool *out, oq_error *err);
/* Exactly `count` integers. */
oq_status oq_json_need_ints(const oq_json *object, const char *key, const char *where, int64_t *out, int count, oq_error *err);
oq_status oq_json_need_numbers(const oq_json *object, const char *key, const char *where, double *out, int count, oq_error *err);
/* Every key of `object` must be in the NULL-terminated list `known`: a typing error in an option must not be ignored. */
oq_status oq_json_only_keys(const oq_json *object, const char *const *known, const char *where, oq_error *err);

#endif
