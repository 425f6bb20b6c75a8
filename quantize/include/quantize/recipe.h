/* Recipes: what turns an official checkpoint into a package, one JSON a model (models/NAME.json). The known ones are part of
 * the library; a user's own is given by its path. */
#ifndef OQ_QUANTIZE_RECIPE_H
#define OQ_QUANTIZE_RECIPE_H

#include "core/json.h"

typedef struct oq_recipe oq_recipe;

/* Names of the built-in recipes, NULL-terminated. */
const char *const *oq_recipe_names(void);
/* A built-in name, or a path (anything with a '/' or ending in ".json"). OQ_E_USAGE for an unknown name. */
oq_status oq_recipe_load(const char *name_or_path, oq_recipe **out, oq_error *err);
void oq_recipe_free(oq_recipe *recipe);
const oq_json *oq_recipe_json(const oq_recipe *recipe);
const char *oq_recipe_name(const oq_recipe *recipe);
const char *oq_recipe_sha256(const oq_recipe *recipe); /* of its text */
/* The init table of synthetic weights, or NULL when this model has none. */
const oq_json *oq_recipe_synthetic(const oq_recipe *recipe);

#endif
