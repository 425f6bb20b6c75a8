/* SPDX-License-Identifier: Apache-2.0
 * OncoQuant: CT foundation models on ordinary CPUs, in low precision, with proof.
 * This is the only public header. It is in levels: 1 about, 2 packages, 3 models, 4 scans, 5 cohorts.
 * Every fallible function returns an oq_status and takes an optional `oq_error *err` last (NULL is allowed).
 * Every `_close` and `_free` accepts NULL. The library prints nothing, keeps no global state and opens no socket.
 * fork(): before the first call here, parent and children use it as they like. A child of a process that has used it calls it from a thread that the
 * child starts itself, with objects of its own, and not while the parent was in a call: its main thread would wait for OpenMP's threads, which stay behind.
 * Research use only; not a medical device. */
#ifndef ONCOQUANT_H
#define ONCOQUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define OQ_API
#else
#define OQ_API __attribute__((visibility("default")))
#endif

#define OQ_VERSION_MAJOR 0
#define OQ_VERSION_MINOR 1
#define OQ_VERSION_PATCH 0

/* The status of a call is also the exit code of the command. */
typedef enum oq_status {
	OQ_OK = 0,
	OQ_E_USAGE = 2,       /* wrong arguments or options */
	OQ_E_SOME_ROWS = 3,   /* finished, but some rows of the cohort failed */
	OQ_E_INPUT = 4,       /* no usable input: scan, manifest, patches */
	OQ_E_MODEL = 5,       /* bad package, checkpoint or recipe */
	OQ_E_GATE = 6,        /* quality gate failed */
	OQ_E_RESOURCE = 7,    /* memory, disk, permission or another I/O failure */
	OQ_E_UNSUPPORTED = 8, /* this CPU, oneDNN or precision cannot do it */
	OQ_E_INTERNAL = 9     /* a bug in OncoQuant */
} oq_status;

/* One line that names the file (or node), what is there and what was expected; `code` is a stable reason code such as "E_TRUNCATED". */
typedef struct oq_error {
	oq_status status;
	char code[32];
	char message[1024];
} oq_error;

/* ---- 1. About ------------------------------------------------------------------------------------------------------ */

/* "0.1.0" */
OQ_API const char *oq_version(void);
/* "ok", "usage", "some rows failed", ... */
OQ_API const char *oq_status_name(oq_status status);
/* JSON text about this build and processor: versions, instruction sets, threads granted. Free with oq_string_free. */
OQ_API oq_status oq_about_json(char **json, oq_error *err);
OQ_API void oq_string_free(char *text);

/* ---- 2. Packages --------------------------------------------------------------------------------------------------- */

/* The built-in recipes as a JSON array: name, title, family, embedding, preprocessing, checkpoint, licences, paper. */
OQ_API oq_status oq_recipes_json(char **json, oq_error *err);

typedef struct oq_convert_options {
	const char *model;      /* name of a built-in recipe, or path of a recipe */
	const char *checkpoint; /* official file (.pt, .pth, .torch, .safetensors), or NULL for synthetic weights */
	uint64_t seed;          /* of synthetic weights; ignored with a checkpoint */
	const char *output;     /* package directory; an older package there is replaced, anything else refused */
} oq_convert_options;
/* Writes a package. Nothing in a checkpoint is ever executed. OQ_E_MODEL names missing, extra and misshaped tensors. */
OQ_API oq_status oq_convert(const oq_convert_options *options, oq_error *err);

/* ---- 3. Models and sessions ---------------------------------------------------------------------------------------- */

typedef struct oq_model oq_model;     /* immutable; may be shared by threads */
typedef struct oq_session oq_session; /* one thread at a time; runs many patches in parallel inside */

/* Of the products (convolutions, linear layers). Norms, attention and sums are float32 throughout. */
typedef enum oq_precision {
	OQ_PRECISION_PACKAGE = 0, /* what the package was made for: float32 when it came from a checkpoint */
	OQ_PRECISION_F32,
	OQ_PRECISION_BF16,        /* bfloat16 where the processor multiplies it natively, else float32 */
	OQ_PRECISION_F16,         /* weights rounded to float16; float32 arithmetic */
	OQ_PRECISION_INT8         /* packages made by oq_quantize only */
} oq_precision;

/* How convolutions are computed (docs/performance.md has the rule by layer). Of float32 ones bits differ between the choices, by about 1e-6; of 8-bit ones,
 * exact integer Winograd unless DIRECT, the integer sums are the same. */
typedef enum oq_convolution {
	OQ_CONVOLUTION_AUTO = 0, /* the fastest that keeps float32's accuracy: WINOGRAD4 */
	OQ_CONVOLUTION_DIRECT,   /* no Winograd: the least memory */
	OQ_CONVOLUTION_WINOGRAD, /* F(2x2x2, 3x3x3) where it fits: 2.4 times the memory for such weights */
	OQ_CONVOLUTION_WINOGRAD4 /* F(4x4x4, 3x3x3) on maps of 12^3 and more, 8 times the memory; F(2x2x2) on smaller ones */
} oq_convolution;

typedef struct oq_model_options {
	int threads_per_patch;  /* 0 or 1: each patch in one thread, patches in parallel; more: these threads share every patch */
	oq_precision precision;
	bool strict_precision;  /* refuse (OQ_E_UNSUPPORTED) instead of computing in float32 */
	oq_convolution convolution;
} oq_model_options;
/* "f32", "bf16", "f16", "int8", "package" */
OQ_API const char *oq_precision_name(oq_precision precision);
/* "auto", "direct", "winograd", "winograd4" */
OQ_API const char *oq_convolution_name(oq_convolution convolution);

/* Reads, checks (every tensor's hash), folds, packs and plans. `options` may be NULL. */
OQ_API oq_status oq_model_open(const char *package, const oq_model_options *options, oq_model **out, oq_error *err);
OQ_API void oq_model_close(oq_model *model);
/* JSON text: name, preprocessing, graph summary, provenance, memory, SHA-256 of the package, oneDNN and instruction set. */
OQ_API oq_status oq_model_json(const oq_model *model, char **json, oq_error *err);
OQ_API int64_t oq_model_embedding_size(const oq_model *model);
/* [C,D,H,W] of one patch. */
OQ_API void oq_model_patch_shape(const oq_model *model, int64_t shape[4]);

/* `lanes`: patches computed at the same time, at least 1. */
OQ_API oq_status oq_session_open(const oq_model *model, int lanes, oq_session **out, oq_error *err);
OQ_API void oq_session_close(oq_session *session);
/* patches [count][C][D][H][W] -> embeddings [count][embedding size], float32. The same patch gives the same bits in any
 * session, lane, order and number of threads. OQ_E_INPUT (E_NONFINITE) when a value of a patch is no finite number. */
OQ_API oq_status oq_session_run(oq_session *session, const float *patches, int64_t count, float *embeddings, oq_error *err);
/* Times every step of the plan from now on (on) or not; first measures, in some milliseconds, what this processor does at most. */
OQ_API void oq_session_profile(oq_session *session, bool on);
/* JSON array of the plan's steps: name, op, implementation, precision, ms (mean, while profiled), gflop, bytes; of products, once
 * profiled, peak_gflops: what the threads of a patch can do in that precision, measured by a loop in registers. */
OQ_API oq_status oq_session_steps_json(const oq_session *session, char **json, oq_error *err);

/* ---- 4. Scans ------------------------------------------------------------------------------------------------------ */

typedef struct oq_scan oq_scan; /* immutable; may be shared by threads */

typedef enum oq_geometry { OQ_GEOMETRY_AS_ITK = 0, OQ_GEOMETRY_AS_NIBABEL = 1, OQ_GEOMETRY_AS_STRICT = 2 } oq_geometry;
/* At the border of a scan the reference pads both sides alike, so that the seed leaves the middle of its patch; centred is exact, and pads where
 * the scan ends. */
typedef enum oq_resampling { OQ_RESAMPLING_REFERENCE = 0, OQ_RESAMPLING_EXACT = 1, OQ_RESAMPLING_CENTRED = 2 } oq_resampling;

/* Zeros refuse whatever readers disagree on. */
typedef struct oq_scan_options {
	oq_geometry geometry;    /* which of two conflicting transforms of a NIfTI header to follow; strict refuses */
	int64_t volume;          /* of a 4-D NIfTI file, from 1; 0: files of several volumes are refused */
	bool nonfinite_as_air;   /* NaN and infinite voxels become -1024 HU, counted in a warning; else refused */
	bool assume_orientation; /* NIfTI without qform and sform: ITK's guess, with a warning; else refused */
	bool allow_shear;        /* tilted gantries: resampled through the full affine, with a warning; else refused */
	bool dicom;              /* a folder is a DICOM series, which the command dcm2niix converts in a process of its own */
	const char *name;        /* what messages call the scan instead of its path; or NULL */
	const char *index_dir;   /* of oq_index_scans, oq_embed and oq_extract: folder of the indexes of packed scans; NULL: beside each scan */
} oq_scan_options;

/* NIfTI-1 and -2 (.nii, .nii.gz, .hdr/.img), MetaImage (.mhd, .mha), NRRD (.nrrd, .nhdr). OQ_E_INPUT with a reason code (docs/formats.md).
 * Reads and judges the whole scan; a cohort run reads what its patches need. */
OQ_API oq_status oq_scan_open(const char *path, const oq_scan_options *options, oq_scan **out, oq_error *err);
OQ_API void oq_scan_close(oq_scan *scan);
/* JSON text: size, spacing, orientation, type, HU range, warnings; with a seed also where it lands. `seed_lps_mm` may be NULL. */
OQ_API oq_status oq_scan_json(const oq_scan *scan, const double seed_lps_mm[3], char **json, oq_error *err);

typedef struct oq_patch_report {
	double padding_fraction; /* share of voxels outside the scan */
	double seed_hu;          /* HU at the seed; NaN when it lies outside */
	int64_t grid_index[3];   /* of the seed in the resampled grid, R,A,S */
} oq_patch_report;
/* The model's patch around a seed (LPS+ mm) into `patch` [C][D][H][W]. `report` may be NULL. */
OQ_API oq_status oq_scan_patch(const oq_scan *scan, const oq_model *model, const double seed_lps_mm[3], oq_resampling resampling, float *patch,
	oq_patch_report *report, oq_error *err);
/* Axial, coronal and sagittal plane through a seed with a box of `box_mm` around it, as PNG. */
OQ_API oq_status oq_scan_png(const oq_scan *scan, const double seed_lps_mm[3], const double box_mm[3], const char *path, oq_error *err);

/* ---- 5. Cohorts ---------------------------------------------------------------------------------------------------- */

/* What a manifest's coordX, coordY, coordZ mean. */
typedef enum oq_coords {
	OQ_COORDS_LPS = 0, /* millimetres, as ITK, DICOM and the benchmark's tables */
	OQ_COORDS_RAS,     /* millimetres, as NIfTI tools */
	OQ_COORDS_VOXEL    /* index of the file's own axes, from 0, may be fractional */
} oq_coords;

/* Which point of a label mask is the seed. */
typedef enum oq_mask_point { OQ_MASK_CENTROID = 0, OQ_MASK_BOX_CENTRE } oq_mask_point;

typedef struct oq_job {
	const char *manifest;         /* CSV or JSON lines: image_path, coordX, coordY, coordZ (LPS mm) and any other columns; or NULL */
	oq_coords coords;             /* of the manifest */
	const char *root;             /* folder of the manifest's relative paths; NULL: the manifest's own */
	const char *path_map;         /* "OLD=NEW": paths that begin with OLD begin with NEW instead; or NULL */
	const char *mask_column;      /* column of label masks whose point is the seed, instead of coordX, coordY, coordZ; or NULL */
	int64_t mask_label;           /* 0: the only label of the mask */
	oq_mask_point mask_point;
	bool boxes;                   /* the seed is the centre of minX, minY, minZ, maxX, maxY, maxZ, instead of coordX, coordY, coordZ */
	bool strict;                  /* a row with a warning fails */
	bool log_paths;               /* messages name scans by their paths, which can hold names of patients; else by their row */
	const char *patches;          /* .npy [N,1,D,H,W] or [N,D,H,W] float; or NULL */
	const char *const *packages;  /* one or several */
	const char *const *outputs;   /* a .npy path for each package; its .csv and .json are written beside it */
	int package_count;
	int threads;                  /* 0 = processors granted */
	oq_resampling resampling;
	oq_scan_options scan;
	oq_precision precision;       /* of every package */
	bool strict_precision;
	oq_convolution convolution;
	bool allow_uncertified;       /* quantised packages without valid evidence for this class of processor, which are refused otherwise (OQ_E_GATE) */
	bool resume;                  /* continue an unfinished run of the same job; without one, begin */
	int64_t shard_index, shard_count; /* only rows of part 1..shard_count of the cohort; 0: all. oq_merge puts the parts together */
	uint64_t max_memory;          /* bytes; 0: what control group and machine grant. Fewer rows run side by side when it is short of memory */
	void (*progress)(void *context, int64_t done, int64_t total); /* may be NULL; called from one thread at a time */
	void *context;
	const volatile int *cancel;   /* may be NULL; a value other than 0 ends the job after the rows in work; it can be resumed */
} oq_job;

typedef struct oq_job_summary {
	int64_t rows, failed; /* with any package */
	int64_t resumed;      /* of the rows, taken over from an earlier run */
	int lanes;            /* rows computed side by side */
	int64_t indexed, unfit; /* scans that were read by their index; that had one which did not fit (they were decoded whole) */
	char first_failure[512]; /* "row 3 (line 5): ..." */
	double seconds;
} oq_job_summary;

/* Embeddings of every row, in row order: OUTPUT.npy [rows, embedding size] float32 (rows that failed are NaN), OUTPUT.csv
 * (every input column, then status, code, message, warnings, padding_fraction, seed_hu) and OUTPUT.json (provenance). Each scan
 * is decoded once for all its rows and all packages; packages of the same spacing share the resampled region. OQ_E_SOME_ROWS when some rows
 * failed, OQ_E_INPUT when all did (then no output is written). An unfinished run leaves OUTPUT.npy.part and OUTPUT.npy.journal, which
 * `resume` continues, to the same bytes as a run that was not disturbed, and which are refused without it (E_JOURNAL). Two runs of one
 * output at a time: the second is refused (E_LOCKED). docs/cohorts.md has it in full. `summary` may be NULL. */
OQ_API oq_status oq_embed(const oq_job *job, oq_job_summary *summary, oq_error *err);
typedef struct oq_dataset_options {
	const char *recipe;           /* datasets/NAME.json */
	const char *const *tables;    /* its published tables, CSV, 1 to 16, put together in this order */
	int table_count;
	const char *output;           /* the manifest */
	bool only_present;            /* leave out rows whose scan is not there: by root and path_map, as in oq_job */
	const char *root, *path_map;
	int folds;                    /* of oq_fold; 0 = 5 */
} oq_dataset_options;
/* A manifest with the endpoint (oq_label), the patient (oq_group) and a fold that no patient straddles (oq_fold), a pure function of the group's
 * name. `json` (free with oq_string_free; may be NULL): what was written and left out, beside what the benchmark had. */
OQ_API oq_status oq_dataset(const oq_dataset_options *options, char **json, oq_error *err);

/* What oq_embed would make of a manifest, without any network: JSON (free with oq_string_free) about every scan, and about every row where its
 * seed lands, the HU there, the share of padding for each package (there may be none), its warnings or why it would fail. Outputs are not used.
 * OQ_E_SOME_ROWS when some rows would fail, OQ_E_INPUT when all would; `json` is then filled all the same. */
OQ_API oq_status oq_inspect_manifest(const oq_job *job, oq_job_summary *summary, char **json, oq_error *err);
/* The patches themselves, [rows,1,D,H,W], with the same companions. Needs a manifest. */
OQ_API oq_status oq_extract(const oq_job *job, oq_job_summary *summary, oq_error *err);

/* Indexes of packed scans, by which oq_embed and oq_extract read only what their patches need of a scan: of `scans`, or of those of job->manifest (only its
 * image_path is looked at). Used of the job are manifest, root, path_map, log_paths, threads, scan, progress, context and cancel. A good index is kept;
 * scans that are raw or small need none. OQ_E_SOME_ROWS when some scans failed, OQ_E_INPUT when all did. `json` (free with oq_string_free; may be NULL):
 * how many of which, and every failure. An index holds parts of its scan (docs/formats.md). */
OQ_API oq_status oq_index_scans(const oq_job *job, const char *const *scans, int64_t count, char **json, oq_error *err);

/* All shards of one cohort and package (.npy, .csv and .json each; in any order) -> what one run would have written, byte for byte. OQ_E_INPUT
 * (E_SHARDS) when one is missing, twice there, or made by another job or processor. OQ_E_SOME_ROWS and OQ_E_INPUT as oq_embed. */
OQ_API oq_status oq_merge(const char *output, const char *const *shards, int count, oq_job_summary *summary, oq_error *err);

/* ---- 6. Quantisation ----------------------------------------------------------------------------------------------- */

typedef struct oq_quantize_options {
	const char *package, *output; /* a float32 package; the package to write */
	oq_precision precision;       /* OQ_PRECISION_INT8, OQ_PRECISION_BF16, OQ_PRECISION_F16 */
	const char *manifest;         /* the calibration patches, needed for int8, of use to bf16: a manifest ... */
	const char *patches;          /* ... or ready ones, .npy [N,1,D,H,W] */
	int weight_bits;              /* int8: 8 (0 = 8), or 7: faster on processors without an 8-bit dot product */
	double speed_share;           /* int8: what layers kept in float (bfloat16 where native) may cost of the speed: 0 = none, 0.1 = 10 % */
	bool nearest;                 /* int8: round each weight to the nearest code, without regard to the calibration data */
	bool equalise;                /* int8: scale channels between layers so that they share the codes more evenly */
	bool migrate;                 /* int8: scale channels between layer norms and the linear layers behind them, where that is measured to help */
	bool wide_codebook;           /* int8: a codebook (CT-CLIP) stays in float32 instead of 8 bits with a scale per row */
	int threads;                  /* 0 = processors granted */
	void (*progress)(void *context, const char *stage, int64_t done, int64_t total); /* may be NULL; from one thread at a time */
	void *context;
	const volatile int *cancel;   /* may be NULL; what the search had measured stays in OUTPUT.state, and the next run goes on from it */
} oq_quantize_options;
/* Writes a smaller package; the same input gives the same bytes. `report` (free with oq_string_free; may be NULL) is JSON: per layer its precision,
 * the errors of its input and weights, what keeping it alone would gain. OQ_E_INPUT when no calibration patch can be used. */
OQ_API oq_status oq_quantize(const oq_quantize_options *options, char **report, oq_error *err);

/* ---- 7. Fidelity --------------------------------------------------------------------------------------------------- */

typedef struct oq_compare_options {
	const char *reference, *candidate; /* .npy [rows, size] of the same patches */
	const char *retest;  /* reference embeddings of a second scan of the same rows, or NULL */
	const char *jitter;  /* reference embeddings of moved seeds, a multiple of the rows, draw after draw, or NULL */
	const char *labels;  /* CSV with columns y or y_... (0 or 1), time with event, and perhaps patient, rows in the same order; or NULL */
	const char *gate;    /* JSON of limits, or NULL */
	bool strict;         /* the limits for bfloat16 and float16 instead of those for int8 */
	int threads;         /* 0 = processors granted */
} oq_compare_options;
/* May the candidate stand in for the reference? OQ_OK when it may; OQ_E_GATE when a figure is beyond its limit, or too little is known; `json`
 * (free with oq_string_free; may be NULL) is then filled all the same. docs/fidelity.md has the figures. */
OQ_API oq_status oq_compare(const oq_compare_options *options, char **json, oq_error *err);

typedef struct oq_similarity_options {
	const char *const *embeddings; /* .npy [rows, size] of the same patches; sizes may differ */
	int count;                     /* 2 to 64 */
	const char *output;            /* existing folder for similarity.json and a .csv and .svg per measure; or NULL */
	int threads;                   /* 0 = processors granted */
} oq_similarity_options;
/* Mutual neighbours, linear and debiased CKA, RSA and the Procrustes angle of every pair. `json` (free with oq_string_free) may be NULL. */
OQ_API oq_status oq_similarity_files(const oq_similarity_options *options, char **json, oq_error *err);

typedef struct oq_robustness_options {
	const char *test, *retest; /* .npy [rows, size]; the retest has the same rows, or several times, block after block */
	const char *csv;           /* the figures of every dimension; or NULL */
	int threads;               /* 0 = processors granted */
} oq_robustness_options;
/* Cosines, identification, discriminability, ICC, concordance, Bland-Altman (docs/robustness.md). Rows that failed in either are left out
 * and counted. `json` (free with oq_string_free) may be NULL. */
OQ_API oq_status oq_robustness(const oq_robustness_options *options, char **json, oq_error *err);

typedef struct oq_jitter_options {
	const char *manifest, *output; /* CSV in, CSV out: every column, and oq_row, oq_draw, oq_shift_mm */
	double radius_mm;              /* of the ball that seeds are moved in, evenly */
	int draws;                     /* rows of the output: draws times those of the manifest, draw after draw */
	uint64_t seed;
} oq_jitter_options;
/* A manifest of moved seeds: a pure function of seed, row and draw. */
OQ_API oq_status oq_jitter(const oq_jitter_options *options, oq_error *err);

typedef enum oq_negative_control { OQ_NEGATIVE_NONE = 0, OQ_NEGATIVE_SHUFFLED, OQ_NEGATIVE_SAMPLED } oq_negative_control;

typedef struct oq_perturb_options {
	const char *patches, *output; /* .npy [N,1,D,H,W] or [N,D,H,W]; of the output a record is written beside it, .json */
	bool own_units;               /* noise and offset are in the patches' own units, nothing is clipped; else in HU, by the patches' record */
	double noise_sd, offset;      /* 0: none */
	double blur_voxels;           /* sigma of a Gaussian; 0: none */
	double resample_factor;       /* to voxels this much larger and back; 0: none */
	oq_negative_control control;  /* voxels of the lesion (or of all else: `outside`) shuffled, or drawn from themselves */
	bool outside;
	const char *mask;             /* .npy of the patches' size, above 0 in the lesion; or NULL, with ... */
	double radius_voxels;         /* ... a ball around the centre instead */
	uint64_t seed;                /* a control uses its lower 32 bits */
} oq_perturb_options;
OQ_API oq_status oq_perturb(const oq_perturb_options *options, oq_error *err);

typedef enum oq_saliency_variant {
	OQ_SALIENCY_VARIANT_REFERENCE = 0,  /* 1 - cosine of the mean embedding of a voxel's windows, as the benchmark has it */
	OQ_SALIENCY_VARIANT_MEAN_OF_COSINES /* the mean of 1 - cosine */
} oq_saliency_variant;

typedef struct oq_saliency_options {
	oq_job job;                     /* one package; a manifest or patches, or neither with `scan`; outputs are not looked at, progress counts windows */
	const char *scan;               /* one scan and a seed as job.coords says, instead of a manifest; or NULL */
	double seed[3];
	const char *output;             /* existing folder */
	const char *compare;            /* another package of the same patches, or NULL; ... */
	oq_precision compare_precision; /* ... with NULL and a precision: the same package in that one */
	const char *mask;               /* the lesion, above 0: an image for a scan, .npy of the patches' shape for patches; or NULL. Manifests have theirs
	                                   in job.mask_column or a column mask_path */
	double box_mm;                  /* without a mask: edge of a cube around the seed; 0 = 20 */
	int window_voxels;              /* edge of an occlusion; 0 = 12, the reference's */
	oq_saliency_variant variant;
	bool whole_passes;              /* do not reuse what an occlusion leaves as it was: slower, less memory, the same map */
} oq_saliency_options;
/* Which voxels of a patch move its embedding: occlusion sensitivity. Writes maps.npy [rows,1,D,H,W], saliency.json and saliency.csv, and for rows with
 * a scan NNNN.nii.gz (the map in the scan's own space) and NNNN.png. A row that fails is reported and NaN (OQ_E_SOME_ROWS); OQ_E_INPUT when all
 * do. `json` (free with oq_string_free) is saliency.json; may be NULL. docs/saliency.md has the formulas. */
OQ_API oq_status oq_saliency(const oq_saliency_options *options, char **json, oq_error *err);

typedef struct oq_certify_options {
	const char *reference, *candidate; /* the float32 package, and the quantised one that was made from it */
	const char *manifest;              /* test seeds; rows that calibration saw are refused */
	const char *gate;                  /* JSON of limits, or NULL */
	const char *labels;                /* CSV of endpoints as for oq_compare, rows in the manifest's order (the manifest itself may be one); or NULL */
	oq_convolution convolution;        /* of the candidate, as it is going to be run: the evidence speaks of nothing else ... */
	bool strict_precision;             /* ... nor of another choice here */
	double jitter_mm;                  /* radius in which seeds are moved as the yardstick; 0 = 3 */
	int draws;                         /* moved seeds per row; 0 = 2 */
	int64_t search;                    /* evaluations of the search for the worst change of a test patch; 0: none */
	int64_t saliency;                  /* test patches whose occlusion maps are compared (125 runs of both networks each); 0: none */
	int threads;                       /* 0 = processors granted */
	void (*progress)(void *context, const char *stage, int64_t done, int64_t total); /* may be NULL; from one thread at a time */
	void *context;
	const volatile int *cancel;        /* may be NULL */
} oq_certify_options;
/* Runs the whole gate on this machine and writes evidence.json and evidence.html into the candidate's folder, whatever the verdict.
 * Returns as oq_compare does. `json` (free with oq_string_free) is the evidence; may be NULL. */
OQ_API oq_status oq_certify(const oq_certify_options *options, char **json, oq_error *err);

/* ---- 8. Evaluation ------------------------------------------------------------------------------------------------- */

typedef enum oq_probe {
	OQ_PROBE_KNN = 0,
	OQ_PROBE_LINEAR,    /* logistic regression */
	OQ_PROBE_FEW_SHOT,  /* kNN on a few rows of each class */
	OQ_PROBE_ALIGNMENT, /* ensemble of kNN models, weighted by their common neighbours */
	OQ_PROBE_STACKING   /* ensemble of kNN models, stacked by a logistic regression; two classes */
} oq_probe;
typedef enum oq_protocol {
	OQ_PROTOCOL_STRICT = 0, /* patients on one side, repeated folds, intervals that count the cases */
	OQ_PROTOCOL_PAPER       /* the reference benchmark's, choice by choice, to reproduce its figures */
} oq_protocol;

typedef struct oq_evaluate_options {
	oq_probe probe;
	oq_protocol protocol;
	const char *const *embeddings; /* .npy [rows, size], or .csv of numbers; the same rows in each */
	int count;                     /* 1 to 32 */
	const char *labels;            /* CSV; NULL: the .csv that lies beside the first embeddings */
	const char *label;             /* its column with the endpoint; NULL: "y". 2 to 32 values; the larger of two is positive */
	const char *patient;           /* column of the patient, or NULL: every row another */
	const char *split;             /* column that says train, val or test, or NULL */
	const char *id;                /* column that joins labels and embeddings (their .csv), or NULL: by row */
	const char *splits, *write_splits; /* JSON to read, to write; or NULL */
	const char *scores;            /* CSV to write: every test row's scores; or NULL */
	const char *output;            /* JSON to write: the result; or NULL */
	int folds, repeats;            /* strict; 0 = 5 and 5 */
	uint64_t seed;                 /* strict */
	int most_neighbours;           /* kNN: k is chosen from 1 to this; 0 = 50 */
	int shots;                     /* few-shot: rows of each class; 0 = 1, 5 and 10 in turn */
	double c;                      /* linear: C of the regression; 0 = by the protocol */
	int threads;                   /* 0 = processors granted */
} oq_evaluate_options;
/* How well the embeddings tell classes apart (docs/evaluation.md). Rows without embedding or label are left out and counted. `json` (free with
 * oq_string_free; may be NULL) is the document "oncoquant-evaluate". */
OQ_API oq_status oq_evaluate(const oq_evaluate_options *options, char **json, oq_error *err);

typedef struct oq_survival_options {
	const char *labels;             /* CSV */
	const char *time, *event;       /* its columns: time to the event or to the end of follow-up, and 1 or 0 (censored) */
	const char *patient;            /* column of the patient, or NULL: every row another */
	const char *const *scores;      /* columns with scores: a higher one, an earlier event */
	int score_count;
	const char *const *embeddings;  /* .npy, rows as in the labels: a ridge Cox probe on grouped folds makes a score of each */
	int embedding_count;            /* with score_count 1 to 16 */
	const char *group;              /* column of up to 8 groups to draw; NULL: halves of the first score */
	const char *output;             /* existing folder for survival.json, survival.csv and survival.svg; or NULL */
	double horizon;                 /* Uno's concordance up to this time; 0: all */
	int folds, repeats;             /* of the probe; 0 = 5 and 5 */
	int resamples;                  /* of patients, for intervals; 0 = 1000 */
	uint64_t seed;
	int threads;                    /* 0 = processors granted */
} oq_survival_options;
/* Time to an event: Harrell's and Uno's concordance with intervals, differences to the first score, Cox, Kaplan-Meier, log-rank
 * (docs/evaluation.md). `json` (free with oq_string_free; may be NULL) is the document "oncoquant-survival". */
OQ_API oq_status oq_evaluate_survival(const oq_survival_options *options, char **json, oq_error *err);

/* ---- 9. Report ----------------------------------------------------------------------------------------------------- */

typedef struct oq_report_options {
	const char *const *inputs; /* JSON files of evaluate, survival, similarity, robustness, compare, certify, bench, saliency; or folders to look for them in */
	int count;
	const char *title;         /* NULL: "Imaging networks on this cohort" */
	const char *output;        /* .html */
	double gco2_per_kwh;       /* of the electricity, to tell energy as grams of CO2 equivalents; 0: not told */
	const char *gco2_source;   /* where that figure is from; told beside it. Both or neither */
} oq_report_options;
/* One self-contained page. A file that is none of these documents is OQ_E_INPUT (E_FORMAT) when it was named, and counted in the page when it was found
 * in a folder. Pictures of saliency documents are taken from beside them. */
OQ_API oq_status oq_report_write(const oq_report_options *options, oq_error *err);

/* ---- 10. Energy ----------------------------------------------------------------------------------------------------- */

typedef struct oq_energy_options {
	const char *powercap; /* Linux's tree of counters (RAPL); NULL: "/sys/class/powercap" */
	const char *perf;     /* performance events, taken when that tree does not tell and to check it by; NULL: "/sys/bus/event_source/devices/power" */
	const char *system;   /* below it proc/stat (other load), proc/cpuinfo and sys/devices/system/cpu (the machine's state) are read; NULL: "" */
	double tdp_watts;     /* thermal design power of all processors together, to estimate from and to judge by; 0: not known */
	int threads;          /* that the work uses */
} oq_energy_options;
#define OQ_ENERGY_SUBJECTS 8
#define OQ_ENERGY_IDLE (-1)

typedef struct oq_energy oq_energy; /* one thread at a time */
/* Succeeds without counters, too: oq_energy_json then says why there are none. */
OQ_API oq_status oq_energy_open(const oq_energy_options *options, oq_energy **out, oq_error *err);
OQ_API void oq_energy_close(oq_energy *energy);
/* Whether anything is counted; without, there is nothing to wait for. */
OQ_API bool oq_energy_counts(const oq_energy *energy);
/* A turn from begin to end: of the idle machine, or of a subject (0 to 7), which computed `patches` in it; up to 64 of each, a second or longer, the
 * subjects alternating. Counters wrap after minutes: tick at least every ten seconds within a turn. */
OQ_API void oq_energy_begin(oq_energy *energy);
OQ_API void oq_energy_tick(oq_energy *energy);
OQ_API void oq_energy_end(oq_energy *energy, int subject, int64_t patches);
/* What a patch of `subject` costs: label ("measured-rapl", "rapl-suspect", "estimate-tdp", "none"), why, joules with 95 % intervals over the turns, watts,
 * other load, ratio to subject 0, state of the machine. `seconds_per_patch`: for an estimate. docs/performance.md has the rules. */
OQ_API oq_status oq_energy_json(const oq_energy *energy, int subject, double seconds_per_patch, char **json, oq_error *err);

#ifdef __cplusplus
}
#endif
#endif
