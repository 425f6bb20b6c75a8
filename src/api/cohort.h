/* A cohort run, as its parts see it: cohort.c opens and finishes it, lanes.c computes its rows, progress.c keeps what is finished. */
#ifndef OQ_API_COHORT_H
#define OQ_API_COHORT_H

#include "job.h"
#include "journal.h"

/* Room of one lane: what one thread needs for one row. */
typedef struct oq_lane {
	float *patch, *result;
	oq_crop *crops; /* one per family of packages that share resampling */
} oq_lane;

typedef struct oq_cohort {
	const oq_job *job;
	bool embedding;          /* or patches */
	int threads, lane_count;
	oq_rows rows;
	oq_span span;            /* of this run's rows */
	int64_t *todo;           /* rows still to be computed, by scan */
	int64_t todo_count;
	oq_npy *ready;           /* patches.npy, or NULL */
	char input_sha256[65];
	oq_model **models;
	int *family;             /* of each package: those of one family cut their patches from one resampled region */
	oq_session **sessions;
	oq_output *outputs;
	oq_outcome **outcomes;   /* [package][row - span.first] */
	oq_lane *lanes;
	size_t patch_floats, result_floats;
	oq_journal *journal;
	double synced;           /* when */
	int64_t done, resumed, indexed, unfit; /* rows; scans (oq_job_summary) */
	double start;
	oq_error *err;
} oq_cohort;

bool oq_cohort_cancelled(const oq_cohort *c);
static inline oq_outcome *oq_cohort_outcome(const oq_cohort *c, int model, int64_t row)
{
	return &c->outcomes[model][row - c->span.first];
}
void oq_cohort_sidecar(const oq_cohort *c, int model, int64_t shape[5], oq_sidecar *out);

/* Rooms of all lanes, families of packages; todo in parallel. A row's failure is the row's; ours is returned. */
oq_status oq_lanes_open(oq_cohort *c);
size_t oq_lanes_floats(const oq_cohort *c); /* of one */
oq_status oq_lanes_run(oq_cohort *c);
void oq_lanes_close(oq_cohort *c);

/* Opens and locks the outputs, and the journal; takes over what an earlier run finished; lists what is to do. */
oq_status oq_progress_open(oq_cohort *c);
/* A row is finished: sums[package][17] of the values that were written. One thread at a time. */
oq_status oq_progress_row(oq_cohort *c, int64_t row, char (*sums)[17], oq_error *err);
void oq_progress_sum(const float *values, size_t count, char sum[17]);
/* The results are in place (nothing is left to resume), or what is finished is kept. */
void oq_progress_close(oq_cohort *c, bool finished);

#endif
