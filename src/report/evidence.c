#include "report/evidence.h"

#include "text.h"

#include <math.h>
#include <string.h>

static const oq_json *at(const oq_json *root, const char *group, const char *key)
{
	const oq_json *object = oq_json_get(root, group);
	return object ? oq_json_get(object, key) : NULL;
}

static double number(const oq_json *root, const char *group, const char *key)
{
	const oq_json *value = at(root, group, key);
	return value ? oq_json_number(value) : NAN;
}

static const char *string(const oq_json *root, const char *key)
{
	const oq_json *value = oq_json_get(root, key);
	const char *text = value ? oq_json_string(value) : NULL;
	return text ? text : "";
}

static void add_head(oq_text *t, const oq_json *e)
{
	oq_text_add(t, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Fidelity of ");
	oq_text_escape(t, string(e, "model"));
	oq_text_add(t, "</title>\n<style>body{font:15px/1.5 system-ui,sans-serif;max-width:52em;margin:2em auto;padding:0 1em;color:#1a1a1a}"
		"h1{font-size:1.5em}h2{font-size:1.1em;margin-top:1.6em}table{border-collapse:collapse}td,th{padding:.15em .8em .15em 0;text-align:left;"
		"border-bottom:1px solid #ddd}td.n{text-align:right;font-variant-numeric:tabular-nums}.pass{color:#0a6b2d}.fail{color:#a11}"
		"svg{max-width:100%%;height:auto}code{font-size:.9em;overflow-wrap:anywhere}@media print{body{margin:0}}</style></head><body>\n");
	bool passed = !strncmp(string(e, "verdict"), "PASS", 4);
	oq_text_add(t, "<h1>");
	oq_text_escape(t, string(e, "model"));
	oq_text_add(t, " in %s: <span class=\"%s\">%s</span></h1>\n<p>%.0f test patches that were not used for calibration. The candidate's embeddings are "
		"compared with those of the same network in float32. Research use only.</p>\n", string(e, "precision"), passed ? "pass" : "fail", string(e, "verdict"),
		oq_json_number(oq_json_get(e, "rows")));
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
	{"dimensions", "bias_max", "Largest bias of a dimension (standard deviations)", "<bias_max"},
	{"dimensions", "ccc_median", "Concordance, median dimension", ">ccc_median"},
	{"dimensions", "ccc_min", "Concordance, worst dimension", ">ccc_min"},
	{"dimensions", "slope", "Slope of candidate on reference", NULL},
	{"neighbours", "recall10", "Recall of the 10 nearest neighbours", ">recall10"},
	{"neighbours", "cross_recall10", "The same, asked in the reference's index", ">recall10"},
	{"geometry", "debiased_cka", "CKA", NULL},
	{"geometry", "rsa_spearman", "RSA", NULL},
};

static void add_table(oq_text *t, const oq_json *e)
{
	oq_text_add(t, "<h2>Figures and limits</h2>\n<table><tr><th>Figure</th><th>Value</th><th>Limit</th></tr>\n");
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		double value = number(e, lines[i].group, lines[i].key);
		if (isnan(value))
			continue;
		double limit = lines[i].limit ? number(e, "limits", lines[i].limit + 1) : NAN;
		bool least = lines[i].limit && lines[i].limit[0] == '>', beyond = least ? value < limit : value > limit;
		oq_text_add(t, "<tr><td>%s</td><td class=\"n%s\">%.5f</td><td class=\"n\">", lines[i].label, beyond ? " fail" : "", value);
		if (!isnan(limit))
			oq_text_add(t, "%s %.3g", least ? "&ge;" : "&le;", limit);
		oq_text_add(t, "</td></tr>\n");
	}
	oq_text_add(t, "</table>\n");
	const oq_json *findings = oq_json_get(e, "findings");
	if (oq_json_count(findings) > 0)
		oq_text_add(t, "<p class=\"fail\">Beyond their limits:");
	for (const oq_json *f = oq_json_first(findings); f; f = oq_json_next(f))
		oq_text_add(t, " <code>%s</code> %.5g (limit %.5g);", string(f, "code"), oq_json_number(oq_json_get(f, "value")), oq_json_number(oq_json_get(f, "limit")));
	if (oq_json_count(findings) > 0)
		oq_text_add(t, "</p>\n");
}

#define BINS 40
#define WIDTH 640.0
#define HEIGHT 150.0

/* How 1 - centred cosine is spread over the patches, on a logarithmic axis, with the limits as lines. */
static void add_histogram(oq_text *t, const oq_json *e)
{
	const oq_json *values = oq_json_get(e, "centred_cosine");
	int counts[BINS] = {0}, most = 1;
	const double first = -6, last = 0; /* powers of ten */
	for (const oq_json *v = oq_json_first(values); v; v = oq_json_next(v)) {
		double x = log10(fmax(1 - oq_json_number(v), 1e-6));
		int bin = (int)((x - first) / (last - first) * BINS);
		bin = bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin;
		most = ++counts[bin] > most ? counts[bin] : most;
	}
	oq_text_add(t, "<h2>Patches by error (1 &minus; centred cosine)</h2>\n<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"histogram\">\n", WIDTH, HEIGHT + 40);
	for (int i = 0; i < BINS; i++)
		if (counts[i])
			oq_text_add(t, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#3b6ea5\"/>\n", i * WIDTH / BINS + 1,
				HEIGHT - counts[i] * (HEIGHT - 10) / most, WIDTH / BINS - 2, counts[i] * (HEIGHT - 10) / most);
	for (int power = -6; power <= 0; power++) {
		double x = (power - first) / (last - first) * WIDTH;
		oq_text_add(t, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"12\" text-anchor=\"%s\">%.0e</text>\n", x, HEIGHT + 16,
			power == -6 ? "start" : power == 0 ? "end" : "middle", pow(10, power));
	}
	double limit = number(e, "limits", "centred_cosine_min"), x = (log10(fmax(1 - limit, 1e-6)) - first) / (last - first) * WIDTH;
	oq_text_add(t, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%.1f\" stroke=\"#a11\" stroke-dasharray=\"4 3\"/>"
		"<text x=\"%.1f\" y=\"12\" font-size=\"12\" fill=\"#a11\">limit of the worst patch</text>\n</svg>\n", x, x, HEIGHT, x + 4);
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
		oq_text_add(t, "</td><td class=\"n\">%.4f</td><td class=\"n\">%.4f</td></tr>\n", oq_json_number(oq_json_get(p, "relative_error")),
			oq_json_number(oq_json_get(p, "centred_cosine")));
	}
	oq_text_add(t, "</table>\n");
}

static void add_record(oq_text *t, const oq_json *e)
{
	static const char *const keys[] = {"package_sha256", "reference_sha256", "cpu_class", "processor", "onednn_version", "tool_version", "manifest_sha256"};
	oq_text_add(t, "<h2>Record</h2>\n<table>\n");
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		oq_text_add(t, "<tr><td>%s</td><td><code>", keys[i]);
		oq_text_escape(t, string(e, keys[i]));
		oq_text_add(t, "</code></td></tr>\n");
	}
	oq_text_add(t, "</table>\n</body></html>\n");
}

oq_status oq_report_evidence(const oq_json *evidence, char **html, oq_error *err)
{
	oq_text text = {0};
	add_head(&text, evidence);
	add_table(&text, evidence);
	add_histogram(&text, evidence);
	add_phantoms(&text, evidence);
	add_record(&text, evidence);
	return oq_text_finish(&text, html, err);
}
