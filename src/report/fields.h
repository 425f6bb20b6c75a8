/* Fields of documents that may or may not be there. */
#ifndef OQ_REPORT_FIELDS_H
#define OQ_REPORT_FIELDS_H

#include "core/json.h"

/* NULL when `root` is NULL or has no such field. */
const oq_json *oq_field(const oq_json *root, const char *key);
/* Of root.key; NaN when it is absent or no number. */
double oq_field_number(const oq_json *root, const char *key);
/* Of root.group.key; NaN when one of them is absent. */
double oq_field_number_in(const oq_json *root, const char *group, const char *key);
/* "" when it is absent or no string. */
const char *oq_field_string(const oq_json *root, const char *key);
/* A figure with its interval; what is absent is NaN. */
typedef struct oq_measure {
	double value, low, high;
} oq_measure;
oq_measure oq_field_measure(const oq_json *root, const char *value, const char *interval);
bool oq_measure_has_interval(oq_measure measure);
/* "0.632 (0.590 to 0.671)", or an en dash where there is no value. */
void oq_measure_text(oq_measure measure, char text[48]);

/* Element `index` of an array of numbers; NaN when there is none. */
double oq_field_at(const oq_json *array, int index);

#endif
