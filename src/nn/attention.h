/* What the attention ops share. */
#ifndef OQ_NN_ATTENTION_H
#define OQ_NN_ATTENTION_H

#include "op.h"

/* The position bias [heads][n][n] of a node's window, expanded from a table and its index or from a small network; *bias
 * stays NULL when the node has none. Free with oq_free. */
oq_status oq_attention_bias(const oq_graph *graph, const oq_node *node, int64_t heads, const int64_t window[OQ_SPATIAL], float **bias, oq_error *err);

#endif
