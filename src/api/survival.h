/* Time to an event, on its way from files to figures. */
#ifndef OQ_API_SURVIVAL_H
#define OQ_API_SURVIVAL_H

#include "internal.h"

#include "eval/cox.h"
#include "eval/inference.h"
#include "eval/survival.h"
#include "io/table.h"

#define OQ_SURVIVAL_SCORES 16

/* A score and what it is worth. */
typedef struct oq_risk {
	char *name;
	double *values;                  /* [rows] */
	oq_concordance harrell, uno;
	oq_interval harrell_interval, uno_interval, difference; /* difference to the first score, Harrell */
	bool has_cox;
	oq_cox cox;                      /* on the score divided by its standard deviation */
	char cox_code[32];               /* why there is none */
	/* Of embeddings: */
	bool probed;
	int64_t size;
	oq_mean folds;                   /* Harrell's C of the test folds */
	double *ridges;                  /* [splits] that were chosen, per event */
} oq_risk;

/* Who is drawn against whom. */
typedef struct oq_survival_group {
	char name[64];
	int64_t count, events;
	oq_km_step *steps;
	int64_t step_count;
	double median;                   /* time; NaN when more than half are left at the end */
} oq_survival_group;

typedef struct oq_survival_run {
	const oq_survival_options *options;
	int threads;
	oq_table *table;
	int64_t rows, unlabelled, failed;
	int64_t *line;                   /* [rows]: row of the table and of the embeddings */
	double *time;
	bool *event;
	int64_t *patient;                /* [rows], equal for rows of one patient */
	int64_t patients, events;
	oq_risk risks[OQ_SURVIVAL_SCORES];
	int risk_count, split_count;
	int *group;                      /* [rows] */
	oq_survival_group groups[OQ_LOGRANK_GROUPS];
	int group_count;
	bool has_logrank;
	oq_logrank logrank;
} oq_survival_run;

static inline oq_survival oq_survival_of(const oq_survival_run *run)
{
	return (oq_survival){run->time, run->event, run->rows};
}

/* Out-of-fold risks of a ridge Cox probe on grouped folds: one fold tests, the next chooses the ridge, the others train. */
oq_status oq_survival_probe(oq_survival_run *run, const oq_matrix *embeddings, oq_risk *risk, oq_error *err);
/* By a column, or halves of the first score; curves and log-rank. */
oq_status oq_survival_groups(oq_survival_run *run, oq_error *err);
bool oq_survival_describe(const oq_survival_run *run, oq_json *root);
oq_status oq_survival_write(const char *folder, const char *name, const char *text, oq_error *err);
/* survival.svg and survival.csv into a folder. */
oq_status oq_survival_draw(const oq_survival_run *run, const char *folder, oq_error *err);

#endif
