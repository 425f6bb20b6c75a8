/* Embeds one point of one scan: embed_one PACKAGE SCAN X Y Z, with X Y Z the point in LPS millimetres.
 * Shows what most programs need of the library: open, cut out the patch, run, close. Refuses nothing itself: the library's
 * error says what is wrong, and its status is the exit code. */
#include <oncoquant.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void print_embedding(const float *embedding, int64_t size, const oq_patch_report *report)
{
	double sum = 0;
	for (int64_t i = 0; i < size; i++)
		sum += (double)embedding[i] * (double)embedding[i];
	printf("%.0f HU at the seed, %.0f %% of the patch outside the scan\n", report->seed_hu, 100 * report->padding_fraction);
	printf("embedding of %lld values, norm %.6g, first: %.6g %.6g %.6g\n", (long long)size, sqrt(sum), (double)embedding[0],
		(double)embedding[1], (double)embedding[2]);
}

static oq_status embed(const oq_model *model, const oq_scan *scan, const double seed_lps_mm[3], oq_error *err)
{
	int64_t shape[4], size = oq_model_embedding_size(model);
	oq_model_patch_shape(model, shape);
	float *patch = malloc((size_t)(shape[0] * shape[1] * shape[2] * shape[3]) * sizeof *patch); /* [C][D][H][W] */
	float *embedding = malloc((size_t)size * sizeof *embedding);
	oq_session *session = NULL;
	oq_patch_report report;
	oq_status status = OQ_E_RESOURCE;
	if (patch && embedding)
		status = oq_scan_patch(scan, model, seed_lps_mm, OQ_RESAMPLING_REFERENCE, patch, &report, err);
	if (status == OQ_OK)
		status = oq_session_open(model, 1, &session, err);
	if (status == OQ_OK)
		status = oq_session_run(session, patch, 1, embedding, err);
	if (status == OQ_OK)
		print_embedding(embedding, size, &report);
	oq_session_close(session);
	free(embedding);
	free(patch);
	return status;
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "usage: %s PACKAGE SCAN X Y Z\n", argv[0]);
		return OQ_E_USAGE;
	}
	const double seed_lps_mm[3] = {atof(argv[3]), atof(argv[4]), atof(argv[5])};
	oq_model *model = NULL;
	oq_scan *scan = NULL;
	oq_error err = {.message = "out of memory"};
	oq_status status = oq_model_open(argv[1], NULL, &model, &err);
	if (status == OQ_OK)
		status = oq_scan_open(argv[2], NULL, &scan, &err);
	if (status == OQ_OK)
		status = embed(model, scan, seed_lps_mm, &err);
	if (status != OQ_OK)
		fprintf(stderr, "%s: %s\n", argv[0], err.message);
	oq_scan_close(scan);
	oq_model_close(model);
	return status;
}
