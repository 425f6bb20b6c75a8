/* A pickle reader that executes nothing: it understands the containers, numbers, strings and tensors of torch.save (protocols
 * 2 to 5). Any other object becomes an inert value that can be skipped but never used; names that only an attack would carry
 * (os.system, builtins.eval, ...) are refused by name. Memory and work are bounded by the size of the input. */
#ifndef OQ_QUANTIZE_PICKLE_H
#define OQ_QUANTIZE_PICKLE_H

#include "core/dtype.h"
#include "core/mem.h"

typedef enum oq_pickle_kind {
	OQ_PICKLE_NONE, OQ_PICKLE_BOOL, OQ_PICKLE_INT, OQ_PICKLE_FLOAT, OQ_PICKLE_STRING, OQ_PICKLE_SEQUENCE, OQ_PICKLE_DICT, OQ_PICKLE_GLOBAL,
	OQ_PICKLE_STORAGE, OQ_PICKLE_TENSOR, OQ_PICKLE_OPAQUE
} oq_pickle_kind;

#define OQ_PICKLE_MAX_RANK 8

typedef struct oq_pickle_value oq_pickle_value;
struct oq_pickle_value {
	oq_pickle_kind kind;
	int64_t integer;              /* INT, BOOL; STORAGE: elements; TENSOR: offset in elements */
	double number;
	const char *text;             /* STRING; GLOBAL "module.name"; STORAGE: key of its data */
	oq_pickle_value **items;      /* SEQUENCE: items; DICT: key, value, key, value */
	size_t count, room;
	oq_dtype dtype;               /* STORAGE */
	const oq_pickle_value *storage; /* TENSOR */
	int rank;
	int64_t shape[OQ_PICKLE_MAX_RANK], stride[OQ_PICKLE_MAX_RANK];
};

/* `name` is for messages. Values live in `arena`. */
oq_status oq_pickle_parse(const void *data, size_t bytes, const char *name, oq_arena *arena, const oq_pickle_value **out, oq_error *err);
/* Value of a string key in a DICT, or NULL. */
const oq_pickle_value *oq_pickle_get(const oq_pickle_value *dict, const char *key);

#endif
