/* The fidelity gate: may these embeddings stand in for those? Every figure is reported, also when all pass; a figure beyond its limit
 * is a finding with a stable code. docs/fidelity.md says where the limits come from. */
#ifndef OQ_EVAL_GATE_H
#define OQ_EVAL_GATE_H

#include "eval/auc.h"
#include "eval/fidelity.h"
#include "eval/similarity.h"

#define OQ_GATE_FINDINGS 40
#define OQ_GATE_ENDPOINTS 16
#define OQ_GATE_PROBES 4 /* of an endpoint, at the most */

typedef enum oq_verdict {
	OQ_VERDICT_PASS = 0,
	OQ_VERDICT_NO_YARDSTICK, /* all figures pass, but nothing says how much embeddings differ by themselves */
	OQ_VERDICT_UNDERPOWERED, /* all figures pass, but there are too few patches or cases to tell */
	OQ_VERDICT_FAIL
} oq_verdict;

typedef struct oq_gate_limits {
	double centred_min, centred_p1, centred_median; /* F1: at least */
	double noise_ratio;                              /* F2: upper bound of the error's share of the yardstick's variance */
	double dimension_ratio, dimension_share;         /* F2: that share of one dimension, and how many dimensions may be above it */
	double icc_drop_median, icc_drop_max;            /* F2: loss of ICC(2,1) when the candidate takes the reference's place */
	double bias_max, ccc_median, ccc_min, slope;     /* F3: bias at most, concordance at least, overall slope within 1 +- this */
	double bias_equivalence;                         /* F3: margin within which every dimension's bias is to be shown */
	double recall10, recall10_p5;                    /* F4: at least, both within the candidates and from them into the reference */
	double excess_loss;                              /* F4: lost neighbours as a share of those that a repeated scan loses */
	double cka, rsa, rotation;                       /* F5: remarks only */
	double auc_margin;                               /* F6: of AUC and of concordance */
	double flips, calibration;                       /* F6: decisions that change; slope of log odds within 1 +- this */
	int64_t patches, positives;                      /* fewer: underpowered */
} oq_gate_limits;

/* For int8 (strict = false) or for bfloat16 and float16 (true). */
oq_gate_limits oq_gate_defaults(bool strict);

/* A class, or a time to an event. */
typedef struct oq_gate_endpoint {
	const char *name;
	const bool *label;  /* [rows], or NULL ... */
	const double *time; /* ... and these */
	const bool *event;
} oq_gate_endpoint;

typedef struct oq_gate_input {
	oq_matrix reference, candidate;
	oq_matrix retest;     /* reference embeddings of a second scan of the same rows, or no data */
	oq_matrix jitter;     /* reference embeddings of moved seeds: a multiple of the rows, draw after draw, or no data */
	const oq_gate_endpoint *endpoints;
	int endpoint_count;   /* at most OQ_GATE_ENDPOINTS */
	const int64_t *group; /* [rows] patient of each row, or NULL: every row its own */
	int threads;
} oq_gate_input;

typedef struct oq_finding {
	const char *code;     /* "F1_CENTRED_MIN", ... */
	double value, limit;
} oq_finding;

/* One probe: what it gives for the reference and for the candidate, on rows of patients it was not trained on. */
typedef struct oq_gate_probe {
	const char *kind;     /* "kNN", "logistic", "Cox" */
	bool retrained;       /* on the candidate; else the reference's probe is asked about candidates */
	double reference, candidate; /* AUC, or Harrell's C */
	double difference, se;
	double p, p_adjusted; /* of "worse by the margin or more", and by Holm over all probes of all endpoints */
} oq_gate_probe;

typedef struct oq_gate_endpoint_result {
	const char *name;
	bool survival;
	int64_t positives, negatives; /* events and the censored */
	oq_gate_probe probes[OQ_GATE_PROBES];
	int probe_count;
	/* Classes: of the logistic probe trained on the reference, at the threshold where that has the greatest sensitivity + specificity. */
	double threshold, flip_share, mcnemar_p;
	int64_t flips_up, flips_down;
	double calibration_slope; /* of the candidate's log odds on the reference's; NaN for a time */
} oq_gate_endpoint_result;

typedef struct oq_gate_result {
	oq_fidelity fidelity;
	oq_similarity geometry;      /* F5: reported, never decides */
	double slope;
	double retest_ratio, retest_upper, jitter_ratio, jitter_upper; /* F2: ratio and upper 95 % bound; NaN without a yardstick */
	double retest_dimensions, jitter_dimensions; /* F2: share of dimensions whose own ratio is above the limit; NaN without */
	double icc_drop_median, icc_drop_max;        /* F2: against the retest, or the jitter; NaN without */
	double bias_equivalent;      /* F3: share of dimensions whose bias is shown to be within the margin (two t-tests, Holm over dimensions, 5 %) */
	double retest_recall10;      /* of the reference's neighbours in its own retest; NaN without */
	oq_gate_endpoint_result endpoints[OQ_GATE_ENDPOINTS];
	int endpoint_count;
	double detectable_margin;    /* smallest margin that 80 % power reaches with every probe */
	oq_verdict verdict;
	oq_finding findings[OQ_GATE_FINDINGS];
	int finding_count;
	oq_finding shortages[4];     /* why it is underpowered: "U_PATCHES", ... */
	int shortage_count;
	oq_finding remarks[6];       /* F5, biases that cannot be shown to be small, saturation: beyond a limit that never decides */
	int remark_count;
} oq_gate_result;

/* Refuses (OQ_E_INPUT, E_LABELS) an endpoint with too few cases to train probes on: what a caller may ask before it takes the trouble of embedding. */
oq_status oq_gate_check_endpoint(const oq_gate_endpoint *endpoint, int64_t rows, int64_t *positives, oq_error *err);
oq_status oq_gate_run(const oq_gate_input *input, const oq_gate_limits *limits, const char *where, oq_gate_result *out, oq_error *err);
/* Another finding: the verdict becomes OQ_VERDICT_FAIL. */
void oq_gate_find(oq_gate_result *result, const char *code, double value, double limit);
/* A remark: the verdict stays. At most two besides the gate's own. */
void oq_gate_remark(oq_gate_result *result, const char *code, double value, double limit);
const char *oq_verdict_name(oq_verdict verdict); /* "PASS", "PASS (no yardstick)", "UNDERPOWERED", "FAIL" */

#endif
