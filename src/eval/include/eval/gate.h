/* The fidelity gate: may these embeddings stand in for those? Every figure is reported, also when all pass; a figure beyond its limit
 * is a finding with a stable code. docs/fidelity.md says where the limits come from. */
#ifndef OQ_EVAL_GATE_H
#define OQ_EVAL_GATE_H

#include "eval/auc.h"
#include "eval/fidelity.h"
#include "eval/similarity.h"

#define OQ_GATE_FINDINGS 24

typedef enum oq_verdict {
	OQ_VERDICT_PASS = 0,
	OQ_VERDICT_NO_YARDSTICK, /* all figures pass, but nothing says how much embeddings differ by themselves */
	OQ_VERDICT_UNDERPOWERED, /* all figures pass, but there are too few patches or cases to tell */
	OQ_VERDICT_FAIL
} oq_verdict;

typedef struct oq_gate_limits {
	double centred_min, centred_p1, centred_median; /* F1: at least */
	double noise_ratio;                              /* F2: upper bound of the error's share of the yardstick's variance */
	double bias_max, ccc_median, ccc_min, slope;     /* F3: bias at most, concordance at least, overall slope within 1 +- this */
	double recall10, recall10_p5;                    /* F4: at least, both within the candidates and from them into the reference */
	double excess_loss;                              /* F4: lost neighbours as a share of those that a repeated scan loses */
	double auc_margin;                               /* F6 */
	int64_t patches, positives;                      /* fewer: underpowered */
} oq_gate_limits;

/* For int8 (strict = false) or for bfloat16 and float16 (true). */
oq_gate_limits oq_gate_defaults(bool strict);

typedef struct oq_gate_input {
	oq_matrix reference, candidate;
	oq_matrix retest;     /* reference embeddings of a second scan of the same rows, or no data */
	oq_matrix jitter;     /* reference embeddings of moved seeds: a multiple of the rows, draw after draw, or no data */
	const bool *label;    /* [rows] of an endpoint, or NULL */
	const int64_t *group; /* [rows] patient of each row, or NULL: every row its own */
	int threads;
} oq_gate_input;

typedef struct oq_finding {
	const char *code;     /* "F1_CENTRED_MIN", ... */
	double value, limit;
} oq_finding;

typedef struct oq_gate_result {
	oq_fidelity fidelity;
	oq_similarity geometry;      /* F5: reported, never decides */
	double slope;
	double retest_ratio, retest_upper, jitter_ratio, jitter_upper; /* F2: ratio and upper 95 % bound; NaN without a yardstick */
	double retest_recall10;      /* of the reference's neighbours in its own retest; NaN without */
	bool endpoint;               /* F6: kNN (15 neighbours by cosine, other patients' rows) on reference and on candidate */
	oq_auc_pair old_probe, new_probe; /* candidates asked in the reference's index; both from the candidates */
	double detectable_margin;    /* smallest margin that 80 % power reaches */
	oq_verdict verdict;
	oq_finding findings[OQ_GATE_FINDINGS];
	int finding_count;
} oq_gate_result;

oq_status oq_gate_run(const oq_gate_input *input, const oq_gate_limits *limits, const char *where, oq_gate_result *out, oq_error *err);
const char *oq_verdict_name(oq_verdict verdict); /* "PASS", "PASS (no yardstick)", "UNDERPOWERED", "FAIL" */

#endif
