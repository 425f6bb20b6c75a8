/* Kaplan-Meier curves: steps, bands, strokes where follow-up ends, numbers at risk below. */
#include "curves_draw.h"

#include <math.h>

#define LEFT 92.0
#define TOP 64.0
#define WIDE 560.0
#define HIGH 300.0
#define RIGHT 24.0
#define LINE 18.0 /* of the table of numbers at risk */

/* Okabe and Ito's colours, told apart also by those who see fewer. */
static const char *const colours[OQ_CURVES] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999"};

typedef struct frame {
	double end, step; /* of the axis of time, and between its marks */
} frame;

/* 1, 2 or 5 times a power of ten, so that 4 to 8 marks reach the last time. */
static frame make_frame(const oq_curves *c)
{
	static const double steps[] = {1, 2, 5, 10};
	frame f = {.end = 0, .step = 1};
	for (int i = 0; i < c->count; i++)
		if (c->curves[i].count)
			f.end = fmax(f.end, c->curves[i].steps[c->curves[i].count - 1].time);
	f.end = f.end > 0 ? f.end : 1;
	double power = pow(10, floor(log10(f.end / 4)));
	for (int i = 0; i < 4; i++)
		if (f.end / (steps[i] * power) <= 8) {
			f.step = steps[i] * power;
			break;
		}
	f.end = ceil(f.end / f.step - 1e-9) * f.step;
	return f;
}

static double x_of(const frame *f, double time)
{
	return LEFT + time / f->end * WIDE;
}

static double y_of(double survival)
{
	return TOP + (1 - survival) * HIGH;
}

static void add_axes(oq_text *t, const oq_curves *c, const frame *f)
{
	for (int i = 0; i <= 4; i++)
		oq_text_add(t, "<line x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/><text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%.2f</text>\n", LEFT,
			LEFT + WIDE, y_of(0.25 * i), y_of(0.25 * i), LEFT - 8, y_of(0.25 * i) + 4, 0.25 * i);
	for (double time = 0; time <= f->end * (1 + 1e-9); time += f->step)
		oq_text_add(t, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\" stroke=\"#444\"/><text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%.6g</text>\n",
			x_of(f, time), x_of(f, time), TOP + HIGH, TOP + HIGH + 5, x_of(f, time), TOP + HIGH + 20, time);
	oq_text_add(t, "<path d=\"M%.0f %.0fV%.0fH%.0f\" fill=\"none\" stroke=\"#444\"/>\n<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">", LEFT, TOP, TOP + HIGH,
		LEFT + WIDE, LEFT + WIDE / 2, TOP + HIGH + 40);
	oq_text_escape(t, c->axis);
	oq_text_add(t, "</text>\n<text transform=\"translate(26 %.0f) rotate(-90)\" text-anchor=\"middle\">Survival</text>\n", TOP + HIGH / 2);
}

/* The 95 % interval, there along the upper ends and back along the lower ones. */
static void add_band(oq_text *t, const frame *f, const oq_curve *curve, const char *colour)
{
	oq_text_add(t, "<path d=\"M%.1f %.1f", x_of(f, 0), y_of(1));
	int64_t last = -1;
	for (int64_t i = 0; i < curve->count && !isnan(curve->steps[i].loglog_high); i++) {
		oq_text_add(t, "H%.1fV%.1f", x_of(f, curve->steps[i].time), y_of(curve->steps[i].loglog_high));
		last = i;
	}
	for (int64_t i = last; i >= 0; i--) {
		oq_text_add(t, i == last ? "V%.1f" : "H%.1fV%.1f", i == last ? y_of(curve->steps[i].loglog_low) : x_of(f, curve->steps[i + 1].time), y_of(curve->steps[i].loglog_low));
	}
	if (last >= 0)
		oq_text_add(t, "H%.1fV%.1f", x_of(f, curve->steps[0].time), y_of(1));
	oq_text_add(t, "Z\" fill=\"%s\" fill-opacity=\"0.14\"/>\n", colour);
}

static void add_curve(oq_text *t, const frame *f, const oq_curve *curve, const char *colour)
{
	add_band(t, f, curve, colour);
	oq_text_add(t, "<path d=\"M%.1f %.1f", x_of(f, 0), y_of(1));
	for (int64_t i = 0; i < curve->count; i++) {
		oq_text_add(t, "H%.1f", x_of(f, curve->steps[i].time));
		if (curve->steps[i].events)
			oq_text_add(t, "V%.1f", y_of(curve->steps[i].survival));
	}
	oq_text_add(t, "\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n<path d=\"", colour);
	for (int64_t i = 0; i < curve->count; i++) /* who was followed up to here and no further */
		if (curve->steps[i].censored)
			oq_text_add(t, "M%.1f %.1fv7", x_of(f, curve->steps[i].time), y_of(curve->steps[i].survival) - 3.5);
	oq_text_add(t, "\" stroke=\"%s\"/>\n", colour);
}

static int64_t at_risk(const oq_curve *curve, double time)
{
	for (int64_t i = 0; i < curve->count; i++)
		if (curve->steps[i].time >= time)
			return curve->steps[i].at_risk;
	return 0;
}

static void add_numbers(oq_text *t, const oq_curves *c, const frame *f)
{
	double y = TOP + HIGH + 66;
	oq_text_add(t, "<text x=\"10\" y=\"%.0f\" fill=\"#444\">At risk</text>\n", y);
	for (int i = 0; i < c->count; i++) {
		y += LINE;
		oq_text_add(t, "<g fill=\"%s\"><text x=\"10\" y=\"%.0f\">", colours[i], y);
		oq_text_escape(t, c->curves[i].name);
		oq_text_add(t, "</text>");
		for (double time = 0; time <= f->end * (1 + 1e-9); time += f->step)
			oq_text_add(t, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%lld</text>", x_of(f, time), y, (long long)at_risk(&c->curves[i], time));
		oq_text_add(t, "</g>\n");
	}
}

void oq_curves_draw(oq_text *t, const oq_curves *c, const char *attributes)
{
	frame f = make_frame(c);
	double width = LEFT + WIDE + RIGHT, height = TOP + HIGH + 80 + LINE * c->count;
	oq_text_add(t, "<svg%s viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" font-family=\"sans-serif\" font-size=\"13\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"10\" y=\"24\" font-size=\"16\" class=\"c\">", attributes, width, height, width, height);
	oq_text_escape(t, c->title);
	oq_text_add(t, "</text>\n");
	if (c->note) {
		oq_text_add(t, "<text x=\"10\" y=\"44\" fill=\"#444\">");
		oq_text_escape(t, c->note);
		oq_text_add(t, "</text>\n");
	}
	add_axes(t, c, &f);
	for (int i = 0; i < c->count; i++)
		add_curve(t, &f, &c->curves[i], colours[i]);
	add_numbers(t, c, &f);
	oq_text_add(t, "</svg>\n");
}

oq_status oq_report_curves(const oq_curves *c, char **text, oq_error *err)
{
	oq_text t = {0};
	oq_curves_draw(&t, c, " xmlns=\"http://www.w3.org/2000/svg\"");
	return oq_text_finish(&t, text, err);
}

static void add_number(oq_text *t, double value)
{
	if (isnan(value))
		oq_text_add(t, ",");
	else
		oq_text_add(t, ",%.17g", value);
}

oq_status oq_report_curves_csv(const oq_curves *c, char **text, oq_error *err)
{
	oq_text t = {0};
	oq_text_add(&t, "group,time,at_risk,events,censored,survival,low95,high95,loglog_low95,loglog_high95\n");
	for (int i = 0; i < c->count; i++)
		for (int64_t k = 0; k < c->curves[i].count; k++) {
			const oq_curve_step *s = &c->curves[i].steps[k];
			oq_text_field(&t, c->curves[i].name);
			add_number(&t, s->time);
			oq_text_add(&t, ",%lld,%lld,%lld", (long long)s->at_risk, (long long)s->events, (long long)s->censored);
			add_number(&t, s->survival);
			add_number(&t, s->low);
			add_number(&t, s->high);
			add_number(&t, s->loglog_low);
			add_number(&t, s->loglog_high);
			oq_text_add(&t, "\n");
		}
	return oq_text_finish(&t, text, err);
}
