#include "emit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

oq_val oq_name(const char *format, ...)
{
	oq_val value;
	va_list args;
	va_start(args, format);
	vsnprintf(value.name, sizeof value.name, format, args);
	va_end(args);
	return value;
}

void oq_emit_check(oq_emitter *e, bool good)
{
	if (!good && e->status == OQ_OK)
		e->status = oq_fail_memory(e->err, e->where, 0);
}

oq_val oq_emit_input(void)
{
	return oq_name("patch");
}

oq_status oq_emit_open(oq_emitter *e, const char *where, const int64_t input[4], oq_error *err)
{
	*e = (oq_emitter){.where = where, .err = err, .graph = oq_json_object()};
	oq_json *inputs = oq_json_add_array(e->graph, "inputs");
	oq_json *entry = oq_json_add_object(inputs, NULL);
	oq_emit_check(e, oq_json_add_string(entry, "name", oq_emit_input().name) && oq_json_add_ints(entry, "shape", input, 4));
	e->nodes = oq_json_add_array(e->graph, "nodes");
	e->tensors = oq_json_object();
	oq_emit_check(e, e->nodes && e->tensors);
	if (e->status != OQ_OK) {
		oq_json_free(e->graph);
		oq_json_free(e->tensors);
	}
	return e->status;
}

oq_status oq_emit_close(oq_emitter *e, oq_val output, oq_json **graph)
{
	oq_json *outputs = oq_json_add_array(e->graph, "outputs");
	oq_emit_check(e, oq_json_add_string(outputs, NULL, output.name));
	oq_emit_check(e, oq_json_add(e->graph, "tensors", e->tensors));
	if (e->status == OQ_OK)
		*graph = e->graph;
	else
		oq_json_free(e->graph);
	return e->status;
}

oq_json *oq_emit_node(oq_emitter *e, const char *op, oq_val name, const oq_val *inputs, int count)
{
	oq_json *node = oq_json_add_object(e->nodes, NULL);
	oq_emit_check(e, oq_json_add_string(node, "op", op) && oq_json_add_string(node, "name", name.name));
	oq_json *in = oq_json_add_array(node, "in");
	for (int i = 0; i < count; i++)
		oq_emit_check(e, oq_json_add_string(in, NULL, inputs[i].name));
	return node;
}

void oq_emit_tensor(oq_emitter *e, const char *name, int rank, const int64_t *shape)
{
	if (!oq_json_get(e->tensors, name))
		oq_emit_check(e, oq_json_add_ints(e->tensors, name, shape, rank));
}

void oq_emit_named(oq_emitter *e, oq_json *node, const char *key, oq_val tensor, int rank, const int64_t *shape)
{
	oq_emit_check(e, oq_json_add_string(node, key, tensor.name));
	oq_emit_tensor(e, tensor.name, rank, shape);
}

static void add_pads(oq_emitter *e, oq_json *node, const int64_t pad[3])
{
	oq_json *pads = oq_json_add_array(node, "pad");
	for (int axis = 0; axis < 3; axis++) {
		const int64_t pair[2] = {pad[axis], pad[axis]};
		oq_emit_check(e, oq_json_add_ints(pads, NULL, pair, 2));
	}
}

oq_conv_args oq_conv_cube(int64_t in, int64_t out, int64_t kernel, int64_t stride, bool bias, const char *weight)
{
	int64_t pad = (kernel - 1) / 2;
	return (oq_conv_args){.in = in, .out = out, .kernel = {kernel, kernel, kernel}, .stride = {stride, stride, stride}, .pad = {pad, pad, pad},
		.bias = bias, .weight = weight};
}

oq_val oq_emit_conv(oq_emitter *e, oq_val name, oq_val x, const oq_conv_args *args)
{
	const int64_t shape[5] = {args->out, args->in, args->kernel[0], args->kernel[1], args->kernel[2]};
	oq_json *node = oq_emit_node(e, "conv", name, &x, 1);
	oq_emit_named(e, node, "weight", oq_name("%s.weight", args->weight), 5, shape);
	if (args->bias)
		oq_emit_named(e, node, "bias", oq_name("%s.bias", args->weight), 1, shape);
	oq_emit_check(e, oq_json_add_ints(node, "stride", args->stride, 3));
	add_pads(e, node, args->pad);
	return name;
}

oq_val oq_emit_linear(oq_emitter *e, oq_val name, oq_val x, int64_t in, int64_t out, bool bias, const char *weight)
{
	const int64_t shape[2] = {out, in};
	oq_json *node = oq_emit_node(e, "linear", name, &x, 1);
	oq_emit_named(e, node, "weight", oq_name("%s.weight", weight), 2, shape);
	if (bias)
		oq_emit_named(e, node, "bias", oq_name("%s.bias", weight), 1, shape);
	return name;
}

oq_val oq_emit_batch_norm(oq_emitter *e, oq_val name, oq_val x, int64_t channels, double eps, const char *prefix)
{
	oq_json *node = oq_emit_node(e, "batch_norm", name, &x, 1);
	oq_emit_named(e, node, "weight", oq_name("%s.weight", prefix), 1, &channels);
	oq_emit_named(e, node, "bias", oq_name("%s.bias", prefix), 1, &channels);
	oq_emit_named(e, node, "mean", oq_name("%s.running_mean", prefix), 1, &channels);
	oq_emit_named(e, node, "var", oq_name("%s.running_var", prefix), 1, &channels);
	oq_emit_check(e, oq_json_add_number(node, "eps", eps));
	return name;
}

oq_val oq_emit_instance_norm(oq_emitter *e, oq_val name, oq_val x, int64_t channels, double eps, const char *prefix)
{
	oq_json *node = oq_emit_node(e, "instance_norm", name, &x, 1);
	if (prefix) {
		oq_emit_named(e, node, "weight", oq_name("%s.weight", prefix), 1, &channels);
		oq_emit_named(e, node, "bias", oq_name("%s.bias", prefix), 1, &channels);
	}
	oq_emit_check(e, oq_json_add_number(node, "eps", eps));
	return name;
}

oq_val oq_emit_layer_norm(oq_emitter *e, oq_val name, oq_val x, int64_t channels, double eps, const char *weight, const char *bias)
{
	oq_json *node = oq_emit_node(e, "layer_norm", name, &x, 1);
	if (weight)
		oq_emit_named(e, node, "weight", oq_name("%s", weight), 1, &channels);
	if (bias)
		oq_emit_named(e, node, "bias", oq_name("%s", bias), 1, &channels);
	oq_emit_check(e, oq_json_add_number(node, "eps", eps));
	return name;
}

oq_val oq_emit_simple(oq_emitter *e, const char *op, oq_val name, oq_val x)
{
	oq_emit_node(e, op, name, &x, 1);
	return name;
}

oq_val oq_emit_leaky_relu(oq_emitter *e, oq_val name, oq_val x, double slope)
{
	oq_json *node = oq_emit_node(e, "leaky_relu", name, &x, 1);
	oq_emit_check(e, oq_json_add_number(node, "slope", slope));
	return name;
}

oq_val oq_emit_add(oq_emitter *e, oq_val name, oq_val a, oq_val b)
{
	const oq_val inputs[2] = {a, b};
	oq_emit_node(e, "add", name, inputs, 2);
	return name;
}

oq_val oq_emit_pool(oq_emitter *e, const char *op, oq_val name, oq_val x, int64_t kernel, int64_t stride, int64_t pad)
{
	const int64_t kernels[3] = {kernel, kernel, kernel}, strides[3] = {stride, stride, stride}, pads[3] = {pad, pad, pad};
	oq_json *node = oq_emit_node(e, op, name, &x, 1);
	oq_emit_check(e, oq_json_add_ints(node, "kernel", kernels, 3) && oq_json_add_ints(node, "stride", strides, 3));
	add_pads(e, node, pads);
	return name;
}
