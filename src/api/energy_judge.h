/* Whether what the counters say can be believed. */
#ifndef OQ_API_ENERGY_JUDGE_H
#define OQ_API_ENERGY_JUDGE_H

#include <stdint.h>

#define OQ_ENERGY_WHY 2048

typedef struct oq_energy_turn {
	double joules, witness; /* by the source; by performance events beside it, NaN without */
	double seconds;
	int64_t patches;
	double others;          /* share of all processor time that others used, NaN when not known */
} oq_energy_turn;

typedef struct oq_energy_case {
	const oq_energy_turn *idle, *turns;
	int idle_count, count;
	double most_watts;      /* more than the packages can take; `most_from` says after whom */
	const char *most_from;
	double design_watts;    /* 0: not known */
	int threads, processors;
} oq_energy_case;

/* Label; `why` explains any but "measured-rapl", for which it is empty. */
const char *oq_energy_judge(const oq_energy_case *c, char why[OQ_ENERGY_WHY]);
/* Watts over all of these turns. */
double oq_energy_watts(const oq_energy_turn *turns, int count);
/* The greatest share of others; NaN when it is not known of one. */
double oq_energy_others(const oq_energy_turn *turns, int count);

#endif
