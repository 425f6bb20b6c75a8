/* F7 and F8: what the candidate does where no test patch is. Made-up inputs, a contrast that grows, a search for the worst change of the worst patches,
 * and occlusion maps. */
#ifndef OQ_API_STRESS_H
#define OQ_API_STRESS_H

#include "gate.h"
#include "job.h"
#include "phantoms.h"
#include "saturation.h"

#define OQ_SEARCH_STARTS 8 /* worst patches that a search begins with */

typedef struct oq_phantom_result {
	double relative, cosine;
	bool finite;
} oq_phantom_result;

/* A sphere whose contrast grows; responses along the reference's way from the first to the last step. */
typedef struct oq_ramp_result {
	double reference[OQ_RAMP_STEPS], candidate[OQ_RAMP_STEPS]; /* 0 and 1: the reference's ends */
	double agreement;  /* share of steps in which both go the same way */
	double top_gain;   /* candidate's way over the upper half against the reference's: far below 1, it saturates */
} oq_ramp_result;

/* The worst that was found by changing a test patch: seed shifted by up to 5 mm, +-20 HU, mirrored. */
typedef struct oq_search_result {
	int64_t evaluations, row;
	double start, relative, cosine; /* relative error before and after; centred cosine there */
	double shift_mm[3], offset_hu;
	bool flipped[3];
} oq_search_result;

typedef struct oq_map_result {
	int64_t maps;
	double spearman_min, spearman_median, peak_max; /* peak: voxels between the greatest voxels */
} oq_map_result;

typedef struct oq_stress {
	oq_session *reference, *candidate;
	const oq_patch_spec *spec;
	const oq_rows *rows;
	const double *mean;      /* [size] of the reference's embeddings */
	int64_t size;
	size_t patch_floats;
	int lanes;
	const volatile int *cancel;
	oq_saturation *saturation; /* counts the phantoms' clipped codes, too; or NULL */
	/* results */
	oq_phantom_result phantoms[OQ_PHANTOMS];
	oq_ramp_result ramp;
	oq_search_result search;
	oq_map_result maps;
	bool refuses_nonfinite;
} oq_stress;

oq_status oq_stress_phantoms(oq_stress *stress, oq_error *err);
/* From these rows (worst first), `evaluations` in all: hill climbing, the same at every run and for any number of threads. */
oq_status oq_stress_search(oq_stress *stress, const oq_model *model, const int64_t *worst, int count, int64_t evaluations, oq_error *err);
/* Occlusion maps of the first `count` rows by both networks. */
oq_status oq_stress_maps(oq_stress *stress, const oq_model *model, int64_t count, oq_error *err);
bool oq_stress_describe(const oq_stress *stress, oq_json *root);

#endif
