/* Cases in the order of their time: what every figure of survival starts from. */
#ifndef OQ_EVAL_SURVIVAL_ORDER_H
#define OQ_EVAL_SURVIVAL_ORDER_H

#include "eval/survival.h"

/* Checks the data (OQ_E_INPUT) and gives the cases by time, events before censored ones, then by index: order [count]. Free with oq_free. */
oq_status oq_survival_order(const oq_survival *survival, int64_t **order, oq_error *err);
/* First place after `first` whose time is another. */
int64_t oq_survival_tied(const oq_survival *survival, const int64_t *order, int64_t first);

#endif
