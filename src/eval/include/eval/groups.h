/* Patients by number: rows that belong together have equal group numbers, whatever these are. */
#ifndef OQ_EVAL_GROUPS_H
#define OQ_EVAL_GROUPS_H

#include <stdint.h>

/* number[i] = place of group[i] among the different groups in ascending order; returns how many there are. room [count]. */
int64_t oq_groups_number(const int64_t *group, int64_t count, int64_t *room, int64_t *number);

#endif
