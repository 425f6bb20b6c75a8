/* Test and retest, from files to figures: JSON, and a CSV with a line per dimension. */
#include "failed.h"
#include "gate.h"

#include "core/file.h"
#include "core/locale.h"
#include "core/mem.h"
#include "eval/reliability.h"

#include <math.h>
#include <stdio.h>

static bool add_estimate(oq_json *root, const char *key, const oq_estimate *e, const double *least)
{
	oq_json *json = oq_json_add_object(root, key);
	bool good = json && oq_json_add_number(json, "mean", e->value) && oq_json_add_number(json, "low95", e->low) && oq_json_add_number(json, "high95", e->high);
	return good && (!least || oq_json_add_number(json, "least", *least));
}

static bool add_distribution(oq_json *root, const char *key, const oq_distribution *d)
{
	oq_json *json = oq_json_add_object(root, key);
	return json && oq_json_add_number(json, "mean", d->mean) && oq_json_add_number(json, "median", d->median) && oq_json_add_number(json, "p5", d->p5)
		&& oq_json_add_number(json, "p95", d->p95);
}

static bool describe(oq_json *root, const oq_reliability *r, int64_t size, int64_t left_out)
{
	bool good = root && oq_json_add_string(root, "format", "oncoquant-robustness") && oq_json_add_int(root, "schema", 1)
		&& oq_json_add_int(root, "rows", r->subjects) && oq_json_add_int(root, "rows_left_out", left_out)
		&& oq_json_add_int(root, "retests", r->retests) && oq_json_add_int(root, "size", size);
	oq_json *rows = good ? oq_json_add_object(root, "by_row") : NULL;
	good = rows && add_estimate(rows, "cosine", &r->cosine, &r->cosine_min) && add_estimate(rows, "centred_cosine", &r->centred_cosine, &r->centred_cosine_min)
		&& add_estimate(rows, "identification", &r->identification, NULL) && add_estimate(rows, "discriminability", &r->discriminability, NULL);
	oq_json *dimensions = good ? oq_json_add_object(root, "by_dimension") : NULL;
	return dimensions && add_distribution(dimensions, "icc_2_1", &r->icc_agreement) && add_distribution(dimensions, "icc_3_1", &r->icc_consistency)
		&& add_distribution(dimensions, "ccc", &r->ccc) && oq_json_add_number(dimensions, "share_icc_2_1_from_0_75", r->share_good)
		&& oq_json_add_number(dimensions, "share_icc_2_1_from_0_9", r->share_excellent) && oq_json_add_int(dimensions, "constant", r->constant_dimensions);
}

static oq_status write_csv(const char *path, const oq_reliability_dimension *d, int64_t columns, oq_error *err)
{
	static const char header[] = "dimension,icc_2_1,icc_3_1,ccc,bias,sd,loa_low,loa_high,sem,repeatability\n";
	oq_outfile *file = NULL;
	OQ_TRY(oq_outfile_open(path, &file, err));
	oq_status status = oq_outfile_write(file, header, sizeof header - 1, err);
	for (int64_t c = 0; c < columns && status == OQ_OK; c++) {
		const double values[9] = {d[c].icc.agreement, d[c].icc.consistency, d[c].ccc, d[c].bias, d[c].sd, d[c].low, d[c].high, d[c].sem, d[c].repeatability};
		char line[320];
		int length = snprintf(line, sizeof line, "%lld", (long long)c);
		for (int i = 0; i < 9; i++) /* empty: not defined, as in a constant dimension */
			length += isnan(values[i]) ? snprintf(line + length, sizeof line - (size_t)length, ",")
				: snprintf(line + length, sizeof line - (size_t)length, ",%.17g", values[i]);
		line[length++] = '\n';
		status = oq_outfile_write(file, line, (size_t)length, err);
	}
	if (status == OQ_OK)
		return oq_outfile_commit(file, err);
	oq_outfile_abort(file);
	return status;
}

static oq_status measure(const oq_robustness_options *options, oq_matrix both[2], char **json, oq_error *err)
{
	const char *const names[2] = {options->test, options->retest};
	int64_t left_out;
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	OQ_TRY(oq_gate_read_matrix(options->test, &both[0], err));
	OQ_TRY(oq_gate_read_matrix(options->retest, &both[1], err));
	OQ_TRY(oq_leave_out_failed(both, names, 2, 3, &left_out, err));
	oq_reliability result;
	oq_reliability_dimension *dimensions = oq_alloc((size_t)both[0].columns * sizeof *dimensions);
	oq_status status = dimensions ? oq_reliability_measure(&both[0], &both[1], options->threads > 0 ? options->threads : cpu.processors, dimensions, &result, err)
		: oq_fail_memory(err, options->test, (size_t)both[0].columns * sizeof *dimensions);
	if (status == OQ_OK && options->csv)
		status = write_csv(options->csv, dimensions, both[0].columns, err);
	if (status == OQ_OK && json) {
		oq_json *root = oq_json_object();
		status = oq_finish_json(root, describe(root, &result, both[0].columns, left_out), json, err);
	}
	oq_free(dimensions);
	return status;
}

oq_status oq_robustness(const oq_robustness_options *options, char **json, oq_error *err)
{
	oq_matrix both[2] = {{0}, {0}};
	oq_locale locale = oq_locale_enter();
	oq_status status = measure(options, both, json, err);
	oq_locale_leave(locale);
	oq_gate_free_matrix(&both[0]);
	oq_gate_free_matrix(&both[1]);
	return status;
}
