/* Emitter: appends nodes to a graph document. The first failure (memory, or a name that is too long) is remembered, so that a
 * builder reads as the network's description and checks once at its end. */
#ifndef OQ_ARCH_EMIT_H
#define OQ_ARCH_EMIT_H

#include "core/json.h"

#define OQ_NAME_MAX 160

typedef struct oq_emitter {
	oq_json *graph, *nodes, *tensors; /* tensors: name -> shape, what the weights must hold */
	const char *where;
	oq_error *err;
	oq_status status;
} oq_emitter;

/* A value by name; names are copied, so that one can be built in place. */
typedef struct oq_val {
	char name[OQ_NAME_MAX];
} oq_val;

/* printf into a name. */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
oq_val oq_name(const char *format, ...);

oq_status oq_emit_open(oq_emitter *e, const char *where, const int64_t input[4], oq_error *err);
/* Ends with `output` and hands the document over, or frees it and returns the first failure. */
oq_status oq_emit_close(oq_emitter *e, oq_val output, oq_json **graph);

/* The graph's input. */
oq_val oq_emit_input(void);

typedef struct oq_conv_args {
	int64_t in, out;                    /* channels */
	int64_t kernel[3], stride[3], pad[3]; /* pad on both sides */
	bool bias;
	const char *weight;                 /* tensor prefix: PREFIX.weight, PREFIX.bias */
} oq_conv_args;
/* Same kernel, stride on all axes, padding (kernel-1)/2. */
oq_conv_args oq_conv_cube(int64_t in, int64_t out, int64_t kernel, int64_t stride, bool bias, const char *weight);

oq_val oq_emit_conv(oq_emitter *e, oq_val name, oq_val x, const oq_conv_args *args);
oq_val oq_emit_linear(oq_emitter *e, oq_val name, oq_val x, int64_t in, int64_t out, bool bias, const char *weight);
/* Running statistics PREFIX.{weight,bias,running_mean,running_var}. */
oq_val oq_emit_batch_norm(oq_emitter *e, oq_val name, oq_val x, int64_t channels, double eps, const char *prefix);
/* Statistics per patch; prefix NULL = no affine part. */
oq_val oq_emit_instance_norm(oq_emitter *e, oq_val name, oq_val x, int64_t channels, double eps, const char *prefix);
oq_val oq_emit_layer_norm(oq_emitter *e, oq_val name, oq_val x, int64_t channels, double eps, const char *weight, const char *bias);
/* One input and no attributes: relu, gelu, global_avg_pool, flatten, l2_normalize, geglu. */
oq_val oq_emit_simple(oq_emitter *e, const char *op, oq_val name, oq_val x);
oq_val oq_emit_leaky_relu(oq_emitter *e, oq_val name, oq_val x, double slope);
oq_val oq_emit_add(oq_emitter *e, oq_val name, oq_val a, oq_val b);
oq_val oq_emit_pool(oq_emitter *e, const char *op, oq_val name, oq_val x, int64_t kernel, int64_t stride, int64_t pad);

/* For ops with attributes of their own: the node object, to which the builder adds; NULL after a failure. */
oq_json *oq_emit_node(oq_emitter *e, const char *op, oq_val name, const oq_val *inputs, int count);
/* A tensor that the weights must hold. */
void oq_emit_tensor(oq_emitter *e, const char *name, int rank, const int64_t *shape);
/* node.KEY = TENSOR, which the weights must hold with this shape. */
void oq_emit_named(oq_emitter *e, oq_json *node, const char *key, oq_val tensor, int rank, const int64_t *shape);
void oq_emit_check(oq_emitter *e, bool good);

/* Families, one file each. */
oq_status oq_arch_segresenc(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err);
oq_status oq_arch_resnet3d(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err);
oq_status oq_arch_i3resnet(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err);
oq_status oq_arch_unet3d(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err);
oq_status oq_arch_nnunet(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err);
oq_status oq_arch_swin(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err);
oq_status oq_arch_davit(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err);
oq_status oq_arch_ctvit(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err);

/* Bottleneck stages shared by the two residual networks (bottleneck.c): depths[4], planes of the first stage, 3x3x3 stride on
 * conv2. `tensor` and `stage` are prefixes of tensor names and value names. */
typedef struct oq_bottlenecks {
	int64_t depths[4], planes;
	bool shortcut_bias;
	const char *tensor, *stage;
} oq_bottlenecks;
oq_val oq_emit_bottlenecks(oq_emitter *e, oq_val x, const oq_bottlenecks *args);

#endif
