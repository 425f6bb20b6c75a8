/* Rows that failed: `embed` leaves them NaN, and no figure can be made of them. */
#ifndef OQ_API_FAILED_H
#define OQ_API_FAILED_H

#include "internal.h"

#include "eval/matrix.h"

/* failed[r % rows] becomes true where row r is NaN throughout; NaN in part is OQ_E_INPUT. */
oq_status oq_find_failed(const oq_matrix *m, const char *name, int64_t rows, bool *failed, oq_error *err);
/* Leaves out, in place, every row r of `rows` that is NaN throughout in any of the matrices; a matrix of several times as many rows holds them
 * block after block. Numbers of the rows left out: *left_out. A row with only some values that are no numbers is OQ_E_INPUT (nothing makes
 * such rows but damage); so are fewer than `least` rows that stay. names[count] are for messages. */
oq_status oq_leave_out_failed(oq_matrix *matrices, const char *const *names, int count, int64_t least, int64_t *left_out, oq_error *err);

#endif
