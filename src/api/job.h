/* A cohort run: rows, their scans, what became of each row, and the files that are written. */
#ifndef OQ_API_JOB_H
#define OQ_API_JOB_H

#include "internal.h"

#include "core/file.h"
#include "io/npy.h"
#include "io/table.h"

#define OQ_MAX_PACKAGES 64 /* in one run */

/* A row as it was asked for. A row without a code is fine so far. */
typedef struct oq_row {
	int scan;            /* index of its scan; -1 when the row could not be read */
	double seed[3];      /* as the manifest gives it (oq_coords); of a box, its centre; of a mask, unset */
	double extent[3];    /* of a box; else 0 */
	bool located;        /* `lps` is set */
	double lps[3];       /* mm */
	char code[32];
	char *message;       /* why it or its scan cannot be read */
	char *warnings;      /* codes of its scan's warnings and of its own, separated by spaces */
} oq_row;

typedef struct oq_rows {
	oq_table *table;     /* NULL with ready patches */
	oq_row *rows;
	int64_t count, failed;
	char **scans;        /* resolved paths */
	int mask_column;     /* in the table; -1 for none */
	int scan_count;
	int64_t *order;      /* rows by scan, then by row */
} oq_rows;

/* Where a manifest's scans are, and what stands for their seeds: see oq_job. Zeros: beside the manifest; coordX, coordY, coordZ. */
typedef struct oq_columns {
	const char *root, *map, *mask;
	bool boxes;
	bool scans_only; /* no seeds are needed */
} oq_columns;

/* A path of the manifest as one that can be opened; free with oq_free, NULL when out of memory. */
char *oq_path_resolve(const char *manifest, const oq_columns *columns, const char *path);
/* Manifest: header and sizes are checked, a bad row fails alone. `columns` may be NULL. */
oq_status oq_rows_read(const char *manifest, const oq_columns *columns, oq_rows *rows, oq_error *err);
/* The same as a job says it. */
oq_status oq_rows_read_job(const oq_job *job, oq_rows *rows, oq_error *err);
/* The scan of a row, as the manifest means it; messages name the row, not the path. */
oq_status oq_rows_open_scan(const oq_rows *rows, int64_t row, oq_scan **out, oq_error *err);
/* A row's seed in its scan, in LPS mm: from coordinates, the centre of its box, or a point of its mask, which is read here. */
oq_status oq_row_seed(const oq_job *job, oq_rows *rows, int64_t index, const oq_scan *scan, double lps[3], oq_error *err);
/* What the values of the slices that a patch needs say: more warnings. */
oq_status oq_warn_values(char **warnings, const oq_scan *scan, const int64_t slices[2], oq_error *err);
/* What a patch says about its row: more warnings; under job->strict they fail it. */
oq_status oq_row_judge(const oq_job *job, char **warnings, const oq_patch_report *report, oq_error *err);
/* Adds a code to a list of warnings, once; *warnings is NULL or allocated. */
oq_status oq_warn(char **warnings, const char *code, oq_error *err);
/* Point with coordinates of any kind to LPS mm. */
void oq_seed_to_lps(const oq_scan *scan, oq_coords coords, const double seed[3], double lps[3]);
/* `count` rows without a manifest, in their own order. */
oq_status oq_rows_plain(int64_t count, oq_rows *rows, oq_error *err);
/* Ready patches, or masks of the same layout: [N,1,D,H,W] or [N,D,H,W], N at least 1. Closed by the caller, also after a failure. */
oq_status oq_patches_open(const char *path, oq_npy **out, oq_error *err);
void oq_rows_free(oq_rows *rows);
/* -1 when none did; "row 3 (line 5): ..." of it, or "". */
int64_t oq_rows_first_failed(const oq_rows *rows);
void oq_rows_describe_failure(const oq_rows *rows, char text[512]);
void oq_row_describe(const oq_rows *rows, int64_t row, const char *message, char text[512]);
void oq_row_fail(oq_rows *rows, int64_t index, const oq_error *err);

/* What became of a row with one package. */
typedef struct oq_outcome {
	bool done;
	char code[32];       /* "" when it is fine */
	char *message, *warnings; /* NULL when there are none */
	double padding_fraction, seed_hu; /* NaN when there is no patch */
} oq_outcome;

/* A run of rows [first,end) of a manifest or a file of patches. */
typedef struct oq_span {
	int64_t first, end;
} oq_span;

/* One .npy that is filled row by row in any order. */
typedef struct oq_output {
	const char *path;
	oq_outfile *file;
	size_t header_bytes, row_floats;
} oq_output;
/* The header; the file of `output` is open already. */
oq_status oq_output_begin(oq_output *output, const int64_t *shape, int rank, oq_error *err);
oq_status oq_output_open(oq_output *output, const char *path, const int64_t *shape, int rank, oq_error *err);
oq_status oq_output_row(oq_output *output, int64_t row, const float *values, oq_error *err);

/* What OUTPUT.csv and OUTPUT.json say. Nothing in them depends on time, threads, lanes or interruptions. */
typedef struct oq_sidecar {
	const oq_job *job;
	const oq_rows *rows;
	oq_span span;
	const oq_outcome *outcomes; /* of rows span.first, span.first + 1, ... */
	int64_t failed;
	const oq_model *model;
	const char *kind;           /* "embeddings" or "patches" */
	const char *input_sha256;
	const char *output;
	const int64_t *shape;
	int rank;
} oq_sidecar;
/* Both files on disk, not yet in place. Those that were opened are the caller's to place and free, also after a failure. */
oq_status oq_sidecar_write(const oq_sidecar *sidecar, oq_outfile **csv, oq_outfile **json, oq_error *err);
/* What must be the same for a run to be continued: everything that decides the bytes of its results. NULL when out of memory. */
oq_json *oq_sidecar_identity(const oq_sidecar *sidecar, oq_model *const *models, int count);

#endif
