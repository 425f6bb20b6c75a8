/* Areas under the ROC curve that choices are made by: exact where a tie must be a tie, and with the reference's rounding where its choices are
 * to be repeated. Areas with their uncertainty: eval/auc.h. */
#ifndef OQ_EVAL_ROC_H
#define OQ_EVAL_ROC_H

#include "core/error.h"

#include <stdint.h>

typedef enum oq_roc_rule {
	OQ_ROC_EXACT = 0,  /* pairs in the right order, ties half, counted in whole numbers; then one division */
	OQ_ROC_REFERENCE   /* scikit-learn's roc_auc_score: a trapezoid sum, whose rounding tells apart what is equal */
} oq_roc_rule;

/* score[count*stride] of every row's class `positive` against the others. NaN when one of the two is missing. OQ_E_RESOURCE. */
oq_status oq_roc_area(oq_roc_rule rule, const double *score, int64_t stride, const uint8_t *class, int positive, int64_t count, double *area, oq_error *err);
/* With two classes, scores [count] of class 1; with more, [count][classes], and the mean of one against the rest (macro). */
oq_status oq_roc_mean(oq_roc_rule rule, const double *score, const uint8_t *class, int classes, int64_t count, double *area, oq_error *err);

#endif
