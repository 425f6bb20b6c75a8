#include "gate.h"

#include "texts.h"

#include "core/mem.h"
#include "io/npy.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

oq_status oq_gate_read_matrix(const char *path, oq_matrix *out, oq_error *err)
{
	oq_npy *npy = NULL;
	*out = (oq_matrix){0};
	OQ_TRY(oq_npy_open(path, &npy, err));
	oq_status status = OQ_OK;
	if (npy->rank != 2 || npy->shape[0] < 1 || npy->shape[1] < 1)
		status = oq_fail(err, OQ_E_INPUT, "E_SHAPE", "%s: has %d axes, expected embeddings [rows, size]", path, npy->rank);
	float *data = status == OQ_OK ? oq_alloc(npy->count * sizeof *data) : NULL;
	if (status == OQ_OK)
		status = data ? oq_npy_read_f32(npy, 0, npy->count, data, err) : oq_fail_memory(err, path, npy->count * sizeof *data);
	if (status == OQ_OK)
		*out = (oq_matrix){.data = data, .rows = npy->shape[0], .columns = npy->shape[1]};
	else
		oq_free(data);
	oq_npy_close(npy);
	return status;
}

void oq_gate_free_matrix(oq_matrix *matrix)
{
	union { const float *in; float *out; } data = {matrix->data};
	oq_free(data.out);
	*matrix = (oq_matrix){0};
}

oq_status oq_gate_patients(const oq_table *table, int column, int64_t **group, oq_error *err)
{
	size_t rows = (size_t)oq_table_rows(table);
	const char **texts = oq_alloc(rows * sizeof *texts);
	*group = oq_alloc(rows * sizeof **group);
	oq_status status = texts && *group ? OQ_OK : oq_fail_memory(err, "patients", rows * sizeof *texts);
	for (size_t r = 0; r < rows && status == OQ_OK; r++)
		texts[r] = oq_table_cell(table, (int64_t)r, column);
	if (status == OQ_OK)
		status = oq_first_same(texts, (int64_t)rows, *group, err);
	for (size_t r = 0; r < rows && status == OQ_OK; r++)
		if (!texts[r][0]) /* a row without a patient is one of its own */
			(*group)[r] = (int64_t)r;
	oq_free(texts);
	return status;
}

/* Names of the limits in a file and where they lie. */
static const struct limit_field {
	const char *key;
	size_t offset;
	bool whole;
} limit_fields[] = {
#define LIMIT(key, field) {key, offsetof(oq_gate_limits, field), false}
	LIMIT("centred_cosine_min", centred_min), LIMIT("centred_cosine_p1", centred_p1), LIMIT("centred_cosine_median", centred_median),
	LIMIT("noise_ratio", noise_ratio), LIMIT("dimension_ratio", dimension_ratio), LIMIT("dimension_share", dimension_share),
	LIMIT("icc_drop_median", icc_drop_median), LIMIT("icc_drop_max", icc_drop_max), LIMIT("bias_max", bias_max), LIMIT("ccc_median", ccc_median),
	LIMIT("ccc_min", ccc_min), LIMIT("slope", slope), LIMIT("bias_equivalence", bias_equivalence), LIMIT("recall10", recall10),
	LIMIT("recall10_p5", recall10_p5), LIMIT("excess_loss", excess_loss), LIMIT("cka", cka), LIMIT("rsa", rsa), LIMIT("rotation", rotation),
	LIMIT("auc_margin", auc_margin), LIMIT("flips", flips), LIMIT("calibration", calibration),
#undef LIMIT
	{"patches", offsetof(oq_gate_limits, patches), true}, {"positives", offsetof(oq_gate_limits, positives), true},
};
#define LIMITS (sizeof limit_fields / sizeof *limit_fields)

static oq_status set_limit(const char *path, const oq_json *entry, oq_gate_limits *limits, oq_error *err)
{
	for (size_t i = 0; i < LIMITS; i++) {
		double value = oq_json_number(entry);
		if (strcmp(limit_fields[i].key, oq_json_key(entry)))
			continue;
		if (isnan(value))
			break;
		void *field = (unsigned char *)limits + limit_fields[i].offset;
		if (limit_fields[i].whole)
			*(int64_t *)field = (int64_t)value;
		else
			*(double *)field = value;
		return OQ_OK;
	}
	return oq_fail(err, OQ_E_USAGE, "E_FIELD", "%s: \"%s\" is no limit of the gate, or no number; docs/fidelity.md lists them", path, oq_json_key(entry));
}

oq_status oq_gate_read_limits(const char *path, oq_gate_limits *limits, oq_error *err)
{
	oq_json *document = NULL;
	if (!path)
		return OQ_OK;
	oq_status status = oq_json_read_file(path, &document, err);
	if (status == OQ_E_MODEL) { /* the reader speaks of models; this is an option's file */
		status = OQ_E_USAGE;
		if (err)
			err->status = status;
	}
	if (status == OQ_OK && !oq_json_is_object(document))
		status = oq_fail(err, OQ_E_USAGE, "E_FIELD", "%s: expected an object of limits", path);
	for (const oq_json *entry = status == OQ_OK ? oq_json_first(document) : NULL; entry && status == OQ_OK; entry = oq_json_next(entry))
		status = set_limit(path, entry, limits, err);
	oq_json_free(document);
	return status;
}

static bool describe_limits(const oq_gate_limits *limits, oq_json *root)
{
	oq_json *json = oq_json_add_object(root, "limits");
	bool good = json != NULL;
	for (size_t i = 0; i < LIMITS && good; i++) {
		const void *field = (const unsigned char *)limits + limit_fields[i].offset;
		good = limit_fields[i].whole ? oq_json_add_int(json, limit_fields[i].key, *(const int64_t *)field)
			: oq_json_add_number(json, limit_fields[i].key, *(const double *)field);
	}
	return good;
}

/* A table of figures, so that no name is written twice. */
typedef struct figure {
	const char *key;
	double value;
} figure;

static bool add_figures(oq_json *root, const char *key, const figure *figures, size_t count)
{
	oq_json *json = oq_json_add_object(root, key);
	bool good = json != NULL;
	for (size_t i = 0; i < count && good; i++)
		good = oq_json_add_number(json, figures[i].key, figures[i].value);
	return good;
}
#define ADD_FIGURES(root, key, ...) add_figures(root, key, (const figure[]){__VA_ARGS__}, sizeof((const figure[]){__VA_ARGS__}) / sizeof(figure))

static bool describe_fidelity(const oq_gate_result *r, oq_json *root)
{
	const oq_fidelity *f = &r->fidelity;
	bool good = ADD_FIGURES(root, "patches", {"cosine_mean", f->cosine_mean}, {"cosine_p1", f->cosine_p1}, {"cosine_min", f->cosine_min},
		{"centred_cosine_mean", f->centred_mean}, {"centred_cosine_median", f->centred_median}, {"centred_cosine_p1", f->centred_p1},
		{"centred_cosine_min", f->centred_min}, {"relative_error_mean", f->relative_mean}, {"relative_error_max", f->relative_max},
		{"sqnr_db", f->sqnr_db}, {"sqnr_centred_db", f->sqnr_centred_db}, {"sqnr_row_min_db", f->sqnr_row_min_db}, {"max_abs_error", f->max_abs_error});
	good = good && ADD_FIGURES(root, "dimensions", {"bias_max", f->bias_z_max}, {"max_abs_z", f->max_abs_z}, {"pearson_median", f->pearson_median},
		{"pearson_min", f->pearson_min}, {"ccc_median", f->ccc_median}, {"ccc_min", f->ccc_min}, {"slope", r->slope}, {"slope_min", f->slope_min},
		{"slope_max", f->slope_max}, {"bias_equivalent_share", r->bias_equivalent}, {"constant", (double)f->constant_dimensions});
	good = good && ADD_FIGURES(root, "neighbours", {"recall1", f->recall_mean[0]}, {"recall5", f->recall_mean[1]}, {"recall10", f->recall_mean[2]},
		{"recall50", f->recall_mean[3]}, {"recall10_p5", f->recall10_p5}, {"recall10_min", f->recall10_min}, {"cross_recall1", f->cross_mean[0]},
		{"cross_recall5", f->cross_mean[1]}, {"cross_recall10", f->cross_mean[2]}, {"cross_recall50", f->cross_mean[3]}, {"retest_recall10", r->retest_recall10});
	good = good && ADD_FIGURES(root, "yardstick", {"error_to_retest_variance", r->retest_ratio}, {"error_to_retest_variance_upper95", r->retest_upper},
		{"error_to_jitter_variance", r->jitter_ratio}, {"error_to_jitter_variance_upper95", r->jitter_upper},
		{"retest_dimensions_above", r->retest_dimensions}, {"jitter_dimensions_above", r->jitter_dimensions}, {"icc_drop_median", r->icc_drop_median},
		{"icc_drop_max", r->icc_drop_max});
	return good && ADD_FIGURES(root, "geometry", {"linear_cka", r->geometry.linear_cka}, {"debiased_cka", r->geometry.debiased_cka},
		{"rsa_spearman", r->geometry.rsa_spearman}, {"procrustes_angle", r->geometry.procrustes_angle}, {"mutual_knn10", r->geometry.mutual_knn10});
}

static bool describe_probes(const oq_gate_endpoint_result *e, oq_json *root)
{
	oq_json *list = oq_json_add_array(root, "probes");
	bool good = list != NULL;
	for (int i = 0; i < e->probe_count && good; i++) {
		const oq_gate_probe *p = &e->probes[i];
		oq_json *one = oq_json_add_object(list, NULL);
		good = oq_json_add_string(one, "probe", p->kind) && oq_json_add_string(one, "trained_on", p->retrained ? "candidate" : "reference")
			&& oq_json_add_number(one, "reference", p->reference) && oq_json_add_number(one, "candidate", p->candidate)
			&& oq_json_add_number(one, "difference", p->difference) && oq_json_add_number(one, "se", p->se)
			&& oq_json_add_number(one, "p_noninferiority", p->p) && oq_json_add_number(one, "p_holm", p->p_adjusted);
	}
	return good;
}

static bool describe_endpoints(const oq_gate_result *r, oq_json *root)
{
	oq_json *list = oq_json_add_array(root, "endpoints");
	bool good = list != NULL;
	for (int i = 0; i < r->endpoint_count && good; i++) {
		const oq_gate_endpoint_result *e = &r->endpoints[i];
		oq_json *one = oq_json_add_object(list, NULL);
		good = oq_json_add_string(one, "name", e->name) && oq_json_add_string(one, "kind", e->survival ? "survival" : "class")
			&& oq_json_add_int(one, e->survival ? "events" : "positives", e->positives)
			&& oq_json_add_int(one, e->survival ? "censored" : "negatives", e->negatives) && describe_probes(e, one);
		if (!e->survival)
			good = good && ADD_FIGURES(one, "decisions", {"threshold_log_odds", e->threshold}, {"flips_up", (double)e->flips_up},
				{"flips_down", (double)e->flips_down}, {"flip_share", e->flip_share}, {"p_mcnemar", e->mcnemar_p}, {"calibration_slope", e->calibration_slope});
	}
	return good && (!r->endpoint_count || oq_json_add_number(root, "detectable_margin", r->detectable_margin));
}

static bool describe_findings(oq_json *root, const char *key, const oq_finding *findings, int count)
{
	oq_json *list = oq_json_add_array(root, key);
	bool good = list != NULL;
	for (int i = 0; i < count && good; i++) {
		oq_json *finding = oq_json_add_object(list, NULL);
		good = oq_json_add_string(finding, "code", findings[i].code) && oq_json_add_number(finding, "value", findings[i].value)
			&& oq_json_add_number(finding, "limit", findings[i].limit);
	}
	return good;
}

bool oq_gate_describe(const oq_gate_result *r, const oq_gate_limits *limits, oq_json *root)
{
	int64_t worst[OQ_FIDELITY_WORST];
	memcpy(worst, r->fidelity.worst, sizeof worst);
	return oq_json_add_string(root, "verdict", oq_verdict_name(r->verdict)) && describe_findings(root, "findings", r->findings, r->finding_count)
		&& describe_findings(root, "shortages", r->shortages, r->shortage_count) && describe_findings(root, "remarks", r->remarks, r->remark_count)
		&& describe_fidelity(r, root) && describe_endpoints(r, root) && oq_json_add_ints(root, "worst_rows", worst, r->fidelity.worst_count)
		&& describe_limits(limits, root);
}

oq_status oq_gate_status(const oq_gate_result *r, const char *where, oq_error *err)
{
	if (r->verdict == OQ_VERDICT_FAIL)
		return oq_fail(err, OQ_E_GATE, "E_GATE", "%s: FAIL: %s is %g, the limit is %g (%d finding%s)", where, r->findings[0].code, r->findings[0].value,
			r->findings[0].limit, r->finding_count, r->finding_count > 1 ? "s" : "");
	if (r->verdict == OQ_VERDICT_UNDERPOWERED)
		return oq_fail(err, OQ_E_GATE, "E_GATE", "%s: UNDERPOWERED: all figures are within their limits, but too little is known: %s is %g, expected %g", where,
			r->shortages[0].code, r->shortages[0].value, r->shortages[0].limit);
	return OQ_OK;
}
