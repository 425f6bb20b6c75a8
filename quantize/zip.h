/* Zip archives as PyTorch writes them: stored entries, zip64 allowed. Refuses compressed or encrypted entries, paths that
 * leave the archive, headers that disagree, entries that overlap or end behind the file, wrong CRC-32. */
#ifndef OQ_QUANTIZE_ZIP_H
#define OQ_QUANTIZE_ZIP_H

#include "core/error.h"

typedef struct oq_zip_entry {
	const char *name;
	uint64_t size;        /* stored: the same in the file */
	uint64_t data_offset; /* in the file */
	uint32_t crc;
} oq_zip_entry;

typedef struct oq_zip oq_zip;

oq_status oq_zip_open(const char *path, oq_zip **out, oq_error *err);
void oq_zip_close(oq_zip *zip);
int oq_zip_count(const oq_zip *zip);
const oq_zip_entry *oq_zip_at(const oq_zip *zip, int index);
const oq_zip_entry *oq_zip_find(const oq_zip *zip, const char *name); /* NULL when absent */
/* Whole entry, CRC checked; `buffer` has entry->size bytes. */
oq_status oq_zip_read(const oq_zip *zip, const oq_zip_entry *entry, void *buffer, oq_error *err);

#endif
