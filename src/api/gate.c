#include "gate.h"

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

/* Names of the limits in a file and where they lie. */
static const struct limit_field {
	const char *key;
	size_t offset;
	bool whole;
} limit_fields[] = {
	{"centred_cosine_min", offsetof(oq_gate_limits, centred_min), false}, {"centred_cosine_p1", offsetof(oq_gate_limits, centred_p1), false},
	{"centred_cosine_median", offsetof(oq_gate_limits, centred_median), false}, {"noise_ratio", offsetof(oq_gate_limits, noise_ratio), false},
	{"bias_max", offsetof(oq_gate_limits, bias_max), false}, {"ccc_median", offsetof(oq_gate_limits, ccc_median), false},
	{"ccc_min", offsetof(oq_gate_limits, ccc_min), false}, {"slope", offsetof(oq_gate_limits, slope), false},
	{"recall10", offsetof(oq_gate_limits, recall10), false}, {"recall10_p5", offsetof(oq_gate_limits, recall10_p5), false},
	{"excess_loss", offsetof(oq_gate_limits, excess_loss), false}, {"auc_margin", offsetof(oq_gate_limits, auc_margin), false},
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
	OQ_TRY(oq_json_read_file(path, &document, err));
	oq_status status = oq_json_is_object(document) ? OQ_OK : oq_fail(err, OQ_E_USAGE, "E_FIELD", "%s: expected an object of limits", path);
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
		{"slope_max", f->slope_max}, {"constant", (double)f->constant_dimensions});
	good = good && ADD_FIGURES(root, "neighbours", {"recall1", f->recall_mean[0]}, {"recall5", f->recall_mean[1]}, {"recall10", f->recall_mean[2]},
		{"recall50", f->recall_mean[3]}, {"recall10_p5", f->recall10_p5}, {"recall10_min", f->recall10_min}, {"cross_recall1", f->cross_mean[0]},
		{"cross_recall10", f->cross_mean[2]}, {"cross_recall50", f->cross_mean[3]}, {"retest_recall10", r->retest_recall10});
	good = good && ADD_FIGURES(root, "yardstick", {"error_to_retest_variance", r->retest_ratio}, {"error_to_retest_variance_upper95", r->retest_upper},
		{"error_to_jitter_variance", r->jitter_ratio}, {"error_to_jitter_variance_upper95", r->jitter_upper});
	return good && ADD_FIGURES(root, "geometry", {"linear_cka", r->geometry.linear_cka}, {"debiased_cka", r->geometry.debiased_cka},
		{"rsa_spearman", r->geometry.rsa_spearman}, {"procrustes_angle", r->geometry.procrustes_angle}, {"mutual_knn10", r->geometry.mutual_knn10});
}

static bool describe_probe(oq_json *root, const char *key, const oq_auc_pair *p, double margin)
{
	return ADD_FIGURES(root, key, {"auc_reference", p->a.auc}, {"auc_candidate", p->b.auc}, {"difference", p->difference}, {"se", p->se}, {"p_difference", p->p},
		{"p_noninferiority", oq_auc_noninferiority(p, margin)}, {"positives", (double)p->a.positive}, {"negatives", (double)p->a.negative});
}

bool oq_gate_describe(const oq_gate_result *r, const oq_gate_limits *limits, oq_json *root)
{
	bool good = oq_json_add_string(root, "verdict", oq_verdict_name(r->verdict));
	oq_json *findings = good ? oq_json_add_array(root, "findings") : NULL;
	for (int i = 0; i < r->finding_count && findings && good; i++) {
		oq_json *finding = oq_json_add_object(findings, NULL);
		good = oq_json_add_string(finding, "code", r->findings[i].code) && oq_json_add_number(finding, "value", r->findings[i].value)
			&& oq_json_add_number(finding, "limit", r->findings[i].limit);
	}
	good = good && findings && describe_fidelity(r, root);
	if (good && r->endpoint)
		good = describe_probe(root, "endpoint_old_probe", &r->old_probe, limits->auc_margin)
			&& describe_probe(root, "endpoint_new_probe", &r->new_probe, limits->auc_margin)
			&& oq_json_add_number(root, "detectable_margin", r->detectable_margin);
	int64_t worst[OQ_FIDELITY_WORST];
	memcpy(worst, r->fidelity.worst, sizeof worst);
	return good && oq_json_add_ints(root, "worst_rows", worst, r->fidelity.worst_count) && describe_limits(limits, root);
}

oq_status oq_gate_status(const oq_gate_result *r, const char *where, oq_error *err)
{
	if (r->verdict == OQ_VERDICT_FAIL)
		return oq_fail(err, OQ_E_GATE, "E_GATE", "%s: FAIL: %s is %g, the limit is %g (%d finding%s)", where, r->findings[0].code, r->findings[0].value,
			r->findings[0].limit, r->finding_count, r->finding_count > 1 ? "s" : "");
	if (r->verdict == OQ_VERDICT_UNDERPOWERED)
		return oq_fail(err, OQ_E_GATE, "E_GATE", "%s: UNDERPOWERED: all figures are within their limits, but the patches or cases are too few to tell", where);
	return OQ_OK;
}
