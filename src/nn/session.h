/* A session from inside: session.c opens and runs it, reuse.c tells it what another run has computed already. */
#ifndef OQ_NN_SESSION_H
#define OQ_NN_SESSION_H

#include "model.h"

struct oq_nn_session {
	const oq_nn_model *model;
	oq_run run;
	void **private_states; /* one per step */
	float *kept;           /* room for one kept value in logical order */
	double *seconds;       /* per step, summed while profiling */
	int64_t profiled_runs;
	bool profiling;
	double peaks[3];       /* of products in float32, bfloat16 and bytes, one thread; 0: not measured */
	const oq_nn_reuse *reuse; /* whose values are taken where they are the same, or NULL */
	oq_box *differ;        /* with it: where each value in the slab differs from those */
	int64_t follows;       /* which of its patches that is; 0: none yet */
};

/* Where values lie, and how much memory that takes. */
typedef struct oq_layout {
	const size_t *place;   /* floats into the slab, per value */
	size_t slab_floats, scratch_bytes;
} oq_layout;
/* `reuse` may be NULL. */
oq_status oq_session_open_laid(const oq_nn_model *model, const oq_layout *layout, const oq_nn_reuse *reuse, oq_nn_session **out, oq_error *err);

/* Of a session that reuses: the patch becomes its input. */
oq_status oq_reuse_begin(oq_nn_session *session, const float *patch, oq_error *err);
/* Prepares the run of a step; false when nothing reaches it. */
bool oq_reuse_step(oq_nn_session *session, int step);
/* What `reuse` has for a step of a session, or NULL. */
const void *oq_reuse_part(const oq_nn_reuse *reuse, int step);

#endif
