/* What recipe.c parses out of a recipe for convert.c. */
#ifndef OQ_QUANTIZE_RECIPE_INTERNAL_H
#define OQ_QUANTIZE_RECIPE_INTERNAL_H

#include "core/mem.h"
#include "quantize/recipe.h"

#define OQ_RECIPE_MAX_PREFIXES 8

typedef struct oq_recipe_checkpoint {
	const char *nesting;                          /* NULL = flat */
	bool nesting_optional;
	const char *prefixes[OQ_RECIPE_MAX_PREFIXES]; /* accepted, the first that fits is used; "" = none */
	int prefix_count;
	const oq_json *ignore;                        /* patterns of keys (after the prefix) that are skipped */
	const char *sha256;                           /* of the one official file, or NULL */
} oq_recipe_checkpoint;

struct oq_recipe {
	oq_json *json, *synthetic;
	char sha256[65];
	const char *where;    /* for messages; in the arena */
	const char *name, *family;
	const oq_json *parameters;
	oq_recipe_checkpoint checkpoint;
	oq_arena arena;
};

/* The built-in recipes, from the generated table. */
typedef struct oq_builtin_recipe {
	const char *name, *text, *tensors; /* tensors: NULL when there are no synthetic weights */
} oq_builtin_recipe;
extern const oq_builtin_recipe oq_builtin_recipes[]; /* ends with a NULL name */

/* '*' matches any run of characters, everything else itself. */
bool oq_pattern_match(const char *pattern, const char *text);

#endif
