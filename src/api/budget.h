/* Memory of a cohort run, predicted before it begins: weights once, and per lane activations, a patch, a scan. Refuses (E_MEMORY, with the
 * number needed) what cannot fit with one lane; otherwise takes as many lanes as fit. */
#ifndef OQ_API_BUDGET_H
#define OQ_API_BUDGET_H

#include "job.h"

typedef struct oq_budget {
	uint64_t fixed, per_lane; /* bytes */
} oq_budget;

/* Before anything is read: the files of weights, when they are read, must fit. *threads: wanted, then those that the address space has room for. */
oq_status oq_budget_packages(const oq_job *job, bool weights, int *threads, oq_error *err);
/* Packed weights that are still granted when some of the packages are open (models[] that are not NULL); 0: any. */
size_t oq_budget_weights(const oq_job *job, oq_model *const *models);
void oq_budget_of(const oq_job *job, const oq_rows *rows, oq_model *const *models, size_t lane_floats, oq_budget *out);
/* *lanes: wanted, then granted. */
oq_status oq_budget_lanes(const oq_budget *budget, const oq_job *job, int *lanes, oq_error *err);

#endif
