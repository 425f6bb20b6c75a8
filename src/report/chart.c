#include "chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROW 26
#define TOP 40      /* title */
#define BOTTOM 44   /* ticks and axis */
#define PLOT 400    /* width of the plot */
#define RIGHT 170   /* of the texts */
#define LETTER 7.2  /* mean width at 13 px, generously */
#define LONGEST 40

static const char *const colours[3] = {"#1f4e79", "#9a5b13", "#8b96a3"};

/* Where things lie. */
typedef struct frame {
	double from, to, step;
	int left, width, height;
} frame;

/* The next of 1, 2, 5 times a power of ten that makes at most six ticks. */
static double nice_step(double span)
{
	double base = pow(10, floor(log10(span / 6)));
	return span / base <= 12 ? 2 * base : span / base <= 30 ? 5 * base : 10 * base;
}

static frame make_frame(const oq_chart *c)
{
	size_t longest = 6;
	double most = 0;
	for (int i = 0; i < c->count; i++) {
		size_t length = strlen(c->rows[i].label);
		longest = length > longest ? length : longest;
		most = c->rows[i].value > most ? c->rows[i].value : most;
		most = c->rows[i].high > most ? c->rows[i].high : most;
	}
	frame f = {.from = c->from, .to = c->to, .step = c->step};
	if (!(f.to > f.from)) {
		f.from = 0;
		f.step = nice_step(most > 0 ? most : 1);
		f.to = f.step * ceil((most > 0 ? most : 1) / f.step);
	}
	f.left = (int)(LETTER * (double)(longest > LONGEST ? LONGEST : longest)) + 16;
	f.width = f.left + PLOT + RIGHT;
	f.height = TOP + c->count * ROW + BOTTOM;
	return f;
}

static double place(const frame *f, double value)
{
	double share = (value - f->from) / (f->to - f->from);
	return f->left + PLOT * fmin(fmax(share, 0), 1);
}

static void add_label(oq_text *t, const char *label)
{
	char cut[LONGEST + 8];
	size_t length = strlen(label);
	if (length <= LONGEST) {
		oq_text_escape(t, label);
		return;
	}
	while (length > LONGEST - 1 || (label[length] & 0xc0) == 0x80) /* not inside a letter */
		length--;
	snprintf(cut, sizeof cut, "%.*s\xe2\x80\xa6", (int)length, label);
	oq_text_escape(t, cut);
}

static void add_axis(oq_text *t, const oq_chart *c, const frame *f)
{
	int bottom = TOP + c->count * ROW;
	for (int i = 0; f->from + i * f->step <= f->to + 1e-9 * f->step; i++) {
		double value = f->from + i * f->step, x = place(f, value);
		oq_text_add(t, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#e3e7eb\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" class=\"k\">", x, x,
			TOP - 4, bottom, x, bottom + 17);
		if (c->powers)
			oq_text_add(t, value < 0 || value > 0 ? "10<tspan dy=\"-5\" font-size=\"9\">%.0f</tspan>" : "1", value);
		else
			oq_text_add(t, "%g", fabs(value) < 1e-9 ? 0 : value);
		oq_text_add(t, "</text>\n");
	}
	oq_text_add(t, "<line x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\" stroke=\"#5b6773\"/><text x=\"%d\" y=\"%d\" text-anchor=\"middle\" class=\"k\">", f->left, f->left + PLOT, bottom, bottom,
		f->left + PLOT / 2, bottom + 36);
	oq_text_escape(t, c->axis);
	oq_text_add(t, "</text>\n");
	if (!isfinite(c->line))
		return;
	double x = place(f, c->line);
	oq_text_add(t, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#a3262a\" stroke-dasharray=\"4 3\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" class=\"k\" fill=\"#a3262a\">",
		x, x, TOP - 4, bottom, x, TOP - 8);
	oq_text_escape(t, c->line_label);
	oq_text_add(t, "</text>\n");
}

static void begin(oq_text *t, const oq_chart *c, const frame *f)
{
	oq_text_add(t, "<figure><svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" aria-label=\"", f->width, f->height, f->width, f->height);
	oq_text_escape(t, c->title);
	oq_text_add(t, "\">\n<text x=\"0\" y=\"14\" class=\"c\">");
	oq_text_escape(t, c->title);
	oq_text_add(t, "</text>\n");
	add_axis(t, c, f);
}

static void add_names(oq_text *t, const oq_chart *c, const frame *f, int i)
{
	int y = TOP + i * ROW + ROW / 2 + 4;
	oq_text_add(t, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", f->left - 10, y);
	add_label(t, c->rows[i].label);
	oq_text_add(t, "</text><text x=\"%d\" y=\"%d\" class=\"n\">", f->left + PLOT + 12, y);
	oq_text_escape(t, c->rows[i].text);
	oq_text_add(t, "</text>\n");
}

oq_chart_row oq_chart_share(const char *label, oq_measure share, double *from)
{
	oq_chart_row row = {.value = share.value, .low = share.low, .high = share.high};
	double least = isfinite(share.low) ? fmin(share.value, share.low) : share.value;
	snprintf(row.label, sizeof row.label, "%.90s", label);
	oq_measure_text(share, row.text);
	if (least < *from)
		*from = floor(fmax(least, 0) * 10) / 10;
	return row;
}

void oq_chart_forest(oq_text *t, const oq_chart *c)
{
	frame f = make_frame(c);
	begin(t, c, &f);
	for (int i = 0; i < c->count; i++) {
		const oq_chart_row *r = &c->rows[i];
		int y = TOP + i * ROW + ROW / 2;
		add_names(t, c, &f, i);
		if (isfinite(r->low) && isfinite(r->high))
			oq_text_add(t, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"2\"/>", place(&f, r->low), place(&f, r->high), y, y, colours[r->group]);
		if (isfinite(r->value))
			oq_text_add(t, "<circle cx=\"%.1f\" cy=\"%d\" r=\"4.5\" fill=\"%s\"/>\n", place(&f, r->value), y, colours[r->group]);
	}
	oq_text_add(t, "</svg></figure>\n");
}

void oq_chart_bars(oq_text *t, const oq_chart *c)
{
	frame f = make_frame(c);
	begin(t, c, &f);
	for (int i = 0; i < c->count; i++) {
		add_names(t, c, &f, i);
		if (isfinite(c->rows[i].value))
			oq_text_add(t, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", f.left, TOP + i * ROW + 5, place(&f, c->rows[i].value) - f.left, ROW - 10,
				colours[c->rows[i].group]);
	}
	oq_text_add(t, "</svg></figure>\n");
}

#define CURVES_LEFT 58
#define CURVES_WIDTH 300
#define CURVES_HEIGHT 150

static void add_curve(oq_text *t, const oq_chart_curves *c, const double *y, double most, const char *colour, const char *dash)
{
	oq_text_add(t, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s points=\"%d,%d", colour, dash, CURVES_LEFT, 12 + CURVES_HEIGHT);
	for (int i = 0; i < c->count; i++)
		if (isfinite(y[i]))
			oq_text_add(t, " %.1f,%.1f", CURVES_LEFT + CURVES_WIDTH * c->x[i], 12 + CURVES_HEIGHT * (1 - y[i] / most));
	oq_text_add(t, "\"/>\n");
}

void oq_chart_two_curves(oq_text *t, const oq_chart_curves *c)
{
	double most = 0, step;
	for (int i = 0; i < c->count; i++)
		most = fmax(most, fmax(isfinite(c->first[i]) ? c->first[i] : 0, isfinite(c->second[i]) ? c->second[i] : 0));
	step = nice_step(most > 0 ? most : 1);
	most = step * ceil((most > 0 ? most : 1) / step);
	int bottom = 12 + CURVES_HEIGHT;
	oq_text_add(t, "<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" aria-label=\"deletion curves\">\n", CURVES_LEFT + CURVES_WIDTH + 20, bottom + 62,
		CURVES_LEFT + CURVES_WIDTH + 20, bottom + 62);
	for (int i = 0; i * step <= most + 1e-9; i++) {
		double y = bottom - CURVES_HEIGHT * i * step / most;
		oq_text_add(t, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#e3e7eb\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" class=\"k\">%g</text>\n", CURVES_LEFT,
			CURVES_LEFT + CURVES_WIDTH, y, y, CURVES_LEFT - 6, y + 4, i * step);
	}
	for (int i = 0; i <= 4; i++)
		oq_text_add(t, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" class=\"k\">%d %%</text>\n", CURVES_LEFT + CURVES_WIDTH * i / 4, bottom + 16, 25 * i);
	add_curve(t, c, c->second, most, colours[2], " stroke-dasharray=\"5 3\"");
	add_curve(t, c, c->first, most, colours[0], "");
	oq_text_add(t, "<text x=\"%d\" y=\"%d\" class=\"k\">%s</text><text x=\"%d\" y=\"%d\" class=\"k\"><tspan fill=\"%s\">\xe2\x94\x81 %s</tspan>  <tspan fill=\"%s\" dx=\"12\">\xe2\x94\x85 %s</tspan></text>\n",
		CURVES_LEFT, bottom + 34, c->axis_x, CURVES_LEFT, bottom + 54, colours[0], c->first_label, colours[2], c->second_label);
	oq_text_add(t, "<text transform=\"translate(12 %d) rotate(-90)\" text-anchor=\"middle\" class=\"k\">%s</text>\n</svg>\n", 12 + CURVES_HEIGHT / 2, c->axis_y);
}
