/* The passes of an occlusion map, many patches at a time. Windows that change nothing (padding, clipped air) need no pass, and of the others only what
 * they can reach is computed where the network allows it (variants.c); neither changes a bit of the map. */
#include "saliency.h"

#include "core/mem.h"
#include "eval/rank.h"

#include <math.h>
#include <string.h>

#define TOGETHER 4 /* passes per lane between two looks at cancel */

static oq_status allocate(oq_occlusion *o, oq_error *err)
{
	size_t row = (size_t)o->size * sizeof(float), patch = (size_t)o->voxels * sizeof(float), windows = (size_t)o->plan->windows;
	o->rooms = oq_alloc_aligned((size_t)o->session->lanes * patch);
	o->base = oq_alloc(row);
	o->embeddings = oq_alloc((windows > 2 * OQ_DELETION_STEPS ? windows : 2 * OQ_DELETION_STEPS) * row);
	o->changed = oq_alloc(windows * sizeof *o->changed);
	o->order = oq_alloc((size_t)o->voxels * sizeof *o->order);
	return o->rooms && o->base && o->embeddings && o->changed && o->order ? OQ_OK : oq_fail_memory(err, "saliency", windows * row);
}

static oq_status open_session(oq_occlusion *o, const oq_model *model, int lanes, const oq_occlusion_options *options, oq_error *err)
{
	const oq_saliency_plan *plan = o->plan;
	o->share = 1;
	o->why = "it was not asked for";
	if (options->whole)
		return oq_session_open(model, lanes, &o->session, err);
	int64_t(*starts)[3] = oq_alloc((size_t)plan->windows * sizeof *starts);
	if (!starts)
		return oq_fail_memory(err, "saliency", (size_t)plan->windows * sizeof *starts);
	for (int64_t w = 0; w < plan->windows; w++)
		oq_saliency_start(plan, w, starts[w]);
	const oq_variants variants = {.extent = {plan->window, plan->window, plan->window}, .count = plan->windows, .starts = (const int64_t(*)[3])starts};
	oq_status status = oq_session_open_variants(model, lanes, &variants, options->max_memory, &o->session, &o->share, &o->why, err);
	oq_free(starts);
	return status;
}

oq_status oq_occlusion_open(const oq_model *model, int lanes, const oq_occlusion_options *options, oq_occlusion **out, oq_error *err)
{
	oq_occlusion *o = oq_calloc(1, sizeof *o);
	if (!o)
		return oq_fail_memory(err, "saliency", sizeof *o);
	int64_t window = options->window ? options->window : OQ_SALIENCY_WINDOW;
	o->voxels = (int64_t)oq_model_patch_floats(model);
	o->size = oq_model_embedding_size(model);
	oq_status status = oq_saliency_plan_open(model->spec.size, window, OQ_SALIENCY_OVERLAP, &o->plan, err);
	if (status == OQ_OK)
		status = open_session(o, model, lanes, options, err);
	if (status == OQ_OK)
		status = allocate(o, err);
	if (status == OQ_OK)
		*out = o;
	else
		oq_occlusion_close(o);
	return status;
}

void oq_occlusion_close(oq_occlusion *o)
{
	if (!o)
		return;
	oq_session_close(o->session);
	oq_saliency_plan_close(o->plan);
	oq_free_aligned(o->rooms);
	oq_free(o->base);
	oq_free(o->embeddings);
	oq_free(o->changed);
	oq_free(o->order);
	oq_free(o);
}

/* A part of a longer run. */
typedef struct part {
	oq_occlusion *occlusion;
	oq_patch_source source;
	int64_t first;
} part;

static const float *from_part(void *context, int64_t index, int lane)
{
	const part *p = context;
	return p->source(p->occlusion, p->first + index, lane);
}

/* `count` changed patches into o->embeddings. */
static oq_status run_passes(oq_occlusion *o, oq_patch_source source, int64_t count, oq_error *err)
{
	int64_t together = (int64_t)o->session->lanes * TOGETHER;
	for (part p = {o, source, 0}; p.first < count; p.first += together) {
		if (o->cancel && *o->cancel)
			return oq_fail(err, OQ_E_RESOURCE, "E_CANCELLED", "saliency: stopped after %lld of %lld passes", (long long)p.first, (long long)count);
		int64_t some = count - p.first < together ? count - p.first : together;
		OQ_TRY(oq_session_run_from(o->session, from_part, &p, some, o->embeddings + p.first * o->size, err));
		if (o->progress)
			o->progress(o->context, p.first + some, count);
	}
	return OQ_OK;
}

static const float *occluded(void *context, int64_t index, int lane)
{
	const oq_occlusion *o = context;
	float *room = o->rooms + (size_t)lane * (size_t)o->voxels;
	oq_saliency_occlude(o->plan, o->patch, o->changed[index], room);
	return room;
}

oq_status oq_occlusion_map(oq_occlusion *o, const float *patch, oq_saliency_kind kind, float *map, oq_error *err)
{
	size_t row = (size_t)o->size * sizeof *o->embeddings;
	int64_t count = 0;
	o->patch = patch;
	for (int64_t w = 0; w < o->plan->windows; w++)
		if (oq_saliency_occlude(o->plan, patch, w, o->rooms))
			o->changed[count++] = w;
	o->passes = count + 1;
	o->spared = o->plan->windows - count;
	OQ_TRY(oq_session_follow(o->session, patch, o->base, err));
	OQ_TRY(run_passes(o, occluded, count, err));
	/* From the last on, every embedding moves to its window; the others have the patch's own. */
	for (int64_t w = o->plan->windows - 1; w >= 0; w--) {
		bool ran = count > 0 && o->changed[count - 1] == w;
		memmove(o->embeddings + w * o->size, ran ? o->embeddings + --count * o->size : o->base, row);
	}
	return oq_saliency_map(o->plan, kind, o->base, o->embeddings, o->size, o->session->lanes, map, err);
}

const double oq_deletion_shares[OQ_DELETION_STEPS] = {0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1};

/* Patches with a share of their voxels at 0: first the greatest ones gone, then the least. */
static const float *deleted(void *context, int64_t index, int lane)
{
	const oq_occlusion *o = context;
	float *room = o->rooms + (size_t)lane * (size_t)o->voxels;
	int64_t gone = (int64_t)(oq_deletion_shares[index % OQ_DELETION_STEPS] * (double)o->voxels + 0.5);
	bool least = index >= OQ_DELETION_STEPS;
	memcpy(room, o->patch, (size_t)o->voxels * sizeof *room);
	for (int64_t i = 0; i < gone; i++)
		room[o->order[least ? o->voxels - 1 - i : i]] = 0;
	return room;
}

oq_status oq_occlusion_delete(oq_occlusion *o, const float *patch, const float *map, oq_deletion *out, oq_error *err)
{
	double shares[OQ_DELETION_STEPS + 1] = {0}, greatest[OQ_DELETION_STEPS + 1] = {0}, least[OQ_DELETION_STEPS + 1] = {0};
	o->patch = patch;
	OQ_TRY(oq_saliency_order(map, o->voxels, o->order, err));
	OQ_TRY(run_passes(o, deleted, 2 * OQ_DELETION_STEPS, err));
	for (int i = 0; i < OQ_DELETION_STEPS; i++) {
		shares[i + 1] = oq_deletion_shares[i];
		greatest[i + 1] = out->greatest[i] = oq_saliency_distance(o->base, o->embeddings + i * o->size, o->size);
		least[i + 1] = out->least[i] = oq_saliency_distance(o->base, o->embeddings + (OQ_DELETION_STEPS + i) * o->size, o->size);
	}
	out->greatest_area = oq_saliency_area(shares, greatest, OQ_DELETION_STEPS + 1);
	out->least_area = oq_saliency_area(shares, least, OQ_DELETION_STEPS + 1);
	return OQ_OK;
}

oq_status oq_saliency_agree(const int64_t size[3], const float *map, const float *other, oq_saliency_agreement *out, oq_error *err)
{
	int64_t count = size[0] * size[1] * size[2];
	double square = 0;
	oq_voxel_index(size, oq_saliency_argmax(map, count), out->peak);
	oq_voxel_index(size, oq_saliency_argmax(other, count), out->other_peak);
	for (int i = 0; i < 3; i++)
		square += pow((double)(out->peak[i] - out->other_peak[i]), 2);
	out->peak_distance = sqrt(square);
	return oq_spearman(map, other, count, &out->spearman, err);
}

oq_status oq_saliency_between(oq_occlusion *reference, oq_occlusion *candidate, const float *patch, oq_saliency_agreement *out, oq_error *err)
{
	size_t voxels = (size_t)reference->voxels;
	float *maps = oq_alloc(2 * voxels * sizeof *maps);
	oq_status status = maps ? oq_occlusion_map(reference, patch, OQ_SALIENCY_OF_MEAN, maps, err) : oq_fail_memory(err, "saliency", 2 * voxels * sizeof *maps);
	if (status == OQ_OK)
		status = oq_occlusion_map(candidate, patch, OQ_SALIENCY_OF_MEAN, maps + voxels, err);
	if (status == OQ_OK)
		status = oq_saliency_agree(reference->session->model->spec.size, maps, maps + voxels, out, err);
	oq_free(maps);
	return status;
}
