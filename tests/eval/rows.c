/* Row statistics on numbers whose answers are known. */
#include "check.h"

#include "eval/rows.h"

#include <math.h>

int main(void)
{
	const float rows[] = {3, 4, -4, 3, 0, 0};
	const oq_matrix x = {.data = rows, .rows = 3, .columns = 2};
	double mean[2];
	oq_rows_mean(&x, mean);
	OQ_CHECK(fabs(mean[0] + 1.0 / 3) < 1e-15 && fabs(mean[1] - 7.0 / 3) < 1e-15);
	OQ_CHECK(oq_rows_cosine(rows, rows + 2, NULL, 2) == 0);
	OQ_CHECK(oq_rows_cosine(rows, rows, NULL, 2) == 1);
	const double centre[2] = {2, 3};
	OQ_CHECK(fabs(oq_rows_cosine(rows, rows + 4, centre, 2) + 5 / sqrt(26)) < 1e-15);
	OQ_CHECK(isnan(oq_rows_cosine(rows, rows + 4, NULL, 2)));
	OQ_CHECK(oq_rows_relative_error(rows, rows + 4, 2) == 1);
	OQ_CHECK(isinf(oq_rows_relative_error(rows + 4, rows, 2)));
	return oq_checks_done();
}
