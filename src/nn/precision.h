/* Which precision a model's products run in, and which type every value has in memory. */
#ifndef OQ_NN_PRECISION_H
#define OQ_NN_PRECISION_H

#include "op.h"

/* What was asked for, what this processor makes of it, and why it is something else ("" when it is not). */
typedef struct oq_resolution {
	oq_precision asked, used;
	oq_dtype stored;  /* type that weights of float layers are rounded to */
	bool bytes;       /* this processor multiplies bytes natively, in the kernels of our own */
	bool bf16;        /* this processor multiplies bfloat16 natively: what an int8 package leaves in float runs in it */
	oq_convolution convolution; /* DIRECT when strict: then every product has the precision asked for */
	oq_convolution own;         /* as asked for: how layers of either precision are computed */
	char why[160];
} oq_resolution;

/* Refuses what the package cannot give (OQ_E_MODEL, OQ_E_USAGE) and what this processor cannot compute right, or, when strict, as
 * asked (OQ_E_UNSUPPORTED). */
oq_status oq_precision_resolve(const oq_package *package, const oq_nn_options *options, const oq_cpu *cpu, oq_resolution *out, oq_error *err);

/* After folding: gives every product its precision and every value its type, and inserts casts. `quantization` NULL: the
 * package's own. */
oq_status oq_precision_assign(oq_graph *graph, const oq_resolution *resolution, const oq_nn_quantization *quantization, oq_error *err);

/* A product that 8 bits serve: not a stem of few channels, not depthwise, with weights that are stored as they are used. */
bool oq_precision_quantizable(const oq_graph *graph, const oq_node *node);
/* Only products that can be quantised read the node's output, and nothing is added to it. */
bool oq_precision_private_output(const oq_graph *graph, const oq_node *node);
/* The layer norm with a gain that makes the value, if the value is as private and the norm's tensors are its own; or NULL. */
const oq_node *oq_precision_scalable_norm(const oq_graph *graph, int value);
bool oq_precision_nonnegative(const oq_graph *graph, int value);
bool oq_is_product(const oq_node *node);

#endif
