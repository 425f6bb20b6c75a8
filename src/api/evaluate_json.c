/* The result as a document: schema "oncoquant-evaluate", version 1. */
#include "evaluate.h"

#include "core/mem.h"

#include <math.h>
#include <string.h>

static bool add_interval(oq_json *root, const char *key, oq_interval interval)
{
	oq_json *pair = oq_json_add_array(root, key);
	return pair && oq_json_add_number(pair, NULL, interval.low) && oq_json_add_number(pair, NULL, interval.high);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool describe_endpoint(const oq_evaluation *e, oq_json *root)
{
	const oq_endpoint *p = &e->endpoint;
	oq_json *json = oq_json_add_object(root, "endpoint");
	bool good = json && oq_json_add_string(json, "file", e->options->labels ? base_name(e->options->labels) : NULL)
		&& oq_json_add_string(json, "column", oq_table_header(p->table, p->label)) && oq_json_add_int(json, "rows", p->rows)
		&& (p->patient < 0 ? oq_json_add_string(json, "patients", NULL) : oq_json_add_int(json, "patients", p->patients));
	oq_json *classes = good ? oq_json_add_array(json, "classes") : NULL;
	good = classes != NULL;
	for (int c = 0; c < p->classes && good; c++) {
		oq_json *class = oq_json_add_object(classes, NULL);
		good = oq_json_add_string(class, "name", p->class_names[c]) && oq_json_add_int(class, "rows", p->counts[c]);
	}
	oq_json *left = good ? oq_json_add_object(json, "left_out") : NULL;
	return left && oq_json_add_int(left, "failed", p->failed) && oq_json_add_int(left, "without_label", p->unlabelled)
		&& oq_json_add_int(left, "without_partner", p->unmatched);
}

static bool describe_splits(const oq_evaluation *e, oq_json *root)
{
	oq_json *json = oq_json_add_object(root, "splits");
	return json && oq_json_add_string(json, "kind", e->split_kind) && oq_json_add_int(json, "count", e->split_count)
		&& oq_json_add_int(json, "fewest_test_cases_of_a_class", e->fewest_test) && oq_json_add_int(json, "fewest_val_cases_of_a_class", e->fewest_val)
		&& (e->endpoint.patient < 0 ? oq_json_add_string(json, "test_rows_of_trained_patients", NULL)
			: oq_json_add_int(json, "test_rows_of_trained_patients", e->leaks));
}

static bool describe_outcomes(const oq_evaluation *e, const oq_entry *entry, oq_json *json)
{
	oq_json *list = oq_json_add_array(json, "splits");
	bool good = list != NULL;
	for (int i = 0; i < e->split_count && good; i++) {
		const oq_outcome *o = &entry->outcomes[i];
		oq_json *one = oq_json_add_object(list, NULL);
		good = oq_json_add_string(one, "name", e->split_names[i]);
		if (o->k)
			good = good && oq_json_add_int(one, "k", o->k) && oq_json_add_int(one, "test_rows_with_a_tie_at_k", o->ties);
		if (o->c > 0)
			good = good && oq_json_add_number(one, "C", o->c);
		oq_json *weights = good && o->weights ? oq_json_add_array(one, "weights") : NULL;
		for (int m = 0; weights && m < e->options->count; m++)
			good = good && oq_json_add_number(weights, NULL, o->weights[m]);
		good = good && oq_json_add_number(one, "auc_val", o->auc_val) && oq_json_add_number(one, "auc_test", o->auc_test);
	}
	return good;
}

static bool describe_entry(const oq_evaluation *e, const oq_entry *entry, oq_json *list)
{
	oq_json *json = oq_json_add_object(list, NULL), *auc, *pooled;
	bool good = oq_json_add_string(json, "name", entry->name);
	if (entry->model >= 0)
		good = good && oq_json_add_string(json, "file", base_name(e->options->embeddings[entry->model]))
			&& oq_json_add_int(json, "size", e->matrices[entry->model].columns);
	if (entry->shots)
		good = good && oq_json_add_int(json, "shots", entry->shots);
	auc = good ? oq_json_add_object(json, "auc") : NULL;
	good = auc && oq_json_add_number(auc, "mean", entry->plain.value) && oq_json_add_number(auc, "sd", entry->plain.sd)
		&& add_interval(auc, "nadeau_bengio95", entry->corrected);
	if (oq_is_paper(e)) {
		double half = 1.96 * entry->plain.se;
		good = good && oq_json_add_number(auc, "se", entry->plain.se)
			&& add_interval(auc, "reference95", (oq_interval){entry->plain.value - half, entry->plain.value + half});
	}
	if (entry->pooled) {
		pooled = good ? oq_json_add_object(json, "pooled") : NULL;
		good = pooled && oq_json_add_number(pooled, "auc", entry->auc.auc) && oq_json_add_number(pooled, "se", sqrt(entry->auc.variance))
			&& add_interval(pooled, "delong95", oq_auc_interval(&entry->auc, 0.95)) && add_interval(pooled, "bootstrap95", entry->bootstrap)
			&& oq_json_add_int(pooled, "positives", entry->auc.positive) && oq_json_add_int(pooled, "negatives", entry->auc.negative);
	}
	return good && describe_outcomes(e, entry, json);
}

static bool describe_comparisons(const oq_evaluation *e, oq_json *root)
{
	oq_json *list = oq_json_add_array(root, "comparisons");
	bool good = list != NULL;
	for (int i = 0; i < e->comparison_count && good; i++) {
		const oq_comparison *c = &e->comparisons[i];
		double half = oq_normal_quantile(0.975) * c->pair.se;
		oq_json *one = oq_json_add_object(list, NULL);
		good = oq_json_add_string(one, "a", e->entries[c->a].name) && oq_json_add_string(one, "b", e->entries[c->b].name)
			&& oq_json_add_number(one, "difference", c->pair.difference) && oq_json_add_number(one, "se", c->pair.se)
			&& add_interval(one, "delong95", (oq_interval){c->pair.difference - half, c->pair.difference + half})
			&& oq_json_add_number(one, "p", c->pair.p) && oq_json_add_number(one, "p_holm", c->holm);
	}
	return good;
}

static bool describe_notes(const oq_evaluation *e, oq_json *root)
{
	bool paper = oq_is_paper(e), few = e->fewest_test < OQ_FEW;
	oq_json *notes = NULL;
	bool good = oq_json_add_bool(root, "underpowered", few) && (notes = oq_json_add_array(root, "notes")) != NULL;
	if (paper)
		good = good && oq_json_add_string(notes, NULL, "reference95 is the benchmark's mean +- 1.96 SD/sqrt(splits): too narrow, because the splits share their rows "
			"and the sampling of the test rows is not counted");
	if (few)
		good = good && oq_json_add_string(notes, NULL, "underpowered: a test fold has fewer than 10 cases of a class");
	if (e->fewest_val < OQ_FEW)
		good = good && oq_json_add_string(notes, NULL, "choices on a validation fold with fewer than 10 cases of a class are noise");
	if (e->endpoint.patient < 0)
		good = good && oq_json_add_string(notes, NULL, "no patient column: every row counts as a patient of its own");
	if (e->leaks)
		good = good && oq_json_add_string(notes, NULL, "test rows share patients with training rows: figures may be too high");
	return good;
}

bool oq_evaluate_describe(const oq_evaluation *e, oq_json *root)
{
	static const char *const probes[] = {[OQ_PROBE_KNN] = "knn", [OQ_PROBE_LINEAR] = "linear", [OQ_PROBE_FEW_SHOT] = "few-shot",
		[OQ_PROBE_ALIGNMENT] = "alignment", [OQ_PROBE_STACKING] = "stacking"};
	bool good = oq_json_add_string(root, "schema", "oncoquant-evaluate") && oq_json_add_int(root, "version", 1)
		&& oq_json_add_string(root, "probe", probes[e->options->probe])
		&& oq_json_add_string(root, "protocol", oq_is_paper(e) ? "paper" : "strict") && describe_endpoint(e, root)
		&& describe_splits(e, root) && (e->resamples == 0 || oq_json_add_int(root, "bootstrap_resamples", e->resamples));
	oq_json *list = good ? oq_json_add_array(root, "models") : NULL;
	good = list != NULL;
	for (int i = 0; i < e->entry_count && good; i++)
		good = describe_entry(e, &e->entries[i], list);
	return good && describe_comparisons(e, root) && describe_notes(e, root);
}
