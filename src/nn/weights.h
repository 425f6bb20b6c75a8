/* A layer's weights as the plan wants them: everything folded in, rows of one output channel each. */
#ifndef OQ_NN_WEIGHTS_H
#define OQ_NN_WEIGHTS_H

#include "op.h"

typedef struct oq_weights {
	int64_t out;
	size_t per_out;   /* weights per output channel: in/groups * taps */
	float *values;    /* [out][in/groups][kd][kh][kw], or NULL when the package holds codes */
	int8_t *codes;    /* the same as 8-bit codes, weight = scale[o]*code; or NULL */
	float *scale;     /* [out] with codes */
	float *bias;      /* [out] or NULL when there is none */
} oq_weights;

bool oq_weights_are_codes(const oq_graph *graph, const oq_node *node);
/* `w` may be half filled after a failure; free it in every case. */
oq_status oq_weights_load(const oq_graph *graph, const oq_node *node, oq_weights *w, oq_error *err);
/* Codes, scales and bias from the caller, checked against the node's shape. */
oq_status oq_weights_copy_codes(const oq_graph *graph, const oq_node *node, const oq_nn_codes *codes, oq_weights *w, oq_error *err);
void oq_weights_free(oq_weights *w);

#endif
