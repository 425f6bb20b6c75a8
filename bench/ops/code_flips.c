/* Counts where two packages of one network disagree in a value on the way: for CT-CLIP's value "vq" the tokens that the quantiser gives
 * another row of the codebook, which an embedding, a mean over such rows, does not show one by one. Prints "differ of all" in tokens.
 * usage: code_flips FLOAT.oq OTHER.oq PATCHES.npy [VALUE]      PATCHES [N,1,D,H,W] of the model's setting; VALUE: vq */
#include "core/mem.h"
#include "io/npy.h"
#include "nn/nn.h"

#include <stdio.h>
#include <string.h>

typedef struct side {
	oq_package *package;
	oq_nn_model *model;
	oq_nn_session *session;
	float *embedding;
} side;

static oq_status side_open(side *s, const char *path, const char *value, oq_error *err)
{
	const char *const keep[] = {value, NULL};
	const oq_nn_options options = {.keep = keep};
	oq_status status = oq_package_open(path, &s->package, err);
	if (!status)
		status = oq_nn_model_open(s->package, &options, &s->model, err);
	if (!status)
		status = oq_nn_session_open(s->model, &s->session, err);
	if (status)
		return status;
	size_t bytes = oq_nn_model_output_count(s->model) * sizeof *s->embedding;
	s->embedding = oq_alloc(bytes);
	return s->embedding ? OQ_OK : oq_fail_memory(err, "the embedding", bytes);
}

static void side_close(side *s)
{
	oq_free(s->embedding);
	oq_nn_session_close(s->session);
	oq_nn_model_close(s->model);
	oq_package_close(s->package);
}

/* The channels of token t lie `tokens` apart: [C][tokens]. Rows of a codebook are far apart, the same row in 16 bits is at most 0.4 % away. */
#define SAME 0.05
static bool same_token(const float *a, const float *b, int64_t t, int64_t tokens, int64_t channels)
{
	double distance = 0, norm = 0;
	for (int64_t c = 0; c < channels; c++) {
		double x = a[c * tokens + t], d = b[c * tokens + t] - x;
		distance += d * d;
		norm += x * x;
	}
	return distance <= SAME * SAME * norm;
}

static oq_status count_patch(side sides[2], const char *value, const float *patch, int64_t counts[2], oq_error *err)
{
	const float *data[2] = {NULL, NULL};
	int64_t shape[2][OQ_MAX_RANK];
	int rank[2];
	for (int i = 0; i < 2; i++) {
		oq_status status = oq_nn_session_run(sides[i].session, patch, sides[i].embedding, err);
		if (!status)
			status = oq_nn_session_value(sides[i].session, value, &data[i], &rank[i], shape[i], err);
		if (status)
			return status;
	}
	int64_t tokens = 1;
	for (int axis = 1; axis < rank[0]; axis++)
		tokens *= shape[0][axis];
	for (int64_t t = 0; t < tokens; t++)
		counts[0] += !same_token(data[0], data[1], t, tokens, shape[0][0]);
	counts[1] += tokens;
	return OQ_OK;
}

static oq_status count_all(side sides[2], const char *value, const oq_npy *patches, int64_t counts[2], oq_error *err)
{
	size_t size = oq_nn_model_input_count(sides[0].model);
	if (patches->count == 0 || patches->count % size)
		return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "%s: has %zu values, expected a multiple of %zu", patches->path, patches->count, size);
	float *patch = oq_alloc_aligned(size * sizeof *patch);
	oq_status status = patch ? OQ_OK : oq_fail_memory(err, "a patch", size * sizeof *patch);
	for (size_t first = 0; !status && first < patches->count; first += size) {
		status = oq_npy_read_f32(patches, first, size, patch, err);
		if (!status)
			status = count_patch(sides, value, patch, counts, err);
	}
	oq_free_aligned(patch);
	return status;
}

int main(int argc, char **argv)
{
	if (argc != 4 && argc != 5) {
		fprintf(stderr, "usage: code_flips FLOAT.oq OTHER.oq PATCHES.npy [VALUE]\n");
		return OQ_E_USAGE;
	}
	const char *value = argc == 5 ? argv[4] : "vq";
	side sides[2] = {{0}, {0}};
	int64_t counts[2] = {0, 0};
	oq_npy *patches = NULL;
	oq_error err = {0};
	oq_status status = oq_npy_open(argv[3], &patches, &err);
	for (int i = 0; i < 2 && !status; i++)
		status = side_open(&sides[i], argv[1 + i], value, &err);
	if (!status)
		status = count_all(sides, value, patches, counts, &err);
	if (status)
		fprintf(stderr, "code_flips: error: %s\n", err.message);
	else
		printf("%lld of %lld\n", (long long)counts[0], (long long)counts[1]);
	side_close(&sides[0]);
	side_close(&sides[1]);
	oq_npy_close(patches);
	return (int)status;
}
