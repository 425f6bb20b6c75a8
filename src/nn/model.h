/* The planned model, as model.c builds it and session.c runs it. */
#ifndef OQ_NN_MODEL_H
#define OQ_NN_MODEL_H

#include "precision.h"

struct oq_nn_model {
	oq_graph graph;
	oq_step *steps;
	int step_count;
	size_t *value_offset;  /* floats into the slab, per value */
	size_t slab_floats, scratch_bytes, weight_bytes;
	int threads;           /* per patch */
	oq_convolution convolution;
	oq_isa isa;            /* for our own kernels */
	bool vnni;             /* AVX512_VNNI */
	bool dot;              /* or AVX_VNNI */
	struct dnnl_engine *engine;
	oq_resolution resolution;
	oq_nn_layer *layers;   /* the products, as they were before norms were fused into them */
	int *layer_nodes;      /* their indices */
	int layer_count;
};

/* Sets the thread count that oneDNN reads (an OpenMP setting of the calling thread only) and returns the one before. */
int oq_threads_enter(int threads);
void oq_threads_leave(int before);

#endif
