/* Endpoints of the gate from a CSV: columns y and y_... of 0 and 1, time with event, perhaps patient; rows in the order of the embeddings. Anything else
 * in such a column is refused with its line. */
#ifndef OQ_API_LABELS_H
#define OQ_API_LABELS_H

#include "gate.h"

/* Starts zeroed. */
typedef struct oq_labels {
	oq_table *table;
	oq_gate_endpoint endpoints[OQ_GATE_ENDPOINTS];
	int endpoint_count;
	int64_t *group;   /* [rows] patient of each row, or NULL when there is no such column */
	bool *label;      /* [endpoints][rows] */
	double *time;     /* [rows] */
} oq_labels;

/* Free in every case. */
oq_status oq_labels_read(const char *path, int64_t rows, oq_labels *labels, oq_error *err);
void oq_labels_free(oq_labels *labels);

#endif
