/* Figures by dimension (ICC, concordance, Bland-Altman) and by subject (cosines, identification, discriminability). */
#include "eval/reliability.h"

#include "core/mem.h"
#include "eval/quantile.h"
#include "eval/random.h"
#include "eval/rows.h"

#include <math.h>

#define RESAMPLES 2000
#define Z95 1.96 /* as Bland and Altman wrote it, not 1.959964 */

oq_icc oq_icc_measure(const double *values, int64_t subjects, int64_t sessions)
{
	double n = (double)subjects, k = (double)sessions, grand = 0, between = 0, columns = 0, total = 0;
	for (int64_t i = 0; i < subjects * sessions; i++)
		grand += values[i] / (n * k);
	for (int64_t i = 0; i < subjects; i++) {
		double mean = 0;
		for (int64_t j = 0; j < sessions; j++) {
			double away = values[i * sessions + j] - grand;
			mean += away / k;
			total += away * away;
		}
		between += k * mean * mean;
	}
	for (int64_t j = 0; j < sessions; j++) {
		double mean = 0;
		for (int64_t i = 0; i < subjects; i++)
			mean += (values[i * sessions + j] - grand) / n;
		columns += n * mean * mean;
	}
	double msr = between / (n - 1), msc = columns / (k - 1), mse = fmax(total - between - columns, 0) / ((n - 1) * (k - 1));
	double agreement = msr + (k - 1) * mse + k * (msc - mse) / n, consistency = msr + (k - 1) * mse;
	return (oq_icc){agreement > 0 ? (msr - mse) / agreement : NAN, consistency > 0 ? (msr - mse) / consistency : NAN};
}

/* Pairs of the first session with each other one. */
static void measure_agreement(const double *values, int64_t subjects, int64_t sessions, oq_reliability_dimension *out)
{
	double count = (double)(subjects * (sessions - 1)), mx = 0, my = 0, xx = 0, yy = 0, xy = 0, square = 0, spread = 0;
	for (int64_t i = 0; i < subjects; i++)
		for (int64_t j = 1; j < sessions; j++) {
			mx += values[i * sessions] / count;
			my += values[i * sessions + j] / count;
		}
	for (int64_t i = 0; i < subjects; i++)
		for (int64_t j = 1; j < sessions; j++) {
			double x = values[i * sessions], y = values[i * sessions + j], d = y - x;
			xx += (x - mx) * (x - mx);
			yy += (y - my) * (y - my);
			xy += (x - mx) * (y - my);
			square += d * d;
			spread += (d - (my - mx)) * (d - (my - mx));
		}
	double below = (xx + yy) / count + (mx - my) * (mx - my);
	out->ccc = below > 0 ? 2 * xy / count / below : NAN;
	out->bias = my - mx;
	out->sd = sqrt(spread / (count - 1));
	out->low = out->bias - Z95 * out->sd;
	out->high = out->bias + Z95 * out->sd;
	out->sem = sqrt(square / count / 2);
	out->repeatability = Z95 * sqrt(2) * out->sem;
}

static void measure_dimension(const oq_matrix *test, const oq_matrix *retest, int64_t column, double *values, oq_reliability_dimension *out)
{
	int64_t subjects = test->rows, sessions = 1 + retest->rows / subjects;
	bool varies = false;
	for (int64_t i = 0; i < subjects; i++) {
		values[i * sessions] = (double)oq_matrix_row(test, i)[column];
		for (int64_t j = 1; j < sessions; j++)
			values[i * sessions + j] = (double)oq_matrix_row(retest, (j - 1) * subjects + i)[column];
		for (int64_t j = 0; j < sessions; j++)
			varies = varies || values[i * sessions + j] < values[0] || values[i * sessions + j] > values[0];
	}
	measure_agreement(values, subjects, sessions, out);
	/* Rounding of a mean must not make a constant dimension reliable. */
	out->icc = varies ? oq_icc_measure(values, subjects, sessions) : (oq_icc){NAN, NAN};
	out->ccc = varies ? out->ccc : NAN;
}

/* What is known of each subject, [subjects] each. */
typedef struct per_subject {
	double *cosine, *centred, *identified, *discriminated;
} per_subject;

static double distance(const float *a, const float *b, int64_t columns)
{
	double sums[4] = {0};
	for (int64_t c = 0; c < columns; c++) {
		double d = (double)a[c] - (double)b[c];
		sums[c & 3] += d * d;
	}
	return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* Squares order as distances do. */
static void find_subject(const oq_matrix *test, const oq_matrix *retest, int64_t i, int64_t session, per_subject *out)
{
	int64_t n = test->rows, nearer = 0, ties = 0, first = session * n;
	double own = distance(oq_matrix_row(test, i), oq_matrix_row(retest, first + i), test->columns);
	for (int64_t j = 0; j < n; j++) {
		double other = j == i ? 0 : distance(oq_matrix_row(test, i), oq_matrix_row(retest, first + j), test->columns);
		nearer += j != i && other < own;
		ties += j != i && !(other < own) && !(other > own);
	}
	out->identified[i] += nearer ? 0 : 1 / (double)(1 + ties);
	out->discriminated[i] += ((double)(n - 1 - nearer) - 0.5 * (double)ties) / (double)(n - 1);
}

static void measure_subject(const oq_matrix *test, const oq_matrix *retest, const double *centre, int64_t i, per_subject *out)
{
	int64_t retests = retest->rows / test->rows;
	for (int64_t j = 0; j < retests; j++) {
		const float *x = oq_matrix_row(test, i), *y = oq_matrix_row(retest, j * test->rows + i);
		out->cosine[i] += oq_rows_cosine(x, y, NULL, test->columns);
		out->centred[i] += oq_rows_cosine(x, y, centre, test->columns);
		find_subject(test, retest, i, j, out);
	}
	out->cosine[i] /= (double)retests;
	out->centred[i] /= (double)retests;
	out->identified[i] /= (double)retests;
	out->discriminated[i] /= (double)retests;
}

/* Percentile bootstrap over subjects; always the same draws. `room` [RESAMPLES]. */
static oq_estimate estimate(const double *values, int64_t count, double *room)
{
	oq_estimate out = {0};
	for (int64_t i = 0; i < count; i++)
		out.value += values[i] / (double)count;
	if (isnan(out.value))
		return (oq_estimate){NAN, NAN, NAN};
	for (int r = 0; r < RESAMPLES; r++) {
		uint64_t key = oq_random_key(0, (uint64_t)r, 0);
		room[r] = 0;
		for (int64_t i = 0; i < count; i++)
			room[r] += values[(int64_t)(oq_random_uniform(key, (uint64_t)i) * (double)count)] / (double)count;
	}
	oq_sort_doubles(room, RESAMPLES);
	out.low = oq_quantile(room, RESAMPLES, 0.025);
	out.high = oq_quantile(room, RESAMPLES, 0.975);
	return out;
}

static double least(const double *values, int64_t count)
{
	double out = values[0];
	for (int64_t i = 1; i < count; i++)
		out = values[i] < out ? values[i] : out;
	return out;
}

/* One figure of every dimension that has it; `room` [columns]. Returns how many have it. */
static int64_t distribute(const double *figure, int64_t columns, double *room, oq_distribution *out)
{
	const int64_t stride = (int64_t)(sizeof(oq_reliability_dimension) / sizeof(double));
	int64_t count = 0;
	double sum = 0;
	for (int64_t c = 0; c < columns; c++)
		if (!isnan(figure[c * stride])) {
			sum += figure[c * stride];
			room[count++] = figure[c * stride];
		}
	*out = (oq_distribution){NAN, NAN, NAN, NAN};
	if (!count)
		return 0;
	oq_sort_doubles(room, count);
	*out = (oq_distribution){sum / (double)count, oq_quantile(room, count, 0.5), oq_quantile(room, count, 0.05), oq_quantile(room, count, 0.95)};
	return count;
}

static void summarise_dimensions(const oq_reliability_dimension *d, int64_t columns, double *room, oq_reliability *out)
{
	int64_t good = 0, excellent = 0, count = distribute(&d->icc.agreement, columns, room, &out->icc_agreement);
	distribute(&d->icc.consistency, columns, room, &out->icc_consistency);
	distribute(&d->ccc, columns, room, &out->ccc);
	for (int64_t c = 0; c < columns; c++) {
		good += d[c].icc.agreement >= 0.75;
		excellent += d[c].icc.agreement >= 0.9;
	}
	out->constant_dimensions = columns - count;
	out->share_good = count ? (double)good / (double)count : NAN;
	out->share_excellent = count ? (double)excellent / (double)count : NAN;
}

/* Mean of all rows of both. */
static void find_centre(const oq_matrix *test, const oq_matrix *retest, double *centre, double *room)
{
	double a = (double)test->rows, b = (double)retest->rows;
	oq_rows_mean(test, centre);
	oq_rows_mean(retest, room);
	for (int64_t c = 0; c < test->columns; c++)
		centre[c] = (a * centre[c] + b * room[c]) / (a + b);
}

static oq_status check_shapes(const oq_matrix *test, const oq_matrix *retest, oq_error *err)
{
	if (test->rows >= 3 && retest->rows >= test->rows && retest->rows % test->rows == 0 && retest->columns == test->columns)
		return OQ_OK;
	return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "robustness: test has %lld x %lld values, retest %lld x %lld: expected one size, at least 3 rows, and a multiple of them in the retest",
		(long long)test->rows, (long long)test->columns, (long long)retest->rows, (long long)retest->columns);
}

oq_status oq_reliability_measure(const oq_matrix *test, const oq_matrix *retest, int threads, oq_reliability_dimension *dimensions, oq_reliability *out,
	oq_error *err)
{
	OQ_TRY(check_shapes(test, retest, err));
	int64_t n = test->rows, columns = test->columns, sessions = 1 + retest->rows / n;
	*out = (oq_reliability){.subjects = n, .retests = sessions - 1};
	size_t all = (size_t)(4 * n + 2 * columns + RESAMPLES), lane = (size_t)(n * sessions);
	double *room = oq_calloc(all + (size_t)threads * lane, sizeof *room);
	if (!room)
		return oq_fail_memory(err, "robustness", (all + (size_t)threads * lane) * sizeof *room);
	double *centre = room + 4 * n, *spare = centre + columns, *resampled = spare + columns, *lanes = resampled + RESAMPLES;
	per_subject subject = {room, room + n, room + 2 * n, room + 3 * n};
	find_centre(test, retest, centre, spare);
#pragma omp parallel for num_threads(threads) schedule(static)
	for (int t = 0; t < threads; t++)
		for (int64_t c = t; c < columns; c += threads)
			measure_dimension(test, retest, c, lanes + (size_t)t * lane, dimensions + c);
#pragma omp parallel for num_threads(threads) schedule(static)
	for (int64_t i = 0; i < n; i++)
		measure_subject(test, retest, centre, i, &subject);
	out->cosine = estimate(subject.cosine, n, resampled);
	out->centred_cosine = estimate(subject.centred, n, resampled);
	out->identification = estimate(subject.identified, n, resampled);
	out->discriminability = estimate(subject.discriminated, n, resampled);
	out->cosine_min = least(subject.cosine, n);
	out->centred_cosine_min = least(subject.centred, n);
	summarise_dimensions(dimensions, columns, spare, out);
	oq_free(room);
	return OQ_OK;
}
