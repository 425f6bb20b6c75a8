/* Warnings that travel with a result. */
#include "core/notes.h"

#include "core/mem.h"

#include <stdio.h>
#include <string.h>

bool oq_notes_has(const oq_notes *notes, const char *code)
{
	for (int i = 0; i < notes->count; i++)
		if (!strcmp(notes->items[i].code, code))
			return true;
	return false;
}

bool oq_notes_add(oq_notes *notes, const char *code, const char *format, ...)
{
	if (oq_notes_has(notes, code))
		return true;
	oq_note *items = oq_realloc(notes->items, (size_t)(notes->count + 1) * sizeof *items);
	if (!items)
		return false;
	notes->items = items;
	oq_note *note = &items[notes->count++];
	snprintf(note->code, sizeof note->code, "%s", code);
	va_list args;
	va_start(args, format);
	vsnprintf(note->text, sizeof note->text, format, args);
	va_end(args);
	for (unsigned char *c = (unsigned char *)note->text; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
	return true;
}

void oq_notes_free(oq_notes *notes)
{
	oq_free(notes->items);
	*notes = (oq_notes){0};
}
