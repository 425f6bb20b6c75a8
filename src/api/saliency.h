/* Occlusion sensitivity through a session: the map of a patch, and how well two networks' maps of it agree. */
#ifndef OQ_API_SALIENCY_H
#define OQ_API_SALIENCY_H

#include "internal.h"

#include "eval/saliency.h"

/* Of a voxel of a patch [D][H][W], by its number. */
static inline void oq_voxel_index(const int64_t size[3], int64_t voxel, int64_t index[3])
{
	index[0] = voxel / (size[1] * size[2]);
	index[1] = voxel / size[2] % size[1];
	index[2] = voxel % size[2];
}

/* A session for the maps of one network, one patch after the other. */
typedef struct oq_occlusion {
	oq_session *session;
	double share;         /* of the multiplications of whole passes that are made; 1 without reuse ... */
	const char *why;      /* ... and why: "" with it */
	oq_saliency_plan *plan;
	int64_t voxels, size; /* of a patch, of an embedding */
	const float *patch;   /* while running */
	float *rooms;         /* [lanes][voxels]: patches that are being changed */
	float *base;          /* [size]: of the patch itself */
	float *embeddings;    /* [windows][size] */
	int64_t *changed;     /* [windows]: those in which the occlusion changes anything */
	int64_t *order;       /* [voxels] */
	int64_t passes, spared; /* of the last map: runs of the network, and windows that needed none */
	const volatile int *cancel; /* may be NULL */
	void (*progress)(void *context, int64_t done, int64_t total); /* may be NULL; passes of this patch */
	void *context;
} oq_occlusion;

typedef struct oq_occlusion_options {
	int64_t window;       /* voxels; 0 = OQ_SALIENCY_WINDOW */
	bool whole;           /* every pass is one of the whole network, nothing is reused */
	uint64_t max_memory;  /* as oq_job has it */
} oq_occlusion_options;
oq_status oq_occlusion_open(const oq_model *model, int lanes, const oq_occlusion_options *options, oq_occlusion **out, oq_error *err);
void oq_occlusion_close(oq_occlusion *occlusion);
/* map [D][H][W] of a patch [D][H][W]. */
oq_status oq_occlusion_map(oq_occlusion *occlusion, const float *patch, oq_saliency_kind kind, float *map, oq_error *err);

/* The embedding's way when voxels are set to 0, those of the greatest (or least) saliency first. */
#define OQ_DELETION_STEPS 9
extern const double oq_deletion_shares[OQ_DELETION_STEPS];
typedef struct oq_deletion {
	double greatest[OQ_DELETION_STEPS], least[OQ_DELETION_STEPS]; /* 1 - cosine to the untouched patch's embedding */
	double greatest_area, least_area;                             /* under those curves, from share 0 to 1 */
} oq_deletion;
/* After oq_occlusion_map of the same patch. */
oq_status oq_occlusion_delete(oq_occlusion *occlusion, const float *patch, const float *map, oq_deletion *out, oq_error *err);

typedef struct oq_saliency_agreement {
	double spearman;             /* of all voxels */
	double peak_distance;        /* between the greatest voxels, in voxels */
	int64_t peak[3], other_peak[3];
} oq_saliency_agreement;
oq_status oq_saliency_agree(const int64_t size[3], const float *map, const float *other, oq_saliency_agreement *out, oq_error *err);
/* Both networks' reference maps of one patch, of the same size: what the fidelity gate asks (block F8). */
oq_status oq_saliency_between(oq_occlusion *reference, oq_occlusion *candidate, const float *patch, oq_saliency_agreement *out, oq_error *err);

#endif
