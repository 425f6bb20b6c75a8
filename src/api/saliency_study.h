/* A saliency run: its rows, what became of them, and the files that tell of it. */
#ifndef OQ_API_SALIENCY_STUDY_H
#define OQ_API_SALIENCY_STUDY_H

#include "job.h"
#include "saliency.h"

#define OQ_SALIENCY_BOX_MM 20.0

/* The figures of one row. */
typedef struct oq_saliency_row {
	bool masked;             /* the region is a mask, else the box */
	int64_t peak[3];         /* in the patch */
	double peak_lps[3];      /* NaN without a scan */
	double peak_to_seed_mm, greatest, mean;
	oq_saliency_focus focus;
	oq_deletion deletion;
	oq_saliency_agreement agreement; /* with `compare` */
	double padding_fraction, seed_hu; /* NaN without a scan */
	int64_t passes, spared;  /* of the first network's map */
	double seconds;
} oq_saliency_row;

typedef struct oq_saliency_study {
	const oq_saliency_options *options;
	double box_mm;
	int threads, lanes;
	oq_rows rows;
	oq_npy *ready, *ready_masks;    /* patches, or NULL */
	oq_model *model, *other;        /* `other` may be NULL */
	oq_occlusion *occlusion, *other_occlusion;
	oq_saliency_row *results;       /* [rows] */
	oq_output maps;
	float *patch, *map, *other_map; /* [voxels] */
	bool *inside;                   /* [voxels] */
	double seconds;
	int64_t begun;                  /* rows before the one that runs */
	oq_error *err;
} oq_saliency_study;

/* DIR/NNNN + ending. */
oq_status oq_saliency_path(const oq_saliency_study *study, const char *name, char path[4096]);
/* saliency.json (also into *json when it is not NULL) and saliency.csv. */
oq_status oq_saliency_write(const oq_saliency_study *study, char **json);

#endif
