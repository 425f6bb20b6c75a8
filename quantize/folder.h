/* A package in the making: a folder beside its place, put there by one rename, whole or not at all. */
#ifndef OQ_QUANTIZE_FOLDER_H
#define OQ_QUANTIZE_FOLDER_H

#include "core/json.h"

typedef struct oq_folder {
	char *output;
	char *folder; /* temporary, mode 0700 */
	char *model_path, *weights_path;
} oq_folder;

/* Only a package may be replaced by one: never a folder of somebody's files. */
oq_status oq_folder_check(const char *output, oq_error *err);
/* Checks, then makes the temporary folder. Close it in every case. */
oq_status oq_folder_open(const char *output, oq_folder *folder, oq_error *err);
oq_status oq_folder_write_model(const oq_folder *folder, const oq_json *document, oq_error *err);
oq_status oq_folder_commit(oq_folder *folder, oq_error *err);
/* Removes what was not committed. */
void oq_folder_close(oq_folder *folder);

#endif
