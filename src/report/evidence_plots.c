#include "evidence_plots.h"

#include "fields.h"

#include <math.h>
#include <stdio.h>

#define WIDE 420.0
#define HIGH 220.0
#define LEFT 52.0
#define BOTTOM 40.0
#define TOP 12.0
#define BINS 42
#define BLUE "#0072b2"
#define ORANGE "#d55e00"
#define RED "#a11"

static void begin(oq_text *t, const char *title, const char *x, const char *y)
{
	oq_text_add(t, "<figure><figcaption>%s</figcaption>\n<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\" font-size=\"11\" fill=\"#333\">\n"
		"<path d=\"M%.1f %.1fV%.1fH%.1f\" fill=\"none\" stroke=\"#888\"/>\n<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n"
		"<text transform=\"translate(12 %.1f) rotate(-90)\" text-anchor=\"middle\">%s</text>\n", title, LEFT + WIDE + 12, TOP + HIGH + BOTTOM, title, LEFT, TOP, TOP + HIGH,
		LEFT + WIDE, LEFT + WIDE / 2, TOP + HIGH + 34, x, TOP + HIGH / 2, y);
}

static void end(oq_text *t)
{
	oq_text_add(t, "</svg></figure>\n");
}

static void mark_x(oq_text *t, double share, const char *label)
{
	double x = LEFT + share * WIDE;
	oq_text_add(t, "<path d=\"M%.1f %.1fv4\" stroke=\"#888\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", x, TOP + HIGH, x, TOP + HIGH + 16, label);
}

static void mark_y(oq_text *t, double share, const char *label)
{
	double y = TOP + (1 - share) * HIGH;
	oq_text_add(t, "<path d=\"M%.1f %.1fh%.0f\" stroke=\"#e4e4e4\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT, y, WIDE, LEFT - 5, y + 4, label);
}

static void mark_power(oq_text *t, void (*mark)(oq_text *, double, const char *), int power, int first, int last)
{
	char label[64];
	snprintf(label, sizeof label, "10<tspan dy=\"-4\" font-size=\"8\">%d</tspan>", power);
	mark(t, (double)(power - first) / (last - first), label);
}

void oq_plot_errors(oq_text *t, const oq_json *e)
{
	const int first = -7, last = 0; /* powers of ten */
	int counts[BINS] = {0}, most = 1;
	const oq_json *values = oq_json_get(e, "centred_cosine");
	if (!values)
		return;
	for (const oq_json *v = oq_json_first(values); v; v = oq_json_next(v)) {
		int bin = (int)((log10(fmax(1 - oq_json_number(v), 1e-7)) - first) / (last - first) * BINS);
		bin = bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin;
		most = ++counts[bin] > most ? counts[bin] : most;
	}
	begin(t, "Patches by error", "1 &minus; centred cosine", "patches");
	for (int half = 1; half <= 2; half++) {
		char label[16];
		snprintf(label, sizeof label, "%g", most * 0.5 * half);
		mark_y(t, 0.48 * half, label);
	}
	for (int power = first; power <= last; power++)
		mark_power(t, mark_x, power, first, last);
	for (int i = 0; i < BINS; i++)
		if (counts[i])
			oq_text_add(t, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"" BLUE "\"/>\n", LEFT + i * WIDE / BINS + 0.7,
				TOP + HIGH - counts[i] * 0.96 * HIGH / most, WIDE / BINS - 1.4, counts[i] * 0.96 * HIGH / most);
	double limit = 1 - oq_field_number_in(e, "limits", "centred_cosine_min");
	if (limit > 1e-7 && limit < 1) {
		double x = LEFT + (log10(limit) - first) / (last - first) * WIDE;
		oq_text_add(t, "<path d=\"M%.1f %.1fv%.1f\" stroke=\"" RED "\" stroke-dasharray=\"4 3\"/><text x=\"%.1f\" y=\"%.1f\" fill=\"" RED "\">limit of the worst</text>\n", x, TOP,
			HIGH, x + 4, TOP + 9);
	}
	end(t);
}

static void widen(const oq_json *list, double *low, double *high)
{
	for (const oq_json *v = oq_json_first(list); v; v = oq_json_next(v))
		if (oq_json_number(v) > 0) {
			*low = fmin(*low, log10(oq_json_number(v)));
			*high = fmax(*high, log10(oq_json_number(v)));
		}
}

void oq_plot_noise(oq_text *t, const oq_json *e)
{
	const oq_json *errors = oq_json_get(e, "error_norm"), *noises = oq_json_get(e, "jitter_norm");
	double low = INFINITY, high = -INFINITY;
	if (!errors || !noises)
		return;
	widen(errors, &low, &high);
	widen(noises, &low, &high);
	if (!(low < INFINITY))
		return;
	int first = (int)floor(low), last = (int)floor(high) + 1;
	begin(t, "Error against the yardstick, patch by patch", "moving the seed: |x&prime; &minus; x|", "precision: |q &minus; x|");
	for (int power = first; power <= last; power++) {
		mark_power(t, mark_x, power, first, last);
		mark_power(t, mark_y, power, first, last);
	}
	/* Two lines of one slope: as large as the yardstick, and the limit (a ratio of squares, the yardstick's halved). */
	double ratio = oq_field_number_in(e, "limits", "noise_ratio"), span = last - first;
	const struct { double lift; const char *colour, *label; } lines[] = {{0, "#999", "as large"}, {ratio > 0 ? 0.5 * log10(ratio / 2) : 0, RED, "limit"}};
	for (int i = 0; i < 2; i++) {
		double from = fmax(0, -lines[i].lift / span), to = fmin(1, 1 - lines[i].lift / span);
		if (from < to)
			oq_text_add(t, "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"%s\" stroke-dasharray=\"4 3\"/><text x=\"%.1f\" y=\"%.1f\" fill=\"%s\" text-anchor=\"end\">%s</text>\n",
				LEFT + from * WIDE, TOP + (1 - from - lines[i].lift / span) * HIGH, LEFT + to * WIDE, TOP + (1 - to - lines[i].lift / span) * HIGH, lines[i].colour,
				LEFT + to * WIDE - 6, TOP + (1 - to - lines[i].lift / span) * HIGH + 12, lines[i].colour, lines[i].label);
	}
	const oq_json *x = oq_json_first(noises), *y = oq_json_first(errors);
	for (; x && y; x = oq_json_next(x), y = oq_json_next(y))
		if (oq_json_number(x) > 0 && oq_json_number(y) > 0)
			oq_text_add(t, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\" fill=\"" BLUE "\" fill-opacity=\"0.6\"/>\n", LEFT + (log10(oq_json_number(x)) - first) / span * WIDE,
				TOP + (1 - (log10(oq_json_number(y)) - first) / span) * HIGH);
	end(t);
}

void oq_plot_recall(oq_text *t, const oq_json *e)
{
	static const char *const keys[2][4] = {{"recall1", "recall5", "recall10", "recall50"}, {"cross_recall1", "cross_recall5", "cross_recall10", "cross_recall50"}};
	static const char *const places[] = {"1", "5", "10", "50"};
	if (isnan(oq_field_number_in(e, "neighbours", "recall1")))
		return;
	begin(t, "Nearest neighbours kept", "nearest neighbours", "share");
	for (int i = 0; i <= 4; i++) {
		char label[16];
		snprintf(label, sizeof label, "%.2f", i / 4.0);
		mark_y(t, i / 4.0 * 0.96, label);
	}
	for (int k = 0; k < 4; k++) {
		mark_x(t, (k + 0.5) / 4, places[k]);
		for (int which = 0; which < 2; which++) {
			double value = oq_field_number_in(e, "neighbours", keys[which][k]), x = LEFT + (k + 0.5) / 4 * WIDE + (which ? 2 : -32);
			if (isnan(value))
				continue;
			oq_text_add(t, "<rect x=\"%.1f\" y=\"%.1f\" width=\"30\" height=\"%.1f\" fill=\"%s\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" fill=\"#fff\">%.2f</text>\n", x,
				TOP + (1 - 0.96 * value) * HIGH, 0.96 * value * HIGH, which ? ORANGE : BLUE, x + 15, TOP + (1 - 0.96 * value) * HIGH + 14, value);
		}
	}
	double limit = oq_field_number_in(e, "limits", "recall10");
	if (!isnan(limit))
		oq_text_add(t, "<path d=\"M%.1f %.1fh%.1f\" stroke=\"" RED "\" stroke-dasharray=\"4 3\"/>\n", LEFT + 0.5 * WIDE, TOP + (1 - 0.96 * limit) * HIGH, 0.25 * WIDE);
	oq_text_add(t, "<g><rect x=\"%.1f\" y=\"%.1f\" width=\"9\" height=\"9\" fill=\"" BLUE "\"/><text x=\"%.1f\" y=\"%.1f\">among candidates</text>"
		"<rect x=\"%.1f\" y=\"%.1f\" width=\"9\" height=\"9\" fill=\"" ORANGE "\"/><text x=\"%.1f\" y=\"%.1f\">in the reference&rsquo;s index</text></g>\n", LEFT + 2, TOP + HIGH + 26,
		LEFT + 15, TOP + HIGH + 34, LEFT + WIDE - 140, TOP + HIGH + 26, LEFT + WIDE - 127, TOP + HIGH + 34);
	end(t);
}

static void add_line(oq_text *t, const oq_json *list, int count, double low, double high, const char *style)
{
	int i = 0;
	for (const oq_json *v = oq_json_first(list); v; v = oq_json_next(v), i++)
		oq_text_add(t, "%s%.1f %.1f", i ? "L" : "<path d=\"M", LEFT + (double)i / (count - 1) * WIDE, TOP + (1 - (oq_json_number(v) - low) / (high - low)) * HIGH);
	oq_text_add(t, "\" fill=\"none\" %s/>\n", style);
}

void oq_plot_ramp(oq_text *t, const oq_json *e)
{
	const oq_json *lists[2] = {oq_field(oq_field(e, "ramp"), "reference"), oq_field(oq_field(e, "ramp"), "candidate")};
	double low = 0, high = 1;
	int count = lists[0] ? oq_json_count(lists[0]) : 0;
	if (!lists[0] || !lists[1] || count < 2 || oq_json_count(lists[1]) != count)
		return;
	for (int which = 0; which < 2; which++)
		for (const oq_json *v = oq_json_first(lists[which]); v; v = oq_json_next(v)) {
			low = fmin(low, oq_json_number(v));
			high = fmax(high, oq_json_number(v));
		}
	begin(t, "Response to a growing contrast", "contrast of a sphere, HU", "share of the reference&rsquo;s way");
	for (int i = 0; i <= 3; i++) {
		char label[16];
		snprintf(label, sizeof label, "%d", i * 100);
		mark_x(t, i / 3.0, label);
	}
	mark_y(t, (0 - low) / (high - low), "0");
	mark_y(t, (1 - low) / (high - low), "1");
	add_line(t, lists[0], count, low, high, "stroke=\"" BLUE "\" stroke-width=\"4\" stroke-opacity=\"0.4\"");
	add_line(t, lists[1], count, low, high, "stroke=\"" ORANGE "\" stroke-width=\"1.6\"");
	oq_text_add(t, "<text x=\"%.1f\" y=\"%.1f\" fill=\"" BLUE "\">float32</text><text x=\"%.1f\" y=\"%.1f\" fill=\"" ORANGE "\">candidate</text>\n", LEFT + 10, TOP + 14, LEFT + 10,
		TOP + 28);
	end(t);
}

static void add_points(oq_text *t, const oq_json *layers, const char *key, const char *colour, int first)
{
	int count = oq_json_count(layers), i = 0;
	for (const oq_json *layer = oq_json_first(layers); layer; layer = oq_json_next(layer), i++) {
		double share = oq_field_number(layer, key);
		if (share > 0)
			oq_text_add(t, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.4\" fill=\"%s\" fill-opacity=\"0.7\"/>\n", LEFT + (i + 0.5) / count * WIDE,
				TOP + HIGH * log10(fmax(share, pow(10, first))) / first, colour);
	}
}

void oq_plot_saturation(oq_text *t, const oq_json *e)
{
	const int first = -6; /* powers of ten */
	const oq_json *layers = oq_field(oq_field(e, "saturation"), "layers");
	double limit = oq_field_number_in(e, "saturation", "limit");
	if (!layers || !oq_json_count(layers))
		return;
	begin(t, "Codes clipped, layer by layer", "8-bit layers in order; those without a point clip nothing", "share of input codes");
	for (int power = first; power <= 0; power++)
		mark_power(t, mark_y, power, first, 0);
	add_points(t, layers, "phantoms", ORANGE, first);
	add_points(t, layers, "patches", BLUE, first);
	if (limit > 0)
		oq_text_add(t, "<path d=\"M%.1f %.1fh%.1f\" stroke=\"" RED "\" stroke-dasharray=\"4 3\"/>\n", LEFT, TOP + HIGH * log10(limit) / first, WIDE);
	oq_text_add(t, "<text x=\"%.1f\" y=\"%.1f\" fill=\"" BLUE "\">test patches: at most %.2g</text><text x=\"%.1f\" y=\"%.1f\" fill=\"" ORANGE "\">phantoms: at most %.2g</text>\n",
		LEFT + 10, TOP + 14, oq_field_number_in(e, "saturation", "patches"), LEFT + 10, TOP + 28, oq_field_number_in(e, "saturation", "phantoms"));
	end(t);
}
