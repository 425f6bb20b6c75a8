/* The report: one self-contained HTML page from the documents that the commands write. No scripts, nothing loaded, readable in print. */
#ifndef OQ_REPORT_REPORT_H
#define OQ_REPORT_REPORT_H

#include "core/json.h"

typedef enum oq_report_kind {
	OQ_REPORT_EVALUATE = 0, OQ_REPORT_SURVIVAL, OQ_REPORT_ROBUSTNESS, OQ_REPORT_SIMILARITY, OQ_REPORT_SALIENCY, OQ_REPORT_FIDELITY, OQ_REPORT_BENCH,
	OQ_REPORT_KINDS
} oq_report_kind;

/* By "schema" or "format"; false when it is none of ours. */
bool oq_report_kind_of(const oq_json *document, oq_report_kind *out);

/* A PNG file that belongs to a row of a saliency document. */
typedef struct oq_report_picture {
	int row;                    /* index in "rows" */
	const unsigned char *bytes; /* with its 24 first bytes checked by the caller */
	size_t count;
} oq_report_picture;

typedef struct oq_report_source {
	const char *name;           /* file name without folders and ending: what rows are called that have no name of their own */
	oq_report_kind kind;
	const oq_json *document;
	char sha256[65], date[16];  /* of the file; "2026-01-31" */
	const oq_report_picture *pictures;
	int picture_count;
} oq_report_source;

typedef struct oq_report {
	const char *title;
	const oq_report_source *sources;
	int count;
	int other_files;            /* documents that were found and are not ours */
	double gco2_per_kwh;        /* 0: energy is told in joules only */
	const char *gco2_source;
} oq_report;

/* Free *html with oq_free. */
oq_status oq_report_page(const oq_report *report, char **html, oq_error *err);

#endif
