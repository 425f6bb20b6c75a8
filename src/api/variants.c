/* Sessions for variants of one patch: whether reusing what a variant leaves as it was is worth its memory. It is counted, never timed, so that a run
 * says the same everywhere. Of a network that sees slices, those are reused that have no changed voxel. */
#include "internal.h"

#include "core/clock.h"
#include "core/mem.h"
#include "core/memory_limit.h"

#include <string.h>

#define WORTH (1 / 1.15) /* share of the multiplications; of the rest, copying and looking for what differs take a part */

static double mean_share(const oq_model *model, const oq_nn_reuse *reuse, const oq_variants *v)
{
	double sum = 0;
	for (int64_t i = 0; i < v->count; i++)
		sum += reuse ? oq_nn_reuse_share(reuse, v->starts[i], v->extent) : (double)v->extent[1] / (double)model->spec.size[1];
	return sum / (double)v->count;
}

/* Whether the weights and `bytes` for the sessions are granted. */
static bool holds(const oq_model *model, uint64_t max_memory, uint64_t bytes)
{
	const oq_memory_limit limit = oq_memory_limit_now(max_memory);
	return !limit.bytes || oq_nn_model_weight_bytes(model->nn) + bytes <= limit.bytes;
}

static oq_status open_slices(const oq_model *model, int lanes, oq_session **out, oq_error *err)
{
	size_t patch = oq_model_patch_floats(model) * sizeof(float), vectors = (size_t)model->spec.size[1] * oq_nn_model_output_count(model->nn) * sizeof(float);
	OQ_TRY(oq_session_open(model, lanes, out, err));
	(*out)->base = oq_calloc(1, patch);
	(*out)->vectors = oq_calloc(1, vectors);
	if ((*out)->base && (*out)->vectors)
		return OQ_OK;
	oq_session_close(*out);
	*out = NULL;
	return oq_fail_memory(err, "session", patch + vectors);
}

/* The reuse is the session's once it is open. */
static oq_status open_reusing(const oq_model *model, int lanes, oq_nn_reuse **reuse, oq_session **out, oq_error *err)
{
	OQ_TRY(oq_session_open_reusing(model, lanes, *reuse, out, err));
	(*out)->reuse = *reuse;
	*reuse = NULL;
	return OQ_OK;
}

oq_status oq_session_open_variants(const oq_model *model, int lanes, const oq_variants *variants, uint64_t max_memory, oq_session **out, double *share,
	const char **why, oq_error *err)
{
	oq_nn_reuse *reuse = NULL;
	oq_status status = OQ_OK;
	if (!model->sliced) {
		const oq_float_state state = oq_float_enter();
		status = oq_nn_reuse_open(model->nn, variants->extent, &reuse, err);
		oq_float_leave(state);
	}
	if (status != OQ_OK)
		return status;
	*share = mean_share(model, reuse, variants);
	*why = *share > WORTH ? "it would save too little" : "";
	if (!**why && reuse && !holds(model, max_memory, (uint64_t)(lanes + 1) * oq_nn_reuse_session_bytes(reuse)))
		*why = "there is too little memory";
	if (**why) {
		*share = 1;
		status = oq_session_open(model, lanes, out, err);
	} else {
		status = reuse ? open_reusing(model, lanes, &reuse, out, err) : open_slices(model, lanes, out, err);
	}
	oq_nn_reuse_close(reuse);
	return status;
}
