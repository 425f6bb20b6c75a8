/* Occlusion sensitivity of an embedding: a window slides over the patch, fades what is under it, and the embedding moves. As MONAI's
 * OcclusionSensitivity with mode gaussian and the reference benchmark on top of it define it; docs/saliency.md has the formulas. */
#ifndef OQ_EVAL_SALIENCY_H
#define OQ_EVAL_SALIENCY_H

#include "core/error.h"

#include <stdint.h>

#define OQ_SALIENCY_WINDOW 12     /* voxels, of the reference */
#define OQ_SALIENCY_OVERLAP 0.25
#define OQ_SALIENCY_STARTS 512    /* windows along an axis, at the most */

typedef struct oq_saliency_plan {
	int64_t size[3];       /* of the patch, [D][H][W] */
	int64_t window;        /* voxels along each axis */
	int64_t windows;       /* count[0] * count[1] * count[2], the last axis fastest */
	int64_t count[3], starts[3][OQ_SALIENCY_STARTS];
	float *kernel;         /* [window]^3: what an occlusion multiplies by, 0 in the middle and 1 at the far corners */
	float *importance;     /* [window]^3: weight of a window's embedding in each of its voxels */
} oq_saliency_plan;

/* Windows of `window` voxels that overlap by `overlap` (0 to below 1); the last one of an axis is moved inwards to end with the patch. */
oq_status oq_saliency_plan_open(const int64_t size[3], int64_t window, double overlap, oq_saliency_plan **out, oq_error *err);
void oq_saliency_plan_close(oq_saliency_plan *plan);
void oq_saliency_start(const oq_saliency_plan *plan, int64_t window, int64_t start[3]);
/* The patch with one window faded; false when nothing changed (it was 0 there already), so that the embedding is that of the patch. */
bool oq_saliency_occlude(const oq_saliency_plan *plan, const float *patch, int64_t window, float *out);
/* Windows over a voxel and their weights, which add up to 1. Returns their number, at most 27. */
int oq_saliency_weights(const oq_saliency_plan *plan, const int64_t at[3], int64_t windows[27], double weights[27]);

typedef enum oq_saliency_kind {
	OQ_SALIENCY_OF_MEAN = 0, /* the reference: 1 - cosine of the patch's embedding and the weighted mean of the windows' */
	OQ_SALIENCY_MEAN_OF      /* the weighted mean of 1 - cosine */
} oq_saliency_kind;

/* base [size] is the patch's embedding, embeddings [windows][size] the occluded ones; map [D][H][W], at least 0. OQ_E_INPUT when an
 * embedding is zero or not finite. */
oq_status oq_saliency_map(const oq_saliency_plan *plan, oq_saliency_kind kind, const float *base, const float *embeddings, int64_t size, int threads,
	float *map, oq_error *err);

/* Where a map is greatest; the first of equals. */
int64_t oq_saliency_argmax(const float *map, int64_t count);

typedef struct oq_saliency_focus {
	double mass, volume; /* shares of the map's sum and of the voxels that lie inside; NaN mass when the map is zero */
	bool hit;            /* the pointing game: the greatest voxel lies inside */
} oq_saliency_focus;
void oq_saliency_focus_measure(const float *map, const bool *inside, int64_t count, oq_saliency_focus *out);

/* Voxels in the order of the map, greatest first (equals: in the order of memory). */
oq_status oq_saliency_order(const float *map, int64_t count, int64_t *order, oq_error *err);
/* 1 - cosine, between 0 and 2. */
double oq_saliency_distance(const float *a, const float *b, int64_t size);
/* Area under a curve by trapezoids. */
double oq_saliency_area(const double *x, const double *y, int count);

#endif
