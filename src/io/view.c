/* Three planes through a seed, side by side, in radiological convention: the patient's right is on the left of the axial and
 * the coronal plane, anterior is on the left of the sagittal one, superior is up. Letters say so in the picture. */
#include "io/png.h"

#include "core/mem.h"

#include <math.h>
#include <string.h>

#define SIDE 400   /* pixels of a plane's height */
#define MOST 800   /* and its width at the most */
#define GAP 12
#define MARGIN 22  /* room for the letters around a plane */

typedef struct canvas {
	int width, height;
	unsigned char *rgb;
} canvas;

/* World axes (0 x, 1 y, 2 z; RAS) to the right and down, and whether the axis runs backwards there. */
typedef struct plane {
	int right, down;
	bool right_back, down_back;
	char letters[4]; /* left, right, top, bottom */
} plane;

static const plane planes[3] = {
	{0, 1, true, true, {'R', 'L', 'A', 'P'}}, /* axial: x grows towards R, shown R on the left, so x falls to the right */
	{0, 2, true, true, {'R', 'L', 'S', 'I'}}, /* coronal */
	{1, 2, true, true, {'A', 'P', 'S', 'I'}}, /* sagittal */
};

static const struct {
	char letter;
	unsigned char rows[7];
} font[] = {
	{'R', {0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11}}, {'L', {0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f}},
	{'A', {0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11}}, {'P', {0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10}},
	{'S', {0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e}}, {'I', {0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e}},
};

static void set_pixel(const canvas *c, int x, int y, int r, int g, int b)
{
	if (x < 0 || y < 0 || x >= c->width || y >= c->height)
		return;
	unsigned char *p = c->rgb + 3 * ((size_t)y * (size_t)c->width + (size_t)x);
	p[0] = (unsigned char)r;
	p[1] = (unsigned char)g;
	p[2] = (unsigned char)b;
}

static void draw_letter(const canvas *c, int left, int top, char letter)
{
	for (size_t i = 0; i < sizeof font / sizeof *font; i++)
		for (int y = 0; font[i].letter == letter && y < 14; y++)
			for (int x = 0; x < 10; x++)
				if (font[i].rows[y / 2] >> (4 - x / 2) & 1)
					set_pixel(c, left + x, top + y, 230, 230, 230);
}

/* Trilinear HU at a RAS position; NAN outside. */
static double hu_at(const oq_volume *v, const double ras[3])
{
	double ijk[3], sum = 0;
	int64_t base[3];
	oq_volume_from_ras(v, ras, ijk);
	for (int i = 0; i < 3; i++) {
		if (!(ijk[i] >= -0.5 && ijk[i] <= (double)v->dims[i] - 0.5))
			return (double)NAN;
		ijk[i] = fmin(fmax(ijk[i], 0), (double)v->dims[i] - 1);
		base[i] = (int64_t)fmin(floor(ijk[i]), fmax((double)v->dims[i] - 2, 0));
		ijk[i] -= (double)base[i];
	}
	for (int c = 0; c < 8; c++) {
		double weight = 1;
		int64_t at[3];
		for (int i = 0; i < 3; i++) {
			weight *= c >> i & 1 ? ijk[i] : 1 - ijk[i];
			at[i] = base[i] + (c >> i & 1 && v->dims[i] > 1);
		}
		sum += weight * (double)oq_volume_hu(v, at[0], at[1], at[2]);
	}
	return sum;
}

/* Box around the eight corners of the scan, in RAS. */
static void world_box(const oq_volume *v, double low[3], double high[3])
{
	for (int c = 0; c < 8; c++) {
		const double ijk[3] = {c & 1 ? (double)v->dims[0] - 0.5 : -0.5, c & 2 ? (double)v->dims[1] - 0.5 : -0.5, c & 4 ? (double)v->dims[2] - 0.5 : -0.5};
		double ras[3];
		oq_volume_to_ras(v, ijk, ras);
		for (int i = 0; i < 3; i++) {
			low[i] = c && low[i] < ras[i] ? low[i] : ras[i];
			high[i] = c && high[i] > ras[i] ? high[i] : ras[i];
		}
	}
}

/* Where a plane lies on the canvas, and how its pixels map to the world. */
typedef struct frame {
	const plane *plane;
	int left, top, width, height;
	double mm;            /* per pixel */
	double low[3], high[3], seed[3];
} frame;

static void pixel_to_ras(const frame *f, double x, double y, double ras[3])
{
	const plane *p = f->plane;
	memcpy(ras, f->seed, 3 * sizeof *ras);
	ras[p->right] = p->right_back ? f->high[p->right] - x * f->mm : f->low[p->right] + x * f->mm;
	ras[p->down] = p->down_back ? f->high[p->down] - y * f->mm : f->low[p->down] + y * f->mm;
}

static double ras_to_x(const frame *f, double value)
{
	return (f->plane->right_back ? f->high[f->plane->right] - value : value - f->low[f->plane->right]) / f->mm;
}

static double ras_to_y(const frame *f, double value)
{
	return (f->plane->down_back ? f->high[f->plane->down] - value : value - f->low[f->plane->down]) / f->mm;
}

/* From dark violet by red to yellow, brightness rising throughout, so that it also reads in grey. */
static void heat(double share, double rgb[3])
{
	static const double stops[5][3] = {{40, 10, 80}, {140, 30, 110}, {225, 65, 60}, {250, 150, 40}, {255, 240, 140}};
	double at = fmin(fmax(share, 0), 1) * 4;
	int low = at < 3 ? (int)at : 3;
	for (int i = 0; i < 3; i++)
		rgb[i] = stops[low][i] + (at - low) * (stops[low + 1][i] - stops[low][i]);
}

/* The map's colour over a grey value, the more opaque the greater. */
static void blend(const oq_view_options *o, const oq_volume *v, const double ras[3], double rgb[3])
{
	double ijk[3], color[3];
	bool inside;
	oq_volume_from_ras(v, ras, ijk);
	double share = oq_overlay_at(o->overlay, ijk, &inside) / o->overlay_high;
	if (!inside || !(share > 0))
		return;
	double opaque = 0.15 + 0.55 * fmin(share, 1);
	heat(share, color);
	for (int i = 0; i < 3; i++)
		rgb[i] = (1 - opaque) * rgb[i] + opaque * color[i];
}

static void draw_scan(const canvas *c, const oq_volume *v, const frame *f, const oq_view_options *o)
{
#pragma omp parallel for
	for (int y = 0; y < f->height; y++)
		for (int x = 0; x < f->width; x++) {
			double ras[3];
			pixel_to_ras(f, x + 0.5, y + 0.5, ras);
			double hu = hu_at(v, ras), gray = isnan(hu) ? 0 : fmin(fmax((hu - o->level_hu) / o->width_hu + 0.5, 0), 1) * 255;
			double rgb[3] = {gray, gray, gray};
			if (o->overlay && o->overlay_high > 0)
				blend(o, v, ras, rgb);
			set_pixel(c, f->left + x, f->top + y, (int)(rgb[0] + 0.5), (int)(rgb[1] + 0.5), (int)(rgb[2] + 0.5));
		}
}

/* Points of a line inside the frame, every pixel, or every second one when dashed. */
static void draw_line(const canvas *c, const frame *f, bool horizontal, double at, double from, double to, const int color[3])
{
	int fixed = (int)floor(at), limit = horizontal ? f->width : f->height;
	if (fixed < 0 || fixed >= (horizontal ? f->height : f->width))
		return;
	for (int i = (int)fmax(floor(from), 0); i <= (int)fmin(floor(to), limit - 1); i++)
		set_pixel(c, f->left + (horizontal ? i : fixed), f->top + (horizontal ? fixed : i), color[0], color[1], color[2]);
}

/* The patch in RAS: where the map's voxels lie, or, without a map, box_mm around the seed. False when there is none. */
static bool patch_box(const oq_view_options *o, const oq_volume *v, const double seed[3], double low[3], double high[3])
{
	for (int i = 0; i < 3; i++) {
		low[i] = seed[i] - o->box_mm[i] / 2;
		high[i] = seed[i] + o->box_mm[i] / 2;
	}
	for (int corner = 0; corner < 8 && o->overlay; corner++) {
		double index[3], ras[3];
		for (int i = 0; i < 3; i++)
			index[i] = corner >> i & 1 ? (double)o->overlay->size[i] - 0.5 : -0.5;
		oq_overlay_to_ras(o->overlay, v, index, ras);
		for (int i = 0; i < 3; i++) {
			low[i] = corner && low[i] < ras[i] ? low[i] : ras[i];
			high[i] = corner && high[i] > ras[i] ? high[i] : ras[i];
		}
	}
	return high[0] > low[0] && high[1] > low[1] && high[2] > low[2];
}

static void draw_marks(const canvas *c, const frame *f, const oq_volume *v, const oq_view_options *o)
{
	static const int green[3] = {60, 220, 90}, yellow[3] = {255, 205, 40};
	double x = ras_to_x(f, f->seed[f->plane->right]), y = ras_to_y(f, f->seed[f->plane->down]), gap = 7, low[3], high[3];
	draw_line(c, f, true, y, 0, x - gap, green);
	draw_line(c, f, true, y, x + gap, f->width, green);
	draw_line(c, f, false, x, 0, y - gap, green);
	draw_line(c, f, false, x, y + gap, f->height, green);
	if (!patch_box(o, v, f->seed, low, high))
		return;
	double one = ras_to_x(f, low[f->plane->right]), other = ras_to_x(f, high[f->plane->right]), left = fmin(one, other), right = fmax(one, other);
	one = ras_to_y(f, low[f->plane->down]);
	other = ras_to_y(f, high[f->plane->down]);
	double top = fmin(one, other), bottom = fmax(one, other);
	for (int thick = 0; thick < 2; thick++) {
		draw_line(c, f, true, top + thick, left, right, yellow);
		draw_line(c, f, true, bottom - thick, left, right, yellow);
		draw_line(c, f, false, left + thick, top, bottom, yellow);
		draw_line(c, f, false, right - thick, top, bottom, yellow);
	}
}

static void draw_letters(const canvas *c, const frame *f)
{
	int middle_x = f->left + f->width / 2 - 5, middle_y = f->top + f->height / 2 - 7;
	draw_letter(c, f->left - 16, middle_y, f->plane->letters[0]);
	draw_letter(c, f->left + f->width + 6, middle_y, f->plane->letters[1]);
	draw_letter(c, middle_x, f->top - 19, f->plane->letters[2]);
	draw_letter(c, middle_x, f->top + f->height + 5, f->plane->letters[3]);
}

/* The box around the scan, cut to the field around the seed where there is one. */
static void field_box(const oq_volume *v, const double seed_ras[3], const double field_mm[3], double low[3], double high[3])
{
	world_box(v, low, high);
	for (int i = 0; i < 3; i++)
		if (field_mm[i] > 0) {
			low[i] = seed_ras[i] - field_mm[i] / 2;
			high[i] = seed_ras[i] + field_mm[i] / 2;
		}
}

static int place_frames(const oq_volume *v, const double seed_ras[3], const double field_mm[3], frame frames[3])
{
	int left = GAP + MARGIN;
	for (int i = 0; i < 3; i++) {
		frame *f = &frames[i];
		*f = (frame){.plane = &planes[i], .left = left, .top = GAP + MARGIN};
		memcpy(f->seed, seed_ras, sizeof f->seed);
		field_box(v, seed_ras, field_mm, f->low, f->high);
		double wide = f->high[f->plane->right] - f->low[f->plane->right], tall = f->high[f->plane->down] - f->low[f->plane->down];
		f->mm = fmax(tall / SIDE, wide / MOST);
		f->width = (int)fmax(ceil(wide / f->mm), 1);
		f->height = (int)fmax(ceil(tall / f->mm), 1);
		left += f->width + 2 * MARGIN + GAP;
	}
	return left - MARGIN;
}

oq_status oq_view_write_png(const oq_volume *volume, const double seed_lps_mm[3], const oq_view_options *options, const char *path, oq_error *err)
{
	const double seed_ras[3] = {-seed_lps_mm[0], -seed_lps_mm[1], seed_lps_mm[2]};
	oq_view_options o = options ? *options : (oq_view_options){0};
	if (!(o.width_hu > 0)) {
		o.level_hu = 40;
		o.width_hu = 400;
	}
	frame frames[3];
	canvas c = {.width = place_frames(volume, seed_ras, o.field_mm, frames), .height = SIDE + 2 * (GAP + MARGIN)};
	for (int i = 0; i < 3; i++)
		c.height = frames[i].height + 2 * (GAP + MARGIN) > c.height ? frames[i].height + 2 * (GAP + MARGIN) : c.height;
	c.rgb = oq_calloc((size_t)c.width * (size_t)c.height, 3);
	if (!c.rgb)
		return oq_fail_memory(err, path, (size_t)c.width * (size_t)c.height * 3);
	for (int i = 0; i < 3; i++) {
		draw_scan(&c, volume, &frames[i], &o);
		draw_marks(&c, &frames[i], volume, &o);
		draw_letters(&c, &frames[i]);
	}
	oq_status status = oq_png_write_rgb(path, c.width, c.height, c.rgb, err);
	oq_free(c.rgb);
	return status;
}
