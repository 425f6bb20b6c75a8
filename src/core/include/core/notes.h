/* Notes: the warnings that a result carries with it, as (code, text) pairs. A zeroed list is valid and empty. */
#ifndef OQ_CORE_NOTES_H
#define OQ_CORE_NOTES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct oq_note {
	char code[32];
	char text[224];
} oq_note;

typedef struct oq_notes {
	oq_note *items;
	int count;
} oq_notes;

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
bool oq_notes_add(oq_notes *notes, const char *code, const char *format, ...); /* false when out of memory; same code twice is kept once */
bool oq_notes_has(const oq_notes *notes, const char *code);
void oq_notes_free(oq_notes *notes);

#endif
