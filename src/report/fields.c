#include "fields.h"

#include <math.h>
#include <stdio.h>

const oq_json *oq_field(const oq_json *root, const char *key)
{
	return root && oq_json_is_object(root) ? oq_json_get(root, key) : NULL;
}

double oq_field_number(const oq_json *root, const char *key)
{
	const oq_json *value = oq_field(root, key);
	return value ? oq_json_number(value) : (double)NAN;
}

double oq_field_number_in(const oq_json *root, const char *group, const char *key)
{
	return oq_field_number(oq_field(root, group), key);
}

const char *oq_field_string(const oq_json *root, const char *key)
{
	const oq_json *value = oq_field(root, key);
	const char *text = value ? oq_json_string(value) : NULL;
	return text ? text : "";
}

double oq_field_at(const oq_json *array, int index)
{
	const oq_json *value = array && oq_json_is_array(array) ? oq_json_first(array) : NULL;
	while (value && index-- > 0)
		value = oq_json_next(value);
	return value ? oq_json_number(value) : (double)NAN;
}

oq_measure oq_field_measure(const oq_json *root, const char *value, const char *interval)
{
	const oq_json *pair = oq_field(root, interval);
	return (oq_measure){oq_field_number(root, value), oq_field_at(pair, 0), oq_field_at(pair, 1)};
}

bool oq_measure_has_interval(oq_measure m)
{
	return isfinite(m.low) && isfinite(m.high);
}

void oq_measure_text(oq_measure m, char text[48])
{
	if (!isfinite(m.value))
		snprintf(text, 48, "\xe2\x80\x93");
	else if (oq_measure_has_interval(m))
		snprintf(text, 48, "%.3f (%.3f to %.3f)", m.value, m.low, m.high);
	else
		snprintf(text, 48, "%.3f", m.value);
}
