/* Reading the goldens of the evaluation. */
#ifndef OQ_TESTS_EVAL_MATRICES_H
#define OQ_TESTS_EVAL_MATRICES_H

#include "check.h"

#include "core/json.h"
#include "core/mem.h"
#include "eval/matrix.h"
#include "io/npy.h"

static inline oq_matrix read_matrix(const char *name)
{
	char path[1024];
	oq_npy *npy = NULL;
	oq_error err;
	snprintf(path, sizeof path, "%s/eval/%s.npy", OQ_TEST_DATA, name);
	OQ_REQUIRE(oq_npy_open(path, &npy, &err) == OQ_OK);
	float *data = oq_alloc(npy->count * sizeof *data);
	OQ_REQUIRE(data && oq_npy_read_f32(npy, 0, npy->count, data, &err) == OQ_OK);
	oq_matrix matrix = {.data = data, .rows = npy->shape[0], .columns = npy->shape[1]};
	oq_npy_close(npy);
	return matrix;
}

static inline void free_matrix(oq_matrix *matrix)
{
	union { const float *in; float *out; } data = {matrix->data};
	oq_free(data.out);
}

static inline void check_near(const char *what, const char *key, double got, double want, double tolerance)
{
	bool near = fabs(got - want) <= tolerance * fmax(1, fabs(want));
	if (!near)
		fprintf(stderr, "%s %s: %.17g, expected %.17g\n", what, key, got, want);
	OQ_CHECK(near);
}

#endif
