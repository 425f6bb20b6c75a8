#include "report/heatmap.h"

#include "text.h"

#include <math.h>
#include <string.h>

#define CELL 56
#define LEFT 150
#define TOP 150

/* From white to dark blue; dark cells get white figures. */
static void add_cell(oq_text *t, const oq_heatmap *map, int i, int j)
{
	double value = map->values[i * map->count + j];
	if (isnan(value))
		return;
	double share = (value - map->low) / (map->high - map->low);
	share = share < 0 ? 0 : share > 1 ? 1 : share;
	int red = (int)(245 - 225 * share), green = (int)(248 - 175 * share), blue = (int)(252 - 120 * share);
	oq_text_add(t, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"rgb(%d,%d,%d)\"/>", LEFT + j * CELL, TOP + i * CELL, CELL - 2, CELL - 2, red, green, blue);
	oq_text_add(t, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"%s\">%.3f</text>\n", LEFT + j * CELL + CELL / 2 - 1, TOP + i * CELL + CELL / 2 + 4,
		share > 0.55 ? "#fff" : "#111", value);
}

oq_status oq_report_heatmap(const oq_heatmap *map, char **text, oq_error *err)
{
	oq_text t = {0};
	oq_text_add(&t, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"10\" y=\"24\" font-size=\"16\">", LEFT + map->count * CELL + 20, TOP + map->count * CELL + 10);
	oq_text_escape(&t, map->title);
	oq_text_add(&t, "</text>\n");
	for (int i = 0; i < map->count; i++) {
		oq_text_add(&t, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", LEFT - 8, TOP + i * CELL + CELL / 2 + 4);
		oq_text_escape(&t, map->names[i]);
		oq_text_add(&t, "</text>\n<text transform=\"translate(%d %d) rotate(-45)\">", LEFT + i * CELL + CELL / 2, TOP - 8);
		oq_text_escape(&t, map->names[i]);
		oq_text_add(&t, "</text>\n");
	}
	for (int i = 0; i < map->count; i++)
		for (int j = 0; j < map->count; j++)
			add_cell(&t, map, i, j);
	oq_text_add(&t, "</svg>\n");
	return oq_text_finish(&t, text, err);
}

/* A name as a CSV field: quoted where it has to be, and where a spreadsheet would run it. */
static void add_field(oq_text *t, const char *name)
{
	if (!strpbrk(name, ",\"\n\r") && !strchr("=+-@", name[0])) {
		oq_text_add(t, "%s", name);
		return;
	}
	oq_text_add(t, "\"%s", strchr("=+-@", name[0]) && name[0] ? "'" : "");
	for (; *name; name++)
		oq_text_add(t, *name == '"' ? "\"\"" : "%c", *name);
	oq_text_add(t, "\"");
}

oq_status oq_report_matrix_csv(const oq_heatmap *map, char **text, oq_error *err)
{
	oq_text t = {0};
	oq_text_add(&t, "name");
	for (int j = 0; j < map->count; j++) {
		oq_text_add(&t, ",");
		add_field(&t, map->names[j]);
	}
	for (int i = 0; i < map->count; i++) {
		oq_text_add(&t, "\n");
		add_field(&t, map->names[i]);
		for (int j = 0; j < map->count; j++)
			oq_text_add(&t, ",%.17g", map->values[i * map->count + j]);
	}
	oq_text_add(&t, "\n");
	return oq_text_finish(&t, text, err);
}
