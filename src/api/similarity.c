/* How alike models see the same patches: every pair of several files of embeddings. */
#include "failed.h"
#include "gate.h"
#include "names.h"

#include "core/file.h"
#include "core/locale.h"
#include "core/mem.h"
#include "eval/similarity.h"
#include "report/heatmap.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MOST 64

static const struct measure {
	const char *key, *title;
	size_t offset;
} measures[] = {
	{"mutual_knn10", "Shared among the 10 nearest", offsetof(oq_similarity, mutual_knn10)},
	{"linear_cka", "Linear CKA", offsetof(oq_similarity, linear_cka)},
	{"debiased_cka", "Debiased CKA", offsetof(oq_similarity, debiased_cka)},
	{"rsa_spearman", "RSA (Spearman, cosine)", offsetof(oq_similarity, rsa_spearman)},
	{"procrustes_angle", "Procrustes angle (radians)", offsetof(oq_similarity, procrustes_angle)},
	{"procrustes_disparity", "Procrustes disparity", offsetof(oq_similarity, procrustes_disparity)},
};
#define MEASURES (sizeof measures / sizeof *measures)

typedef struct comparison {
	const oq_similarity_options *options;
	int count, threads;
	oq_matrix matrices[MOST];
	char *names[MOST];
	oq_similarity_side *sides[MOST];
	int64_t left_out;
	double *values; /* [measure][count][count] */
} comparison;

static double *value_at(const comparison *c, size_t measure, int i, int j)
{
	return &c->values[(measure * (size_t)c->count + (size_t)i) * (size_t)c->count + (size_t)j];
}

static oq_status measure_pairs(comparison *c, oq_error *err)
{
	for (int i = 0; i < c->count; i++) {
		OQ_TRY(oq_similarity_open(&c->matrices[i], c->threads, &c->sides[i], err));
		for (int j = 0; j <= i; j++) {
			oq_similarity pair;
			OQ_TRY(oq_similarity_pair(c->sides[i], c->sides[j], c->threads, &pair, err));
			for (size_t m = 0; m < MEASURES; m++) {
				memcpy(value_at(c, m, i, j), (const unsigned char *)&pair + measures[m].offset, sizeof(double));
				*value_at(c, m, j, i) = *value_at(c, m, i, j);
			}
		}
	}
	return OQ_OK;
}

static oq_status read_all(comparison *c, oq_error *err)
{
	if (c->options->count < 2 || c->options->count > MOST)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "similarity: %d files of embeddings, expected 2 to %d", c->options->count, MOST);
	for (int i = 0; i < c->options->count; i++) {
		OQ_TRY(oq_gate_read_matrix(c->options->embeddings[i], &c->matrices[i], err));
		c->count++;
	}
	for (int i = 1; i < c->count; i++) /* some times as many rows are not the same patches here */
		if (c->matrices[i].rows != c->matrices[0].rows)
			return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "%s: has %lld rows, %s has %lld: expected the same patches", c->options->embeddings[i],
				(long long)c->matrices[i].rows, c->options->embeddings[0], (long long)c->matrices[0].rows);
	OQ_TRY(oq_name_files(c->options->embeddings, c->count, c->names, err));
	OQ_TRY(oq_leave_out_failed(c->matrices, c->options->embeddings, c->count, 4, &c->left_out, err));
	c->values = oq_calloc(MEASURES * (size_t)(c->count * c->count), sizeof *c->values);
	return c->values ? measure_pairs(c, err) : oq_fail_memory(err, "similarity", 0);
}

static oq_json *describe(const comparison *c)
{
	oq_json *root = oq_json_object();
	oq_json *names = oq_json_add_array(root, "names");
	int64_t rows = c->matrices[0].rows, sizes[MOST];
	for (int i = 0; i < c->count; i++)
		sizes[i] = c->matrices[i].columns;
	bool good = names && oq_json_add_string(root, "format", "oncoquant-similarity") && oq_json_add_int(root, "schema", 1)
		&& oq_json_add_int(root, "rows", rows) && oq_json_add_int(root, "rows_left_out", c->left_out)
		&& oq_json_add_int(root, "rsa_rows", rows < OQ_RSA_ROWS ? rows : OQ_RSA_ROWS) && oq_json_add_ints(root, "sizes", sizes, c->count);
	for (int i = 0; i < c->count && good; i++)
		good = oq_json_add_string(names, NULL, c->names[i]);
	for (size_t m = 0; m < MEASURES && good; m++) {
		oq_json *matrix = oq_json_add_array(root, measures[m].key);
		for (int i = 0; i < c->count && good; i++) {
			oq_json *row = oq_json_add_array(matrix, NULL);
			for (int j = 0; j < c->count && good; j++)
				good = oq_json_add_number(row, NULL, *value_at(c, m, i, j));
		}
	}
	if (good)
		return root;
	oq_json_free(root);
	return NULL;
}

static oq_status write_text(const comparison *c, const char *measure, const char *ending, const char *text, oq_error *err)
{
	char path[4096];
	if (snprintf(path, sizeof path, "%s/%s%s", c->options->output, measure, ending) >= (int)sizeof path)
		return oq_fail(err, OQ_E_USAGE, "E_PATH", "%s: the path is too long", c->options->output);
	return oq_file_write_all(path, text, strlen(text), err);
}

/* One CSV and one drawing per measure. */
static oq_status write_measure(const comparison *c, size_t m, oq_error *err)
{
	const oq_heatmap map = {.title = measures[m].title, .names = (const char *const *)c->names, .count = c->count, .values = value_at(c, m, 0, 0),
		.low = 0, .high = strcmp(measures[m].key, "procrustes_angle") ? 1 : acos(0)};
	char *text = NULL;
	OQ_TRY(oq_report_heatmap(&map, &text, err));
	oq_status status = write_text(c, measures[m].key, ".svg", text, err);
	oq_free(text);
	text = NULL;
	if (status == OQ_OK)
		status = oq_report_matrix_csv(&map, &text, err);
	if (status == OQ_OK)
		status = write_text(c, measures[m].key, ".csv", text, err);
	oq_free(text);
	return status;
}

oq_status oq_similarity_files(const oq_similarity_options *options, char **json, oq_error *err)
{
	comparison c = {.options = options};
	oq_cpu cpu;
	oq_locale locale = oq_locale_enter();
	oq_cpu_detect(&cpu);
	c.threads = options->threads > 0 ? options->threads : cpu.processors;
	oq_status status = read_all(&c, err);
	oq_json *root = status == OQ_OK ? describe(&c) : NULL;
	char *text = NULL;
	if (status == OQ_OK)
		status = oq_finish_json(root, root != NULL, &text, err);
	for (size_t m = 0; m < MEASURES && status == OQ_OK && options->output; m++)
		status = write_measure(&c, m, err);
	if (status == OQ_OK && options->output)
		status = write_text(&c, "similarity", ".json", text, err);
	if (status == OQ_OK && json) {
		*json = text;
		text = NULL;
	}
	oq_string_free(text);
	for (int i = 0; i < MOST; i++) {
		oq_similarity_close(c.sides[i]);
		oq_gate_free_matrix(&c.matrices[i]);
		oq_free(c.names[i]);
	}
	oq_free(c.values);
	oq_locale_leave(locale);
	return status;
}
