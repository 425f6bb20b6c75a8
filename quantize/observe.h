/* Observers: what the values of a float network look like on calibration inputs. One pass; memory depends on the network, not
 * on the number of inputs, and the result not on the number of threads. */
#ifndef OQ_QUANTIZE_OBSERVE_H
#define OQ_QUANTIZE_OBSERVE_H

#include "nn/nn.h"
#include "quantize/quantize.h"

#define OQ_SAMPLE_ROWS 2048 /* voxels kept of every value */

typedef struct oq_observed {
	const char *value;
	int64_t channels;
	float low, high;    /* over everything seen */
	float *lowest, *highest; /* [channels] */
	double *mean;       /* [channels] */
	float *rows;        /* [row_count][channels]: voxels sampled evenly over the inputs */
	int64_t row_count, per_input; /* rows, and how many follow each other from one input */
} oq_observed;

/* Runs the network over the inputs and fills one entry per name; `out` has room for `count`. Free with oq_observed_free. */
oq_status oq_observe(const oq_package *package, const oq_quantize_request *request, const char *const *names, int count, oq_observed *out, oq_error *err);
/* low and high from lowest and highest. */
void oq_observed_bounds(oq_observed *value);
void oq_observed_free(oq_observed *observed, int count);

#endif
