/* The fidelity gate between files and the room eval: matrices, limits, and the result as JSON. */
#ifndef OQ_API_GATE_H
#define OQ_API_GATE_H

#include "internal.h"

#include "eval/gate.h"
#include "io/table.h"

/* A two-dimensional .npy as a matrix; free with oq_gate_free_matrix. Status OQ_E_INPUT. */
oq_status oq_gate_read_matrix(const char *path, oq_matrix *out, oq_error *err);
void oq_gate_free_matrix(oq_matrix *matrix);
/* group [rows]: equal for rows of one value of the column. Free with oq_free, also after a failure. */
oq_status oq_gate_patients(const oq_table *table, int column, int64_t **group, oq_error *err);
/* Limits from a JSON file over the given ones: unknown keys are refused. `path` may be NULL. */
oq_status oq_gate_read_limits(const char *path, oq_gate_limits *limits, oq_error *err);
/* The version of the documents of compare and certify. */
#define OQ_GATE_SCHEMA 2
/* Adds verdict, findings, limits and all figures to `root`. */
bool oq_gate_describe(const oq_gate_result *result, const oq_gate_limits *limits, oq_json *root);
/* OQ_OK when the verdict lets the candidate stand in, else OQ_E_GATE with the first finding in one line. */
oq_status oq_gate_status(const oq_gate_result *result, const char *where, oq_error *err);

#endif
