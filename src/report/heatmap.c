/* Heat maps: cells from white to dark blue with their figures, names left of and, turned, above them. */
#include "heatmap_draw.h"

#include <math.h>
#include <string.h>

#define CELL 56
#define LETTER 7.6 /* mean width of a letter, generously: fonts differ */
#define LONGEST 32 /* letters of a name that are drawn */

/* Room for names left of and, turned, above the cells. */
typedef struct frame {
	int left, top, width, height;
} frame;

static frame make_frame(const oq_heatmap *map)
{
	size_t longest = 8;
	for (int i = 0; i < map->count; i++)
		longest = strlen(map->names[i]) > longest ? strlen(map->names[i]) : longest;
	int letters = (int)(LETTER * (double)(longest > LONGEST ? LONGEST : longest)), turned = letters * 71 / 100; /* at 45 degrees */
	frame f = {.left = letters + 18, .top = turned + 52};
	f.width = f.left + map->count * CELL + turned;
	f.height = f.top + map->count * CELL + 10;
	int title = (int)(9.5 * (double)strlen(map->title)) + 20;
	f.width = title > f.width ? title : f.width;
	return f;
}

/* The end tells models and precisions apart more often than the beginning. */
static void add_name(oq_text *t, const char *name)
{
	size_t length = strlen(name);
	if (length > LONGEST) {
		name += length - (LONGEST - 1);
		while ((*name & 0xc0) == 0x80) /* not inside a letter */
			name++;
		oq_text_add(t, "\xe2\x80\xa6");
	}
	oq_text_escape(t, name);
}

/* From white to dark blue; dark cells get white figures. */
static void add_cell(oq_text *t, const oq_heatmap *map, const frame *f, int i, int j)
{
	double value = map->values[i * map->count + j];
	if (isnan(value))
		return;
	double share = (value - map->low) / (map->high - map->low);
	share = share < 0 ? 0 : share > 1 ? 1 : share;
	int red = (int)(245 - 225 * share), green = (int)(248 - 175 * share), blue = (int)(252 - 120 * share);
	oq_text_add(t, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"rgb(%d,%d,%d)\"/>", f->left + j * CELL, f->top + i * CELL, CELL - 2, CELL - 2, red, green, blue);
	oq_text_add(t, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"%s\">%.3f</text>\n", f->left + j * CELL + CELL / 2 - 1, f->top + i * CELL + CELL / 2 + 4,
		share > 0.55 ? "#fff" : "#111", value);
}

void oq_heatmap_draw(oq_text *t, const oq_heatmap *map, const char *attributes)
{
	frame f = make_frame(map);
	oq_text_add(t, "<svg%s viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"13\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"10\" y=\"24\" font-size=\"16\">", attributes, f.width, f.height, f.width, f.height);
	oq_text_escape(t, map->title);
	oq_text_add(t, "</text>\n");
	for (int i = 0; i < map->count; i++) {
		oq_text_add(t, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", f.left - 8, f.top + i * CELL + CELL / 2 + 4);
		add_name(t, map->names[i]);
		oq_text_add(t, "</text>\n<text transform=\"translate(%d %d) rotate(-45)\">", f.left + i * CELL + CELL / 2, f.top - 8);
		add_name(t, map->names[i]);
		oq_text_add(t, "</text>\n");
	}
	for (int i = 0; i < map->count; i++)
		for (int j = 0; j < map->count; j++)
			add_cell(t, map, &f, i, j);
	oq_text_add(t, "</svg>\n");
}

oq_status oq_report_heatmap(const oq_heatmap *map, char **text, oq_error *err)
{
	oq_text t = {0};
	oq_heatmap_draw(&t, map, " xmlns=\"http://www.w3.org/2000/svg\"");
	return oq_text_finish(&t, text, err);
}

oq_status oq_report_matrix_csv(const oq_heatmap *map, char **text, oq_error *err)
{
	oq_text t = {0};
	oq_text_add(&t, "name");
	for (int j = 0; j < map->count; j++) {
		oq_text_add(&t, ",");
		oq_text_field(&t, map->names[j]);
	}
	for (int i = 0; i < map->count; i++) {
		oq_text_add(&t, "\n");
		oq_text_field(&t, map->names[i]);
		for (int j = 0; j < map->count; j++) {
			double value = map->values[i * map->count + j];
			if (isnan(value))
				oq_text_add(&t, ",");
			else
				oq_text_add(&t, ",%.17g", value);
		}
	}
	oq_text_add(&t, "\n");
	return oq_text_finish(&t, text, err);
}
