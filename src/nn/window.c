/* What convolutions and pools share: kernel, stride, padding, dilation and the output extent that follows. */
#include "op.h"

#define MAX_WINDOW 1024

static oq_status parse_pads(const oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	const oq_json *pads;
	OQ_TRY(oq_json_need_array(json, "pad", node->name, &pads, err));
	int axis = 0;
	for (const oq_json *pair = oq_json_first(pads); pair; pair = oq_json_next(pair), axis++) {
		const oq_json *low = oq_json_first(pair), *high = low ? oq_json_next(low) : NULL;
		double l = oq_json_is_number(low) ? oq_json_number(low) : -1, h = oq_json_is_number(high) ? oq_json_number(high) : -1;
		bool good = axis < OQ_SPATIAL && oq_json_count(pair) == 2 && l >= 0 && h >= 0 && l <= MAX_WINDOW && h <= MAX_WINDOW
			&& l == (double)(int64_t)l && h == (double)(int64_t)h;
		if (!good)
			return oq_graph_refuse(graph, node, err, "pad: entry %d is not a pair of integers from 0 to %d", axis, MAX_WINDOW);
		node->attributes.pad_low[axis] = (int64_t)l;
		node->attributes.pad_high[axis] = (int64_t)h;
	}
	if (axis != OQ_SPATIAL)
		return oq_graph_refuse(graph, node, err, "pad: has %d pairs, expected %d", axis, OQ_SPATIAL);
	return OQ_OK;
}

static oq_status check_range(const oq_graph *graph, const oq_node *node, const char *what, const int64_t values[OQ_SPATIAL], oq_error *err)
{
	for (int axis = 0; axis < OQ_SPATIAL; axis++)
		if (values[axis] < 1 || values[axis] > MAX_WINDOW)
			return oq_graph_refuse(graph, node, err, "%s: %lld on axis %d, expected 1 to %d", what, (long long)values[axis], axis, MAX_WINDOW);
	return OQ_OK;
}

oq_status oq_window_parse(const oq_graph *graph, oq_node *node, const oq_json *json, bool kernel_too, oq_error *err)
{
	oq_attributes *a = &node->attributes;
	for (int axis = 0; axis < OQ_SPATIAL; axis++)
		a->dilation[axis] = 1;
	OQ_TRY(oq_json_need_ints(json, "stride", node->name, a->stride, OQ_SPATIAL, err));
	OQ_TRY(check_range(graph, node, "stride", a->stride, err));
	if (oq_json_get(json, "dilation"))
		OQ_TRY(oq_json_need_ints(json, "dilation", node->name, a->dilation, OQ_SPATIAL, err));
	OQ_TRY(check_range(graph, node, "dilation", a->dilation, err));
	if (kernel_too) {
		OQ_TRY(oq_json_need_ints(json, "kernel", node->name, a->kernel, OQ_SPATIAL, err));
		OQ_TRY(check_range(graph, node, "kernel", a->kernel, err));
	}
	return parse_pads(graph, node, json, err);
}

oq_status oq_window_infer(const oq_graph *graph, const oq_node *node, const int64_t in[OQ_SPATIAL], int64_t out[OQ_SPATIAL], oq_error *err)
{
	const oq_attributes *a = &node->attributes;
	for (int axis = 0; axis < OQ_SPATIAL; axis++) {
		int64_t span = (a->kernel[axis] - 1) * a->dilation[axis] + 1;
		int64_t padded = in[axis] + a->pad_low[axis] + a->pad_high[axis];
		if (padded < span)
			return oq_graph_refuse(graph, node, err, "its window of %lld on axis %d is larger than the padded input of %lld", (long long)span,
				axis, (long long)padded);
		out[axis] = (padded - span) / a->stride[axis] + 1;
	}
	return OQ_OK;
}

void oq_window_reach(const oq_step *step, const oq_box *in, oq_box *out)
{
	const oq_attributes *a = &step->node->attributes;
	for (int axis = 0; axis < OQ_SPATIAL; axis++) {
		int64_t stride = a->stride[axis], first = in->low[axis] + a->pad_low[axis] - (a->kernel[axis] - 1) * a->dilation[axis];
		int64_t high = (in->high[axis] - 1 + a->pad_low[axis]) / stride + 1, extent = oq_step_output(step)->shape[1 + axis];
		out->low[axis] = first > 0 ? (first + stride - 1) / stride : 0;
		out->high[axis] = high < extent ? high : extent;
	}
}
