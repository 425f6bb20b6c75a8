/* What the files of the public API share. */
#ifndef OQ_API_INTERNAL_H
#define OQ_API_INTERNAL_H

#include "core/cpu.h"
#include "core/package.h"
#include "io/patch.h"
#include "io/slices.h"
#include "nn/nn.h"

#include <oncoquant.h>

struct oq_model {
	oq_package *package;
	oq_nn_model *nn;       /* NULL when only the preprocessing was opened */
	oq_patch_spec spec;
	bool sliced;           /* the network sees slices; the embedding is the mean over them */
	oq_slices_spec slices;
	int threads_per_patch;
	double open_seconds;
};

struct oq_session {
	const oq_model *model;
	int lanes;
	oq_nn_session **nn; /* one per lane */
	struct oq_slice_room *rooms; /* one per lane when the model is sliced */
	oq_nn_reuse *reuse; /* lanes run variants of a patch, or NULL; of a sliced model instead: */
	float *base, *vectors; /* the patch, and [slices][outputs] of it; or NULL */
};

struct oq_scan {
	oq_volume *volume;
};

/* oq_model_open with a bound on packed weights, which may be larger than those in the file (E_MEMORY; 0: any). */
oq_status oq_model_open_within(const char *package, const oq_model_options *options, size_t most_weights, oq_model **out, oq_error *err);
/* A model that can cut patches but not run: its weights are not read. */
oq_status oq_model_open_preprocessing(const char *package, oq_model **out, oq_error *err);
/* One slice of a patch as the network of a sliced model reads it. */
oq_status oq_model_slice(const oq_model *model, const float *patch, int64_t index, float *input, oq_error *err);
/* Values of one patch, and the patch through one lane of a session. */
size_t oq_model_patch_floats(const oq_model *model);
oq_status oq_session_lane(oq_session *session, int lane, const float *patch, float *embedding, oq_error *err);
/* oq_session_run on patches that are made when they are needed: `source` gives patch `index`, which stays valid until the same lane asks again. */
typedef const float *(*oq_patch_source)(void *context, int64_t index, int lane);
oq_status oq_session_run_from(oq_session *session, oq_patch_source source, void *context, int64_t count, float *embeddings, oq_error *err);

bool oq_is_folder(const char *path);

/* Patches that differ from one in a box of `extent` voxels, from one of `starts` on. */
typedef struct oq_variants {
	int64_t extent[3], count;
	const int64_t (*starts)[3];
} oq_variants;
/* A session that computes of a variant only what its box can reach, with the bits of a whole run. *share: of the multiplications, on average. *why is
 * "" or says why this is a plain session all the same: it would save too little, or memory (0: all there is) does not hold it. */
oq_status oq_session_open_variants(const oq_model *model, int lanes, const oq_variants *variants, uint64_t max_memory, oq_session **out, double *share,
	const char **why, oq_error *err);
/* A plain session, or with `reuse` one whose lanes run variants; the caller's it stays. */
oq_status oq_session_open_reusing(const oq_model *model, int lanes, const oq_nn_reuse *reuse, oq_session **out, oq_error *err);
/* Patches that are run from here on are variants of this one. A plain session runs it. */
oq_status oq_session_follow(oq_session *session, const float *patch, float *embedding, oq_error *err);

/* oq_scan_open, but voxels stay in the file until a patch needs them, and values are judged patch by patch. Loading reads what is left. */
oq_status oq_scan_open_lazily(const char *path, const oq_scan_options *options, oq_scan **out, oq_error *err);
oq_status oq_scan_load(const oq_scan *scan, oq_error *err);
/* oq_volume_want of the slices that a patch will need. */
void oq_scan_want(const oq_scan *scan, const oq_model *model, const double seed_lps_mm[3], oq_resampling resampling, const oq_crop *crop);

/* oq_scan_patch by way of a region that several models cut their patches from. */
oq_status oq_scan_patch_shared(const oq_scan *scan, const oq_model *model, const double seed_lps_mm[3], oq_resampling resampling, oq_crop *crop,
	float *patch, oq_patch_info *info, oq_error *err);
oq_patch_report oq_patch_report_of(const oq_patch_info *info);

/* SHA-256 of a patch's voxels as float32. */
void oq_patch_sha256(const float *patch, size_t floats, char hex[65]);

/* The document as text for the caller; frees it in every case. */
oq_status oq_finish_json(oq_json *json, bool good, char **text, oq_error *err);
/* name, version, build, processor, oneDNN: what every record of a run carries. 0 threads: where they do not matter. */
bool oq_add_environment(oq_json *object, int threads);
/* precision_asked, precision_used and, where they differ, precision_note. */
bool oq_add_precision(oq_json *object, const oq_model *model);
/* convolutions: what was asked for, and how many layers are computed by which method. */
bool oq_add_convolutions(oq_json *object, const oq_model *model);
/* What oq_scan_json says of a scan and of a seed in it. */
bool oq_add_volume(oq_json *object, const oq_volume *volume);
bool oq_add_seed(oq_json *object, const double lps[3], const oq_seed_place *place);
bool oq_add_spec(oq_json *object, const char *key, const oq_patch_spec *spec);
void oq_spec_resampling(oq_patch_spec *spec, oq_resampling resampling);
const char *oq_resampling_name(oq_resampling resampling);

#endif
