#include "direct.h"

#include "onednn.h"

#include <stdio.h>
#include <string.h>

#define MAX_ARGS 10

struct oq_direct {
	dnnl_engine_t engine; /* borrowed from the model */
	const oq_direct *like; /* whose weights and constants these are, or NULL */
	oq_direct_desc desc;
	oq_attributes unpadded; /* what desc names when there is `like` */
	dnnl_primitive_t primitive;
	dnnl_memory_desc_t src_md, dst_md, residual_md, weights_md, bias_md, scratch_md;
	dnnl_memory_t weights, bias;
	void *weights_data;
	float *bias_data;
	/* Of codes: */
	dnnl_memory_t weight_scale, dst_scale, src_zero, dst_zero;
	float *weight_scale_data; /* [out]: source's scale times that of the weights */
	float dst_scale_value;
	int32_t src_zero_value, dst_zero_value;
	size_t weight_bytes;
	char implementation[48];
};

struct oq_direct_bound {
	dnnl_memory_t src, dst, residual, scratch;
	dnnl_exec_arg_t args[MAX_ARGS];
	int count;
};

static dnnl_data_type_t data_type(oq_dtype dtype)
{
	return dtype == OQ_BF16 ? dnnl_bf16 : dtype == OQ_U8 ? dnnl_u8 : dtype == OQ_I8 ? dnnl_s8 : dnnl_f32;
}

static oq_status make_value_descs(oq_direct *d, const oq_direct_desc *desc, oq_error *err)
{
	dnnl_dims_t src = {1, desc->in[0], desc->in[1], desc->in[2], desc->in[3]};
	dnnl_dims_t dst = {1, desc->out[0], desc->out[1], desc->out[2], desc->out[3]};
	OQ_TRY(oq_dnnl_check(dnnl_memory_desc_create_with_tag(&d->src_md, 5, src, data_type(desc->src->dtype), dnnl_ndhwc), desc->where,
		"describe a source", err));
	OQ_TRY(oq_dnnl_check(dnnl_memory_desc_create_with_tag(&d->dst_md, 5, dst, data_type(desc->dst->dtype), dnnl_ndhwc), desc->where,
		"describe a result", err));
	if (!desc->residual)
		return OQ_OK;
	return oq_dnnl_check(dnnl_memory_desc_create_with_tag(&d->residual_md, 5, dst, data_type(desc->residual->dtype), dnnl_ndhwc), desc->where,
		"describe an addend", err);
}

/* `plain`: the weights as they come; `any`: in the type of the product, in the layout that the primitive likes. */
static oq_status make_descs(oq_direct *d, const oq_direct_desc *desc, dnnl_memory_desc_t *plain, dnnl_memory_desc_t *any, oq_error *err)
{
	const oq_attributes *a = desc->attributes;
	dnnl_dims_t bias = {desc->out[0]};
	int64_t g = a->groups;
	dnnl_dims_t weights = {desc->out[0], desc->in[0], a->kernel[0], a->kernel[1], a->kernel[2]};
	dnnl_dims_t grouped = {g, desc->out[0] / g, desc->in[0] / g, a->kernel[0], a->kernel[1], a->kernel[2]};
	const dnnl_dim_t *w = g > 1 ? grouped : weights;
	int rank = g > 1 ? 6 : 5;
	OQ_TRY(make_value_descs(d, desc, err));
	OQ_TRY(oq_dnnl_check(dnnl_memory_desc_create_with_tag(plain, rank, w, desc->compute == OQ_I8 ? dnnl_s8 : dnnl_f32,
		g > 1 ? dnnl_goidhw : dnnl_oidhw), desc->where, "describe weights", err));
	OQ_TRY(oq_dnnl_check(dnnl_memory_desc_create_with_tag(any, rank, w, data_type(desc->compute), dnnl_format_tag_any), desc->where,
		"describe weights", err));
	if (desc->weights->bias)
		OQ_TRY(oq_dnnl_check(dnnl_memory_desc_create_with_tag(&d->bias_md, 1, bias, dnnl_f32, dnnl_a), desc->where, "describe a bias", err));
	return OQ_OK;
}

/* Scales and zero points of codes; given when the primitive runs. */
static dnnl_status_t add_scales(dnnl_primitive_attr_t attr, const oq_direct_desc *desc)
{
	if (desc->compute != OQ_I8)
		return dnnl_success;
	dnnl_status_t status = dnnl_primitive_attr_set_scales_mask(attr, DNNL_ARG_WEIGHTS, desc->attributes->groups > 1 ? 3 : 1);
	if (status == dnnl_success && desc->src->zero)
		status = dnnl_primitive_attr_set_zero_points_mask(attr, DNNL_ARG_SRC, 0);
	if (status == dnnl_success && desc->dst->dtype == OQ_U8)
		status = dnnl_primitive_attr_set_scales_mask(attr, DNNL_ARG_DST, 0);
	if (status == dnnl_success && desc->dst->dtype == OQ_U8 && desc->dst->zero)
		status = dnnl_primitive_attr_set_zero_points_mask(attr, DNNL_ARG_DST, 0);
	return status;
}

static oq_status make_attributes(const oq_direct *d, const oq_direct_desc *desc, dnnl_primitive_attr_t *attr, oq_error *err)
{
	dnnl_post_ops_t ops = NULL;
	OQ_TRY(oq_dnnl_check(dnnl_primitive_attr_create(attr), desc->where, "make attributes", err));
	/* The library's own scratchpad gives wrong results when one primitive runs in two threads. */
	OQ_TRY(oq_dnnl_check(dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user), desc->where, "use a scratchpad", err));
	OQ_TRY(oq_dnnl_check(add_scales(*attr, desc), desc->where, "use scales", err));
	OQ_TRY(oq_dnnl_check(dnnl_post_ops_create(&ops), desc->where, "make post-ops", err));
	dnnl_status_t status = dnnl_success;
	if (desc->residual)
		status = dnnl_post_ops_append_binary(ops, dnnl_binary_add, d->residual_md);
	if (status == dnnl_success && desc->slope != 1.0f)
		status = dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, desc->slope, 0.0f);
	if (status == dnnl_success && desc->gelu)
		status = dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_gelu_erf, 0.0f, 0.0f);
	if (status == dnnl_success)
		status = dnnl_primitive_attr_set_post_ops(*attr, ops);
	dnnl_post_ops_destroy(ops);
	return oq_dnnl_check(status, desc->where, "fuse an addition and an activation", err);
}

static oq_status make_primitive(oq_direct *d, const oq_direct_desc *desc, dnnl_memory_desc_t weights_any, dnnl_primitive_attr_t attr, oq_error *err)
{
	const oq_attributes *a = desc->attributes;
	dnnl_dims_t stride = {0}, dilation = {0}, low = {0}, high = {0};
	for (int axis = 0; axis < OQ_SPATIAL; axis++) {
		stride[axis] = a->stride[axis];
		dilation[axis] = a->dilation[axis] - 1;
		low[axis] = a->pad_low[axis];
		high[axis] = a->pad_high[axis];
	}
	dnnl_primitive_desc_t pd = NULL;
	OQ_TRY(oq_dnnl_check(dnnl_convolution_forward_primitive_desc_create(&pd, d->engine, dnnl_forward_inference, dnnl_convolution_direct,
		d->src_md, weights_any, d->bias_md, d->dst_md, stride, dilation, low, high, attr), desc->where, "plan a convolution", err));
	const char *name = "";
	dnnl_status_t status = dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name);
	snprintf(d->implementation, sizeof d->implementation, "%s", name);
	if (status == dnnl_success)
		status = dnnl_memory_desc_clone(&d->weights_md, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
	if (status == dnnl_success)
		status = dnnl_memory_desc_clone(&d->scratch_md, dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
	if (status == dnnl_success)
		status = dnnl_primitive_create(&d->primitive, pd);
	dnnl_primitive_desc_destroy(pd);
	return oq_dnnl_check(status, desc->where, "make a convolution", err);
}

/* The layout that the primitive prefers, once, at planning time. */
static oq_status reorder_weights(oq_direct *d, const oq_direct_desc *desc, dnnl_memory_desc_t plain, dnnl_stream_t stream, oq_error *err)
{
	dnnl_memory_t from = NULL;
	dnnl_primitive_desc_t pd = NULL;
	dnnl_primitive_t reorder = NULL;
	void *source = desc->compute == OQ_I8 ? (void *)desc->weights->codes : (void *)desc->weights->values;
	dnnl_status_t status = dnnl_memory_create(&from, plain, d->engine, source);
	if (status == dnnl_success)
		status = dnnl_memory_create(&d->weights, d->weights_md, d->engine, d->weights_data);
	if (status == dnnl_success)
		status = dnnl_reorder_primitive_desc_create(&pd, plain, d->engine, d->weights_md, d->engine, NULL);
	if (status == dnnl_success)
		status = dnnl_primitive_create(&reorder, pd);
	const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, d->weights}};
	if (status == dnnl_success)
		status = dnnl_primitive_execute(reorder, stream, 2, args);
	if (status == dnnl_success)
		status = dnnl_stream_wait(stream);
	dnnl_primitive_destroy(reorder);
	dnnl_primitive_desc_destroy(pd);
	dnnl_memory_destroy(from);
	return oq_dnnl_check(status, desc->where, "pack weights", err);
}

/* A one-dimensional constant that the primitive reads. */
static oq_status hold(oq_direct *d, dnnl_data_type_t type, int64_t count, void *data, dnnl_memory_t *out, const char *where, oq_error *err)
{
	dnnl_memory_desc_t md = NULL;
	dnnl_dims_t dims = {count};
	dnnl_status_t status = dnnl_memory_desc_create_with_tag(&md, 1, dims, type, dnnl_a);
	if (status == dnnl_success)
		status = dnnl_memory_create(out, md, d->engine, data);
	dnnl_memory_desc_destroy(md);
	return oq_dnnl_check(status, where, "hold a constant", err);
}

static oq_status pack_scales(oq_direct *d, const oq_direct_desc *desc, oq_error *err)
{
	int64_t out = desc->out[0];
	d->weight_scale_data = oq_alloc((size_t)out * sizeof(float));
	if (!d->weight_scale_data)
		return oq_fail_memory(err, desc->where, (size_t)out * sizeof(float));
	for (int64_t o = 0; o < out; o++)
		d->weight_scale_data[o] = desc->src->scale * desc->weights->scale[o];
	d->weight_bytes += (size_t)out * sizeof(float);
	d->src_zero_value = desc->src->zero;
	d->dst_zero_value = desc->dst->zero;
	d->dst_scale_value = desc->dst->scale;
	OQ_TRY(hold(d, dnnl_f32, out, d->weight_scale_data, &d->weight_scale, desc->where, err));
	if (desc->src->zero)
		OQ_TRY(hold(d, dnnl_s32, 1, &d->src_zero_value, &d->src_zero, desc->where, err));
	if (desc->dst->dtype != OQ_U8)
		return OQ_OK;
	OQ_TRY(hold(d, dnnl_f32, 1, &d->dst_scale_value, &d->dst_scale, desc->where, err));
	return desc->dst->zero ? hold(d, dnnl_s32, 1, &d->dst_zero_value, &d->dst_zero, desc->where, err) : OQ_OK;
}

oq_status oq_direct_stream(const oq_direct *d, dnnl_stream_t *out, oq_error *err)
{
	return oq_dnnl_check(dnnl_stream_create(out, d->engine, dnnl_stream_default_flags), d->desc.where, "make a stream", err);
}

static oq_status pack(oq_direct *d, const oq_direct_desc *desc, dnnl_memory_desc_t plain, oq_error *err)
{
	size_t bytes = dnnl_memory_desc_get_size(d->weights_md), bias_bytes = (size_t)desc->out[0] * sizeof(float);
	d->weight_bytes = bytes + (desc->weights->bias ? bias_bytes : 0);
	d->weights_data = oq_alloc_aligned(bytes);
	d->bias_data = oq_alloc(bias_bytes);
	if (!d->weights_data || !d->bias_data)
		return oq_fail_memory(err, desc->where, bytes);
	if (desc->weights->bias) {
		memcpy(d->bias_data, desc->weights->bias, bias_bytes);
		OQ_TRY(oq_dnnl_check(dnnl_memory_create(&d->bias, d->bias_md, d->engine, d->bias_data), desc->where, "hold a bias", err));
	}
	if (desc->compute == OQ_I8)
		OQ_TRY(pack_scales(d, desc, err));
	dnnl_stream_t stream = NULL;
	OQ_TRY(oq_direct_stream(d, &stream, err));
	oq_status status = reorder_weights(d, desc, plain, stream, err);
	dnnl_stream_destroy(stream);
	return status;
}

oq_status oq_direct_create(const oq_planner *planner, const oq_direct_desc *desc, oq_direct **out, oq_error *err)
{
	dnnl_memory_desc_t plain = NULL, any = NULL;
	dnnl_primitive_attr_t attr = NULL;
	oq_direct *d = oq_calloc(1, sizeof *d);
	if (!d)
		return oq_fail_memory(err, desc->where, sizeof *d);
	d->engine = planner->engine;
	d->desc = *desc;
	d->desc.weights = NULL;
	oq_status status = make_descs(d, desc, &plain, &any, err);
	if (status == OQ_OK)
		status = make_attributes(d, desc, &attr, err);
	if (status == OQ_OK)
		status = make_primitive(d, desc, any, attr, err);
	if (status == OQ_OK)
		status = pack(d, desc, plain, err);
	dnnl_memory_desc_destroy(plain);
	dnnl_memory_desc_destroy(any);
	dnnl_primitive_attr_destroy(attr);
	if (status == OQ_OK)
		*out = d;
	else
		oq_direct_free(d);
	return status;
}

static oq_status create_like(oq_direct *d, oq_error *err)
{
	const oq_direct *like = d->like;
	dnnl_primitive_attr_t attr = NULL;
	OQ_TRY(make_value_descs(d, &d->desc, err));
	if (like->bias_md)
		OQ_TRY(oq_dnnl_check(dnnl_memory_desc_clone(&d->bias_md, like->bias_md), d->desc.where, "describe a bias", err));
	oq_status status = make_attributes(d, &d->desc, &attr, err);
	if (status == OQ_OK)
		status = make_primitive(d, &d->desc, like->weights_md, attr, err);
	dnnl_primitive_attr_destroy(attr);
	if (status == OQ_OK && (strcmp(d->implementation, like->implementation) || !dnnl_memory_desc_equal(d->weights_md, like->weights_md)))
		status = oq_fail(err, OQ_E_UNSUPPORTED, "E_ONEDNN", "%s: oneDNN computes a part by %s, expected %s", d->desc.where, d->implementation, like->implementation);
	return status;
}

oq_status oq_direct_create_like(const oq_direct *like, const int64_t in[OQ_SPATIAL], const int64_t out[OQ_SPATIAL], oq_direct **direct, oq_error *err)
{
	oq_direct *d = oq_calloc(1, sizeof *d);
	if (!d)
		return oq_fail_memory(err, like->desc.where, sizeof *d);
	*d = (oq_direct){.engine = like->engine, .like = like, .desc = like->desc, .unpadded = *like->desc.attributes};
	d->desc.attributes = &d->unpadded;
	for (int axis = 0; axis < OQ_SPATIAL; axis++) {
		d->unpadded.pad_low[axis] = d->unpadded.pad_high[axis] = 0;
		d->desc.in[1 + axis] = in[axis];
		d->desc.out[1 + axis] = out[axis];
	}
	oq_status status = create_like(d, err);
	if (status == OQ_OK)
		*direct = d;
	else
		oq_direct_free(d);
	return status;
}

const oq_direct_desc *oq_direct_described(const oq_direct *d)
{
	return &d->desc;
}

void oq_direct_free(oq_direct *d)
{
	if (!d)
		return;
	dnnl_primitive_destroy(d->primitive);
	dnnl_memory_destroy(d->weights);
	dnnl_memory_destroy(d->bias);
	dnnl_memory_destroy(d->weight_scale);
	dnnl_memory_destroy(d->dst_scale);
	dnnl_memory_destroy(d->src_zero);
	dnnl_memory_destroy(d->dst_zero);
	dnnl_memory_desc_destroy(d->src_md);
	dnnl_memory_desc_destroy(d->dst_md);
	dnnl_memory_desc_destroy(d->residual_md);
	dnnl_memory_desc_destroy(d->weights_md);
	dnnl_memory_desc_destroy(d->bias_md);
	dnnl_memory_desc_destroy(d->scratch_md);
	oq_free_aligned(d->weights_data);
	oq_free(d->bias_data);
	oq_free(d->weight_scale_data);
	oq_free(d);
}

size_t oq_direct_scratch_bytes(const oq_direct *d)
{
	return dnnl_memory_desc_get_size(d->scratch_md);
}

size_t oq_direct_weight_bytes(const oq_direct *d)
{
	return d->weight_bytes;
}

const char *oq_direct_implementation(const oq_direct *d)
{
	return d->implementation;
}

static void add_arg(oq_direct_bound *b, int arg, dnnl_memory_t memory)
{
	if (memory)
		b->args[b->count++] = (dnnl_exec_arg_t){arg, memory};
}

oq_status oq_direct_bind(const oq_direct *d, void *src, void *dst, void *residual, void *scratch, oq_direct_bound **out, oq_error *err)
{
	oq_direct_bound *b = oq_calloc(1, sizeof *b);
	if (!b)
		return oq_fail_memory(err, "session", sizeof *b);
	dnnl_status_t status = dnnl_memory_create(&b->src, d->src_md, d->engine, src);
	if (status == dnnl_success)
		status = dnnl_memory_create(&b->dst, d->dst_md, d->engine, dst);
	if (status == dnnl_success)
		status = dnnl_memory_create(&b->scratch, d->scratch_md, d->engine, scratch);
	if (status == dnnl_success && d->residual_md)
		status = dnnl_memory_create(&b->residual, d->residual_md, d->engine, residual);
	if (status != dnnl_success) {
		oq_direct_unbind(b);
		return oq_dnnl_check(status, "session", "bind memory", err);
	}
	const oq_direct *own = d->like ? d->like : d;
	add_arg(b, DNNL_ARG_SRC, b->src);
	add_arg(b, DNNL_ARG_WEIGHTS, own->weights);
	add_arg(b, DNNL_ARG_DST, b->dst);
	add_arg(b, DNNL_ARG_SCRATCHPAD, b->scratch);
	add_arg(b, DNNL_ARG_BIAS, own->bias);
	add_arg(b, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, b->residual);
	add_arg(b, DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, own->weight_scale);
	add_arg(b, DNNL_ARG_ATTR_SCALES | DNNL_ARG_DST, own->dst_scale);
	add_arg(b, DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_SRC, own->src_zero);
	add_arg(b, DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_DST, own->dst_zero);
	*out = b;
	return OQ_OK;
}

void oq_direct_unbind(oq_direct_bound *b)
{
	if (!b)
		return;
	dnnl_memory_destroy(b->src);
	dnnl_memory_destroy(b->dst);
	dnnl_memory_destroy(b->residual);
	dnnl_memory_destroy(b->scratch);
	oq_free(b);
}

oq_status oq_direct_run(const oq_direct *d, const oq_direct_bound *bound, struct dnnl_stream *stream, const char *where, oq_error *err)
{
	OQ_TRY(oq_dnnl_check(dnnl_primitive_execute(d->primitive, stream, bound->count, bound->args), where, "run a convolution", err));
	return oq_dnnl_check(dnnl_stream_wait(stream), where, "finish a convolution", err);
}
