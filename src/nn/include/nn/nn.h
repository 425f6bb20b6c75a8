/* The engine as the other rooms see it: a package's graph becomes a planned, immutable model; sessions run it.
 *
 * Graph (object "graph" of model.json): flat, named, static shapes without a batch axis, [C][D][H][W] for volumes, [C] for vectors.
 *   "inputs":  [{"name": "patch", "shape": [1,48,48,48]}]           one input
 *   "outputs": ["embedding"]                                          one output, a vector
 *   "nodes":   in topological order; each has "op", "name" (also the name of its value), "in": [values], and per op:
 *     conv            "weight", optional "bias": tensor names; "stride", "pad" ([[low,high],...]), optional "dilation", "groups"
 *     linear          "weight" [out][in], optional "bias"
 *     batch_norm      "weight","bias","mean","var","eps"               running statistics; folded into neighbours by the planner
 *     instance_norm   optional "weight","bias"; "eps"                  statistics per patch and channel, biased variance
 *     relu | leaky_relu ("slope") | gelu (exact erf form)
 *     add             two inputs of equal shape
 *     concat          along channels
 *     max_pool | avg_pool   "kernel","stride","pad"; max pads with -inf, averages are over the real voxels of a window
 *     global_avg_pool       mean over all voxels -> [C]
 *     l2_normalize    divide by the L2 norm; "eps" added nowhere, norm 0 is refused at run time
 *     permute         "perm" over [C][D][H][W]
 *     flatten         row-major to one vector
 *     reshape         "grid" [3]: the same voxels in the same order as another grid
 *     layer_norm      over channels; optional "weight","bias"; "eps"
 *     geglu           first half of the channels times the GELU of the second
 *     patchify        "block" [3]: blocks of a one-channel volume become voxels of block-size channels
 *     patch_merge     "offsets": neighbours of a 2x2x2 block in the order given become channels
 *     window_attention, channel_attention, vq_lookup      see op_attention.c, op_channel_attention.c, op_vq.c
 * Weights of rank 4 are two-dimensional convolutions; linear layers on volumes act on every voxel ("transposed": [in][out]). */
#ifndef OQ_NN_NN_H
#define OQ_NN_NN_H

#include "core/package.h"

typedef struct oq_nn_model oq_nn_model;     /* immutable, shared by sessions */
typedef struct oq_nn_session oq_nn_session; /* one thread at a time; owns activation memory */

/* Quantisation is a property of values and of layers. A value with a range may be held as unsigned bytes,
 * value = scale * (code - zero); a layer with codes multiplies them, weight[o][i] = scale[o] * code[o][i], and adds `bias`. A layer
 * may also bring other float weights. */
typedef struct oq_nn_range {
	const char *value;
	float scale;
	int32_t zero;        /* 0 to 255 */
} oq_nn_range;

typedef struct oq_nn_codes {
	const char *node;
	const int8_t *codes;  /* [out][in][kd][kh][kw], or NULL: the layer stays in float ... */
	const float *scale;   /* [out] */
	const float *weights; /* ... with these weights [out][in][kd][kh][kw] */
	const float *bias;   /* [out], batch norm folded in */
} oq_nn_codes;

/* Other values of a layer norm's gain or shift than the package's. */
typedef struct oq_nn_vector {
	const char *tensor;
	const float *values; /* [channels] */
} oq_nn_vector;
/* The values for a tensor, or NULL. */
const float *oq_nn_vector_find(const oq_nn_vector *vectors, int count, const char *tensor);

typedef struct oq_nn_quantization {
	const oq_nn_range *ranges;
	int range_count;
	const oq_nn_codes *layers;
	int layer_count;
	const oq_nn_vector *vectors;
	int vector_count;
} oq_nn_quantization;

typedef struct oq_nn_options {
	oq_precision precision;       /* of the products; OQ_PRECISION_PACKAGE: what the package was made for */
	oq_convolution convolution;   /* of float32 convolutions */
	bool strict;                  /* refuse instead of computing in float32 what this processor cannot compute as asked */
	const oq_nn_quantization *quantization; /* instead of the package's own; with OQ_PRECISION_INT8 */
	bool wide;                    /* with a quantization: layers without codes, and values between layers, in float32 instead of bfloat16 (measuring one layer) */
	int threads_per_patch;        /* threads that share one patch; 1 = one patch per thread (default when 0) */
	size_t most_weight_bytes;     /* of packed weights; more is refused (E_MEMORY, with what is needed) before it is allocated; 0: any */
	const char *const *keep;      /* values to keep readable after a run (tests, debugging); NULL-terminated or NULL */
} oq_nn_options;

/* Reads weights tensor by tensor from the package, folds, fuses, packs, plans memory. Fails with OQ_E_MODEL (bad graph or
 * weights, node named), OQ_E_UNSUPPORTED (this CPU), OQ_E_RESOURCE. */
oq_status oq_nn_model_open(const oq_package *package, const oq_nn_options *options, oq_nn_model **out, oq_error *err);
void oq_nn_model_close(oq_nn_model *model);
/* What was asked for and what the products are computed in, and why they differ ("" when they do not). */
oq_precision oq_nn_model_precision(const oq_nn_model *model, oq_precision *asked, const char **why);

/* The choice that was asked for; and how a step of the plan computes its product: "winograd-f2", "winograd-f2-bf16", "winograd-f4",
 * "winograd-i16-f3", "taps-i16", "taps-u8" (of codes), "rows" (linear), "tap-gemm", "depthwise", "onednn", or NULL when it is none. */
oq_convolution oq_nn_model_convolution(const oq_nn_model *model);
const char *oq_nn_model_method(const oq_nn_model *model, int step);
/* SHA-256 of the plan: each step's op, method and types in turn. On one processor, with one version, the same plan of the same package gives the same bits. */
void oq_nn_model_plan_sha256(const oq_nn_model *model, char hex[65]);

/* A convolution or linear layer of the folded graph. */
typedef struct oq_nn_layer {
	const char *node, *input, *output; /* of the node, its input's and its result's values */
	const char *weight;                /* tensor; layers may share one */
	int64_t in, out, taps;
	double gflop;
	bool quantizable;                  /* 8-bit products are worth it and possible */
	bool nonnegative;                  /* its input never falls below 0 */
	bool private_output;               /* only layers read its result, and nothing is added to it: its channels may be scaled at will */
	const char *gain, *shift;          /* tensors [in] of the layer norm that makes its input, if that may be scaled so, too; else NULL (shift: or none) */
} oq_nn_layer;
int oq_nn_model_layers(const oq_nn_model *model);
void oq_nn_model_layer(const oq_nn_model *model, int index, oq_nn_layer *out);
/* share [taps]: the part of the output's voxels for which a tap lies inside the input, not in its padding. */
void oq_nn_model_layer_taps(const oq_nn_model *model, int index, double *share);
/* Folded weights [out][in*taps] and bias [out] (zeros when there is none) of a float model; the package must still be open. */
oq_status oq_nn_model_layer_read(const oq_nn_model *model, int index, float *weights, float *bias, oq_error *err);

int oq_nn_model_input_shape(const oq_nn_model *model, int64_t shape[OQ_MAX_RANK]); /* returns the rank */
size_t oq_nn_model_input_count(const oq_nn_model *model);
size_t oq_nn_model_output_count(const oq_nn_model *model);
size_t oq_nn_model_weight_bytes(const oq_nn_model *model);  /* packed, resident */
size_t oq_nn_model_session_bytes(const oq_nn_model *model); /* activations of one session */
/* Version string of the oneDNN in use and the instruction set it reports. */
void oq_nn_backend(char version[32], char isa[48]);

oq_status oq_nn_session_open(const oq_nn_model *model, oq_nn_session **out, oq_error *err);
void oq_nn_session_close(oq_nn_session *session);
/* patch: input_count floats; embedding: output_count floats. Same bits for any session, thread count and neighbour. */
oq_status oq_nn_session_run(oq_nn_session *session, const float *patch, float *embedding, oq_error *err);

/* Variants of one patch: what the voxels that differ cannot reach is taken from the patch's own run, and every result has the bits of a whole run.
 * `extent`: of the box of voxels that most variants differ in. Networks with norms over a patch, or attention, gain nothing. */
typedef struct oq_nn_reuse oq_nn_reuse;
oq_status oq_nn_reuse_open(const oq_nn_model *model, const int64_t extent[3], oq_nn_reuse **out, oq_error *err);
void oq_nn_reuse_close(oq_nn_reuse *reuse);
/* The share of a whole run's multiplications that a variant takes which differs in `extent` voxels from `start` on; 1 when it cannot be told. */
double oq_nn_reuse_share(const oq_nn_reuse *reuse, const int64_t start[3], const int64_t extent[3]);
/* Memory of each session, and of the patch's values once more. */
size_t oq_nn_reuse_session_bytes(const oq_nn_reuse *reuse);
/* The patch whose variants come next; none may be running. */
oq_status oq_nn_reuse_patch(oq_nn_reuse *reuse, const float *patch, float *embedding, oq_error *err);
/* Its runs take variants. */
oq_status oq_nn_session_open_reusing(const oq_nn_reuse *reuse, oq_nn_session **out, oq_error *err);

/* A kept value of the last run as [C][D][H][W] (or [C]); *data stays valid until the next run. */
oq_status oq_nn_session_value(oq_nn_session *session, const char *name, const float **data, int *rank, int64_t shape[OQ_MAX_RANK], oq_error *err);

/* One step of the plan, for reports. ms is the mean over timed runs since profiling was switched on. */
typedef struct oq_nn_step_info {
	const char *name;           /* the value it makes */
	const char *op;             /* "conv+relu", ... */
	const char *implementation; /* "winograd-f2:avx512", "onednn:brgconv:avx512_core", ... */
	const char *precision;      /* of its multiplications, or of what it writes when it has none */
	double gflop;               /* nominal, multiply-add = 2 */
	double bytes;               /* weights + inputs + outputs touched at least once */
	double ms;
	double peak_gflops;         /* what the threads of a patch can do in this precision at most (oq_nn_session_measure_peaks); 0: not known */
} oq_nn_step_info;
/* Measures this processor's peak in the precisions that the plan's products use: some milliseconds each. */
void oq_nn_session_measure_peaks(oq_nn_session *session);
int oq_nn_model_steps(const oq_nn_model *model);
void oq_nn_session_profile(oq_nn_session *session, bool on);
void oq_nn_session_step(const oq_nn_session *session, int index, oq_nn_step_info *out);

#endif
