/* The op table: one row per kind, so that nothing else in the engine needs to know the kinds. */
#ifndef OQ_NN_OP_H
#define OQ_NN_OP_H

#include "core/cpu.h"
#include "kernel/box.h"
#include "kernel/convert.h"
#include "nn/nn.h"
#include "graph.h"

typedef struct oq_step oq_step;
typedef struct oq_planner oq_planner;

/* What a running step may touch. */
typedef struct oq_run {
	float *slab;           /* activations of this session */
	const size_t *place;   /* of each value: floats into the slab */
	void *scratch;         /* as large as the largest step asked for */
	void *private_state;   /* of this step in this session, or NULL */
	int threads;           /* that share this patch */
	oq_isa isa;            /* for our own kernels */
	struct dnnl_stream *stream;
	const oq_box *box;     /* of the output's voxels that differ from the memory of a reused run: others may stay; NULL: no memory, all */
	const void *part;      /* of this step in a reused run, or NULL */
} oq_run;

/* What computes a part of a step's output: see oq_op.open_part. */
typedef struct oq_part {
	void *state;           /* NULL: none */
	size_t scratch_bytes;  /* of the step when it is used */
} oq_part;

struct oq_op {
	const char *name;
	int min_inputs, max_inputs;
	bool in_place;         /* may write its output over its first input when that dies here and both have one type */
	bool typed;            /* reads and writes values of any type; others see float32 only */
	/* Attributes from JSON; NULL = none. */
	oq_status (*parse)(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err);
	/* Output shape from input shapes; checks the tensors. */
	oq_status (*infer)(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err);
	/* Chooses an implementation and packs weights into step->state. */
	oq_status (*plan)(const oq_planner *planner, const oq_node *node, oq_step *step, oq_error *err);
	oq_status (*run)(const oq_step *step, oq_run *run, oq_error *err);
	void (*close)(oq_step *step);
	/* Optional state per session (handles bound to that session's memory). */
	oq_status (*open_session)(const oq_step *step, oq_run *run, oq_error *err);
	void (*close_session)(const oq_step *step, void *private_state);
	/* For runs that reuse another's values (reuse.c): which voxels of the output see a box of an input; NULL: all may. */
	void (*reach)(const oq_step *step, const oq_box *in, oq_box *out);
	/* Optional: what runs boxes of up to `extent` voxels, smaller than the output, with the bits of the whole. */
	oq_status (*open_part)(const oq_step *step, const int64_t extent[OQ_SPATIAL], oq_part *part, oq_error *err);
	void (*close_part)(void *part);
	/* The share of its multiplications that a run of `box` makes; NULL: all. */
	double (*share)(const oq_step *step, const void *part, const oq_box *box);
};

struct oq_planner {
	const oq_graph *graph;
	const oq_nn_quantization *quantization; /* codes of layers, or NULL: those in the package */
	int threads;      /* per patch */
	oq_isa isa;
	bool vnni;        /* with an 8-bit dot product, in AVX-512 */
	bool dot;         /* with an 8-bit dot product of any width: oneDNN's sums of codes are exact */
	oq_convolution convolution;
	oq_dtype stored;  /* type that weights of float layers are rounded to */
	bool bf16;        /* this processor multiplies bfloat16 natively */
	struct dnnl_engine *engine;
};

struct oq_step {
	const oq_op *op;
	const oq_node *node;
	const oq_graph *graph;
	void *state;
	size_t scratch_bytes, weight_bytes;
	double gflop;
	const char *method; /* of a product, see oq_nn_model_method */
	char label[48], implementation[64];
};

const oq_op *oq_op_find(const char *name); /* NULL when unknown */

static inline float *oq_run_input(const oq_step *step, const oq_run *run, int index)
{
	return run->slab + run->place[step->node->inputs[index]];
}

static inline float *oq_run_output(const oq_step *step, const oq_run *run)
{
	return run->slab + run->place[step->node->output];
}

static inline float *oq_run_residual(const oq_step *step, const oq_run *run)
{
	return step->node->residual >= 0 ? run->slab + run->place[step->node->residual] : NULL;
}

static inline float *oq_run_affine(const oq_step *step, const oq_run *run)
{
	return step->node->exit_norm ? run->slab + run->place[step->node->affine] : NULL;
}

static inline const oq_value *oq_step_residual(const oq_step *step)
{
	return step->node->residual >= 0 ? &step->graph->values[step->node->residual] : NULL;
}

static inline const oq_value *oq_step_input(const oq_step *step, int index)
{
	return &step->graph->values[step->node->inputs[index]];
}

static inline const oq_value *oq_step_output(const oq_step *step)
{
	return &step->graph->values[step->node->output];
}

/* Voxels of a value: 1 for a vector. */
static inline int64_t oq_value_voxels(const oq_value *value)
{
	return value->rank == 4 ? value->shape[1] * value->shape[2] * value->shape[3] : 1;
}

/* A value's memory with its type. */
static inline oq_typed oq_typed_value(float *data, const oq_value *value)
{
	return (oq_typed){.data = data, .dtype = value->dtype, .scale = value->scale, .zero = value->zero};
}

/* Rows of the table, each in its own file. */
extern const oq_op oq_op_conv, oq_op_linear, oq_op_batch_norm, oq_op_instance_norm, oq_op_relu, oq_op_leaky_relu, oq_op_add,
	oq_op_concat, oq_op_max_pool, oq_op_avg_pool, oq_op_global_avg_pool, oq_op_l2_normalize, oq_op_permute, oq_op_flatten,
	oq_op_layer_norm, oq_op_gelu, oq_op_patch_merge, oq_op_window_attention, oq_op_vq_lookup, oq_op_patchify,
	oq_op_reshape, oq_op_geglu, oq_op_channel_attention, oq_op_cast;

/* A batch norm's running statistics as y = x*scale[c] + shift[c], in double; refuses negative variances. */
oq_status oq_batch_norm_affine(const oq_graph *graph, const oq_node *node, double *scale, double *shift, int64_t channels, oq_error *err);
/* A norm's constants as [2][channels]: of a batch norm its final scale and shift, of an instance norm its weight and bias. */
oq_status oq_norm_constants(const oq_graph *graph, const oq_node *node, float *scale, float *shift, int64_t channels, oq_error *err);
/* y = x*scale + shift of one channel of an instance norm. */
void oq_instance_norm_affine(const oq_node *node, float weight, float bias, double mean, double variance, float *scale, float *shift);
/* Optional or required tensor name of a node into the graph's arena. */
oq_status oq_node_tensor(oq_graph *graph, const oq_node *node, const oq_json *json, const char *key, bool required, const char **out, oq_error *err);

/* A convolution that Winograd computes in its precision, float32 or bfloat16. */
bool oq_conv_is_winograd(const oq_graph *graph, const oq_node *node, oq_convolution choice);
/* A convolution that F(4) in float32 computes faster than bfloat16 products directly: it has a fourth of their multiplications. */
bool oq_conv_beats_bf16(const oq_graph *graph, const oq_node *node, oq_convolution choice);

/* oq_op.reach of ops that compute every voxel from the same one of each input. */
void oq_same_reach(const oq_step *step, const oq_box *in, oq_box *out);

/* Shared by the window ops (conv, pools). */
void oq_window_reach(const oq_step *step, const oq_box *in, oq_box *out);
oq_status oq_window_parse(const oq_graph *graph, oq_node *node, const oq_json *json, bool kernel_too, oq_error *err);
oq_status oq_window_infer(const oq_graph *graph, const oq_node *node, const int64_t in[OQ_SPATIAL], int64_t out[OQ_SPATIAL], oq_error *err);

#endif
