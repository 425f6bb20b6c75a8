/* Any text through the strict JSON reader; what is accepted must print and read back. */
#include "fuzz.h"

#include "core/json.h"
#include "core/mem.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	oq_json *json = NULL, *again = NULL;
	char *text = NULL;
	oq_error err;
	if (oq_json_parse((const char *)data, size, "fuzz", &json, &err) != OQ_OK)
		return 0;
	if (oq_json_print(json, false, &text, &err) != OQ_OK || oq_json_parse(text, strlen(text), "again", &again, &err) != OQ_OK)
		abort();
	oq_free(text);
	oq_json_free(json);
	oq_json_free(again);
	return 0;
}
