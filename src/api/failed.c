#include "failed.h"

#include "core/mem.h"

#include <math.h>
#include <string.h>

oq_status oq_find_failed(const oq_matrix *m, const char *name, int64_t rows, bool *failed, oq_error *err)
{
	for (int64_t r = 0; r < m->rows; r++) {
		int64_t numbers = 0;
		for (int64_t c = 0; c < m->columns; c++)
			numbers += isfinite(oq_matrix_row(m, r)[c]) != 0;
		if (numbers > 0 && numbers < m->columns)
			return oq_fail(err, OQ_E_INPUT, "E_VALUE", "%s: row %lld has %lld values that are no numbers, expected none, or all (a failed row)", name,
				(long long)r, (long long)(m->columns - numbers));
		failed[r % rows] = failed[r % rows] || numbers == 0;
	}
	return OQ_OK;
}

static void leave_out(oq_matrix *m, int64_t rows, const bool *failed)
{
	union { const float *in; float *out; } data = {m->data};
	int64_t kept = 0;
	for (int64_t r = 0; r < m->rows; r++)
		if (!failed[r % rows]) {
			memmove(data.out + kept * m->columns, oq_matrix_row(m, r), (size_t)m->columns * sizeof *data.out);
			kept++;
		}
	m->rows = kept;
}

oq_status oq_leave_out_failed(oq_matrix *matrices, const char *const *names, int count, int64_t least, int64_t *left_out, oq_error *err)
{
	int64_t rows = matrices[0].rows;
	bool *failed = oq_calloc((size_t)rows, sizeof *failed);
	oq_status status = failed ? OQ_OK : oq_fail_memory(err, names[0], (size_t)rows * sizeof *failed);
	for (int i = 0; i < count && status == OQ_OK; i++) {
		if (matrices[i].rows % rows)
			status = oq_fail(err, OQ_E_INPUT, "E_SHAPE", "%s: has %lld rows, %s has %lld: expected the same patches", names[i], (long long)matrices[i].rows,
				names[0], (long long)rows);
		else
			status = oq_find_failed(&matrices[i], names[i], rows, failed, err);
	}
	*left_out = 0;
	for (int64_t r = 0; r < rows && status == OQ_OK; r++)
		*left_out += failed[r];
	if (status == OQ_OK && rows - *left_out < least)
		status = oq_fail(err, OQ_E_INPUT, "E_ROWS", "%s: %lld of %lld rows are whole in all files, expected at least %lld", names[0],
			(long long)(rows - *left_out), (long long)rows, (long long)least);
	for (int i = 0; i < count && status == OQ_OK; i++)
		leave_out(&matrices[i], rows, failed);
	oq_free(failed);
	return status;
}
