/* The strict look at a JSON text before cJSON sees it. */
#ifndef OQ_CORE_JSON_SCAN_H
#define OQ_CORE_JSON_SCAN_H

#include "core/error.h"

/* Grammar of RFC 8259, UTF-8, depth and number length bounded. Duplicate keys are left to the parsed tree. */
oq_status oq_json_scan(const char *text, size_t length, const char *name, oq_error *err);

/* Bytes that are not UTF-8 become '?', so that what we write can be read again. */
void oq_utf8_mend(char *text);

#endif
