#include "report/evidence.h"

#include "evidence_plots.h"
#include "fields.h"
#include "text.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static void add_head(oq_text *t, const oq_json *e)
{
	oq_text_add(t, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Fidelity of ");
	oq_text_escape(t, oq_field_string(e, "model"));
	oq_text_add(t, "</title>\n<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1a1a1a}"
		"h1{font-size:1.5em}h2{font-size:1.1em;margin-top:1.6em}table{border-collapse:collapse}td,th{padding:.15em .8em .15em 0;text-align:left;"
		"border-bottom:1px solid #ddd}td.n{text-align:right;font-variant-numeric:tabular-nums}.pass{color:#0a6b2d}.fail{color:#a11}"
		".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(22em,1fr));gap:1em 1.5em;margin:1em 0}figure{margin:0;break-inside:avoid}"
		"figcaption{font-weight:600}svg{width:100%%;height:auto}.scroll{overflow-x:auto}td.n,th.n{text-align:right}code{font-size:.9em;overflow-wrap:anywhere}@media print{body{margin:0}}</style></head><body>\n");
	bool passed = !strncmp(oq_field_string(e, "verdict"), "PASS", 4);
	oq_text_add(t, "<h1>");
	oq_text_escape(t, oq_field_string(e, "model"));
	oq_text_add(t, " in ");
	oq_text_escape(t, oq_field_string(e, "precision"));
	oq_text_add(t, ": <span class=\"%s\">", passed ? "pass" : "fail");
	oq_text_escape(t, oq_field_string(e, "verdict"));
	oq_text_add(t, "</span></h1>\n<p>%.0f test patches that were not used for calibration. The candidate's embeddings are compared with those of the same network in float32. "
		"Research use only.</p>\n", oq_field_number(e, "rows"));
}

typedef struct line {
	const char *group, *key, *label, *limit;
} line;

/* Figures that a limit speaks about; `limit` names it, with > for at least and < for at most. */
static const line lines[] = {
	{"patches", "centred_cosine_median", "Centred cosine, median", ">centred_cosine_median"},
	{"patches", "centred_cosine_p1", "Centred cosine, 1st percentile", ">centred_cosine_p1"},
	{"patches", "centred_cosine_min", "Centred cosine, least", ">centred_cosine_min"},
	{"patches", "relative_error_mean", "Relative error, mean", NULL},
	{"patches", "relative_error_max", "Relative error, largest", NULL},
	{"yardstick", "error_to_jitter_variance_upper95", "Error as a share of seed jitter's variance (upper bound)", "<noise_ratio"},
	{"yardstick", "error_to_retest_variance_upper95", "Error as a share of test-retest variance (upper bound)", "<noise_ratio"},
	{"yardstick", "jitter_dimensions_above", "Dimensions whose own error is large beside seed jitter (share)", "<dimension_share"},
	{"yardstick", "retest_dimensions_above", "Dimensions whose own error is large beside a retest (share)", "<dimension_share"},
	{"yardstick", "icc_drop_median", "Loss of ICC(2,1), median dimension", "<icc_drop_median"},
	{"yardstick", "icc_drop_max", "Loss of ICC(2,1), worst dimension", "<icc_drop_max"},
	{"dimensions", "bias_max", "Largest bias of a dimension (standard deviations)", "<bias_max"},
	{"dimensions", "ccc_median", "Concordance, median dimension", ">ccc_median"},
	{"dimensions", "ccc_min", "Concordance, worst dimension", ">ccc_min"},
	{"dimensions", "bias_equivalent_share", "Dimensions whose bias is shown to be small (share)", NULL},
	{"dimensions", "slope", "Slope of candidate on reference", NULL},
	{"neighbours", "recall10", "Recall of the 10 nearest neighbours", ">recall10"},
	{"neighbours", "cross_recall10", "The same, asked in the reference's index", ">recall10"},
	{"geometry", "debiased_cka", "CKA", NULL},
	{"geometry", "rsa_spearman", "RSA", NULL},
};

static void add_findings(oq_text *t, const oq_json *e, const char *key, const char *title)
{
	const oq_json *list = oq_json_get(e, key);
	if (!list || !oq_json_count(list))
		return;
	oq_text_add(t, "<p%s>%s:", strcmp(key, "remarks") ? " class=\"fail\"" : "", title);
	for (const oq_json *f = oq_json_first(list); f; f = oq_json_next(f)) {
		oq_text_add(t, " <code>");
		oq_text_escape(t, oq_field_string(f, "code"));
		oq_text_add(t, "</code> %.5g (limit %.5g);", oq_field_number(f, "value"), oq_field_number(f, "limit"));
	}
	oq_text_add(t, "</p>\n");
}

static void add_table(oq_text *t, const oq_json *e)
{
	oq_text_add(t, "<h2>Figures and limits</h2>\n<table><tr><th>Figure</th><th>Value</th><th>Limit</th></tr>\n");
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		double value = oq_field_number_in(e, lines[i].group, lines[i].key);
		if (isnan(value))
			continue;
		double limit = lines[i].limit ? oq_field_number_in(e, "limits", lines[i].limit + 1) : NAN;
		bool least = lines[i].limit && lines[i].limit[0] == '>', beyond = least ? value < limit : value > limit;
		oq_text_add(t, "<tr><td>%s</td><td class=\"n%s\">%.5f</td><td class=\"n\">", lines[i].label, beyond ? " fail" : "", value);
		if (!isnan(limit))
			oq_text_add(t, "%s %.3g", least ? "&ge;" : "&le;", limit);
		oq_text_add(t, "</td></tr>\n");
	}
	oq_text_add(t, "</table>\n");
	add_findings(t, e, "findings", "Beyond their limits");
	add_findings(t, e, "shortages", "Too little is known");
	add_findings(t, e, "remarks", "Remarks, which do not decide");
}

static void add_plots(oq_text *t, const oq_json *e)
{
	oq_text_add(t, "<div class=\"plots\">\n");
	oq_plot_errors(t, e);
	oq_plot_noise(t, e);
	oq_plot_recall(t, e);
	oq_plot_ramp(t, e);
	oq_plot_saturation(t, e);
	oq_text_add(t, "</div>\n");
}

static void add_worst(oq_text *t, const oq_json *e)
{
	const oq_json *worst = oq_json_get(e, "worst");
	static const struct { const char *key, *format; } fields[] = {{"row", "%.0f"}, {"centred_cosine", "%.5f"}, {"relative_error", "%.4f"}, {"hu_mean", "%.0f"},
		{"hu_sd", "%.0f"}, {"padding_fraction", "%.2f"}};
	if (!worst)
		return;
	oq_text_add(t, "<h2>The worst patches</h2>\n<div class=\"scroll\"><table><tr><th class=\"n\">Row</th><th class=\"n\">Centred cosine</th><th class=\"n\">Relative error</th>"
		"<th class=\"n\">HU, mean</th><th class=\"n\">HU, SD</th><th class=\"n\">Outside</th><th class=\"n\">Seed (LPS mm)</th></tr>\n");
	for (const oq_json *row = oq_json_first(worst); row; row = oq_json_next(row)) {
		oq_text_add(t, "<tr>");
		for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
			oq_text_add(t, "<td class=\"n\">");
			oq_text_add(t, fields[i].format, oq_field_number(row, fields[i].key));
			oq_text_add(t, "</td>");
		}
		oq_text_add(t, "<td class=\"n\">");
		for (const oq_json *v = oq_json_first(oq_json_get(row, "seed")); v; v = oq_json_next(v))
			oq_text_add(t, " %.1f", oq_json_number(v));
		oq_text_add(t, "</td></tr>\n");
	}
	oq_text_add(t, "</table></div>\n");
}

static void add_endpoints(oq_text *t, const oq_json *e)
{
	const oq_json *endpoints = oq_json_get(e, "endpoints");
	if (!endpoints || !oq_json_count(endpoints))
		return;
	oq_text_add(t, "<h2>Endpoints</h2>\n<div class=\"scroll\"><table><tr><th>Endpoint</th><th>Cases</th><th>Probe</th><th>Trained on</th><th class=\"n\">float32</th>"
		"<th class=\"n\">Candidate</th><th class=\"n\">Difference (SE)</th><th class=\"n\">p of not worse, Holm</th></tr>\n");
	for (const oq_json *one = oq_json_first(endpoints); one; one = oq_json_next(one)) {
		bool survival = !strcmp(oq_field_string(one, "kind"), "survival");
		for (const oq_json *p = oq_json_first(oq_json_get(one, "probes")); p; p = oq_json_next(p)) {
			oq_text_add(t, "<tr><td>");
			oq_text_escape(t, oq_field_string(one, "name"));
			oq_text_add(t, "</td><td>%.0f of %.0f</td><td>%s</td><td>%s</td>", oq_field_number(one, survival ? "events" : "positives"), oq_field_number(e, "rows"),
				oq_field_string(p, "probe"), oq_field_string(p, "trained_on"));
			oq_text_add(t, "<td class=\"n\">%.4f</td><td class=\"n\">%.4f</td><td class=\"n\">%+.4f (%.4f)</td><td class=\"n\">%.3g</td></tr>\n",
				oq_field_number(p, "reference"), oq_field_number(p, "candidate"), oq_field_number(p, "difference"), oq_field_number(p, "se"),
				oq_field_number(p, "p_holm"));
		}
	}
	oq_text_add(t, "</table></div>\n<p>Area under the ROC curve (of a time: concordance), rows of patients that the probe was not trained on.");
	double margin = oq_field_number(e, "detectable_margin");
	if (!isnan(margin))
		oq_text_add(t, " Every probe could detect a difference of %.4f; the margin is %.3g.", margin, oq_field_number_in(e, "limits", "auc_margin"));
	oq_text_add(t, "</p>\n");
}

/* What was looked for beyond the test patches. */
static void add_search(oq_text *t, const oq_json *e)
{
	const oq_json *search = oq_json_get(e, "search"), *maps = oq_json_get(e, "saliency");
	if (search) {
		oq_text_add(t, "<h2>Search for the worst</h2>\n<p>%.0f changes of the worst patches (seed moved by up to 5 mm, &plusmn;20 HU, mirrored): relative error %.4f at the "
			"most (%.4f before), centred cosine there %.4f; row %.0f, moved by", oq_field_number_in(e, "search", "evaluations"), oq_field_number_in(e, "search", "relative_error"),
			oq_field_number_in(e, "search", "relative_error_before"), oq_field_number_in(e, "search", "centred_cosine"), oq_field_number_in(e, "search", "row"));
		for (const oq_json *v = oq_json_first(oq_json_get(search, "shift_mm")); v; v = oq_json_next(v))
			oq_text_add(t, " %.1f", oq_json_number(v));
		oq_text_add(t, " mm, %+.0f HU.</p>\n", oq_field_number_in(e, "search", "offset_hu"));
	}
	if (maps)
		oq_text_add(t, "<h2>Occlusion maps</h2>\n<p>%.0f patches: rank correlation of both networks&rsquo; maps %.3f (median), %.3f (least); their peaks are at most %.1f voxels "
			"apart.</p>\n", oq_field_number_in(e, "saliency", "maps"), oq_field_number_in(e, "saliency", "spearman_median"), oq_field_number_in(e, "saliency", "spearman_min"),
			oq_field_number_in(e, "saliency", "peak_distance_max_voxels"));
}

static void add_phantoms(oq_text *t, const oq_json *e)
{
	const oq_json *phantoms = oq_json_get(e, "phantoms");
	if (!phantoms)
		return;
	oq_text_add(t, "<h2>Inputs that no patient has</h2>\n<table><tr><th>Phantom</th><th>Relative error</th><th>Centred cosine</th></tr>\n");
	for (const oq_json *p = oq_json_first(phantoms); p; p = oq_json_next(p)) {
		oq_text_add(t, "<tr><td>");
		oq_text_escape(t, oq_json_key(p));
		oq_text_add(t, "</td><td class=\"n\">%.4f</td><td class=\"n\">%.4f</td></tr>\n", oq_field_number(p, "relative_error"),
			oq_field_number(p, "centred_cosine"));
	}
	oq_text_add(t, "</table>\n");
}

static void add_row(oq_text *t, const oq_json *object, const char *key)
{
	oq_text_add(t, "<tr><td>%s</td><td><code>", key);
	oq_text_escape(t, oq_field_string(object, key));
	oq_text_add(t, "</code></td></tr>\n");
}

static void add_record(oq_text *t, const oq_json *e)
{
	static const char *const keys[] = {"package_sha256", "reference_sha256", "processor", "manifest_sha256"};
	static const char *const arithmetic[] = {"cpu_class", "tool_version", "onednn_version", "precision_used", "convolution", "plan_sha256"};
	oq_text_add(t, "<h2>Record</h2>\n<p>It holds for this package, computed in this way (the last six lines) and for nothing else.</p>\n<table>\n");
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		add_row(t, e, keys[i]);
	for (size_t i = 0; i < sizeof arithmetic / sizeof *arithmetic; i++)
		add_row(t, oq_json_get(e, "arithmetic"), arithmetic[i]);
	oq_text_add(t, "</table>\n</body></html>\n");
}

oq_status oq_report_evidence(const oq_json *evidence, char **html, oq_error *err)
{
	oq_text text = {0};
	add_head(&text, evidence);
	add_table(&text, evidence);
	add_plots(&text, evidence);
	add_endpoints(&text, evidence);
	add_worst(&text, evidence);
	add_phantoms(&text, evidence);
	add_search(&text, evidence);
	add_record(&text, evidence);
	return oq_text_finish(&text, html, err);
}
