/* Graph: what model.json's "graph" says, parsed and checked; then rewritten by fold.c until every node is one step to run.
 * Values and nodes live in arrays and are named by index; strings live in the graph's arena. */
#ifndef OQ_NN_GRAPH_H
#define OQ_NN_GRAPH_H

#include "core/mem.h"
#include "core/package.h"

#define OQ_MAX_INPUTS 8
#define OQ_SPATIAL 3
#define OQ_MERGE_MAX 8

typedef struct oq_op oq_op;
typedef struct oq_node oq_node;

typedef struct oq_value {
	const char *name;
	int rank;                   /* 4: [C][D][H][W], 1: [C] */
	int64_t shape[OQ_MAX_RANK]; /* logical order, no batch axis; memory is [D][H][W][C] */
	size_t count;
	int uses;                   /* nodes that read it, plus 1 for the graph's output */
	bool keep;                  /* must stay readable after a run */
	oq_dtype dtype;             /* in memory: OQ_F32, OQ_BF16, or OQ_U8: value = scale * (code - zero) */
	float scale;
	int32_t zero;
} oq_value;

/* Every attribute an op may have; which ones count is the op's business. */
typedef struct oq_attributes {
	const char *weight, *bias, *mean, *var; /* tensor names or NULL */
	const char *mlp, *k_scale;              /* attention: prefix of a network's tensors, tensor name */
	int64_t heads;
	int64_t kernel[OQ_SPATIAL], stride[OQ_SPATIAL], dilation[OQ_SPATIAL];
	int64_t pad_low[OQ_SPATIAL], pad_high[OQ_SPATIAL];
	int64_t groups;
	int64_t perm[4];
	double eps;
	float slope; /* of a leaky relu; 0 = relu, 1 = identity */
	unsigned char merge[OQ_MERGE_MAX]; /* patch_merge: bits d,h,w of each offset */
	int merge_count;
	bool transposed; /* linear: the weight is [in][out] */
} oq_attributes;

struct oq_node {
	const oq_op *op;
	const char *name;
	int inputs[OQ_MAX_INPUTS], input_count;
	int output;
	oq_attributes attributes;
	bool removed;
	/* What fold.c has merged into this node: */
	const oq_node *folded_norm; /* batch norm after a convolution: scales its weights */
	int64_t repeat_in;          /* the input channels are this many copies of one value: weights are summed over them */
	int residual;               /* value added before the activation, or -1 */
	bool activated;             /* followed by max(x,0)+slope*min(x,0) with `slope` */
	float slope;
	bool gelu;                  /* a product followed by GELU instead; see precision.c */
	bool gated;                 /* a product followed by geglu: its result has half as many channels as its weights have rows */
	/* What fuse.c has merged into a Winograd convolution: */
	const oq_node *entry_norm;  /* norm and activation of its input: a batch norm, or an instance norm whose scale and shift are inputs[1] */
	const oq_node *exit_norm;   /* instance norm of its output ... */
	int affine;                 /* ... whose scale and shift, a value of [2*C], it computes for whoever applies them */
	bool winograd;              /* a convolution that Winograd computes: in float32 it reads and writes bfloat16, too */
	oq_dtype compute;           /* of a product: OQ_F32, OQ_BF16 or OQ_I8; of a pool: OQ_U8 when bytes pass through it; see precision.c */
};

typedef struct oq_graph {
	oq_arena arena;
	const char *where; /* package path, for messages */
	const oq_package *package;
	oq_value *values;
	int value_count;
	oq_node *nodes;
	int node_count;
	int input, output; /* values */
} oq_graph;

/* Parse, check names, topological order, shapes and tensors. `keep` may be NULL. */
oq_status oq_graph_parse(const oq_package *package, const char *const *keep, oq_graph *graph, oq_error *err);
void oq_graph_free(oq_graph *graph);

/* Rewrites in place: batch norm into convolutions, repeated channels into weights, additions and activations into their producers. */
void oq_graph_fold(oq_graph *graph);

/* Rows of a product's weights. */
static inline int64_t oq_node_rows(const oq_graph *graph, const oq_node *node)
{
	return graph->values[node->output].shape[0] * (node->gated ? 2 : 1);
}

/* After types are chosen: norms into the Winograd convolutions around them. */
oq_status oq_graph_fuse_norms(oq_graph *graph, oq_error *err);

/* The node that makes a value; NULL for the graph's input. */
oq_node *oq_graph_producer(const oq_graph *graph, int value);

/* The index of a value by name, or -1. */
int oq_graph_value(const oq_graph *graph, const char *name);

/* Shape of a tensor must be exactly this, or the node is refused. */
oq_status oq_graph_check_tensor(const oq_graph *graph, const oq_node *node, const char *tensor, int rank, const int64_t *shape, oq_error *err);
/* Refuse `node` with "package: node NAME (op): message". */
#if defined(__GNUC__)
__attribute__((format(printf, 4, 5)))
#endif
oq_status oq_graph_refuse(const oq_graph *graph, const oq_node *node, oq_error *err, const char *format, ...);

#endif
