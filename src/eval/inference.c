#include "eval/inference.h"

#include "core/mem.h"

#include <math.h>
#include <stdlib.h>

double oq_normal_cdf(double x)
{
	return 0.5 * erfc(-x / sqrt(2));
}

/* The p-quantile of a distribution function that rises from 0 to 1: bisection down to the last bit that differs, a matter of microseconds. */
static double invert(double (*cdf)(double x, double parameter), double parameter, double p)
{
	double low = -1, high = 1;
	while (cdf(low, parameter) > p && isfinite(low))
		low *= 2;
	while (cdf(high, parameter) < p && isfinite(high))
		high *= 2;
	for (int i = 0; i < 200; i++) {
		double middle = low + (high - low) / 2;
		if (!(middle > low && middle < high))
			break;
		if (cdf(middle, parameter) < p)
			low = middle;
		else
			high = middle;
	}
	return low + (high - low) / 2;
}

static double normal(double x, double unused)
{
	(void)unused;
	return oq_normal_cdf(x);
}

double oq_normal_quantile(double p)
{
	return p > 0.5 ? -invert(normal, 0, 1 - p) : invert(normal, 0, p); /* near 1 the function itself has no digits left */
}

#define TINY 1e-300
#define STEPS 500

/* Continued fraction of the incomplete beta function by Lentz's method; converges for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x)
{
	double c = 1, d = 1 - (a + b) * x / (a + 1), value;
	d = 1 / (fabs(d) < TINY ? TINY : d);
	value = d;
	for (int m = 1; m < STEPS; m++) {
		const double terms[2] = {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))};
		double step = 1;
		for (int i = 0; i < 2; i++) {
			d = 1 + terms[i] * d;
			c = 1 + terms[i] / c;
			d = 1 / (fabs(d) < TINY ? TINY : d);
			c = fabs(c) < TINY ? TINY : c;
			step = c * d;
			value *= step;
		}
		if (fabs(step - 1) < 1e-16)
			break;
	}
	return value;
}

/* I_x(a, b), the regularised incomplete beta function. */
static double beta_share(double a, double b, double x)
{
	if (x <= 0 || x >= 1)
		return x <= 0 ? 0 : 1;
	double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
	return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double oq_student_cdf(double t, double degrees)
{
	if (isinf(degrees) || degrees > 1e8) /* beyond, the difference to the normal is below double's digits of lgamma */
		return oq_normal_cdf(t);
	double tail = 0.5 * beta_share(degrees / 2, 0.5, degrees / (degrees + t * t));
	return t > 0 ? 1 - tail : tail;
}

double oq_student_quantile(double p, double degrees)
{
	return p > 0.5 ? -invert(oq_student_cdf, degrees, 1 - p) : invert(oq_student_cdf, degrees, p);
}

/* Q(a, x), the upper regularised incomplete gamma function: a series below a + 1, a continued fraction above. */
static double gamma_tail(double a, double x)
{
	double front = exp(a * log(x) - x - lgamma(a));
	if (x < a + 1) {
		double term = 1 / a, sum = term;
		for (int n = 1; n < 10000 && term > sum * 1e-17; n++) {
			term *= x / (a + n);
			sum += term;
		}
		return 1 - front * sum;
	}
	double b = x + 1 - a, c = 1 / TINY, d = 1 / b, value = d;
	for (int n = 1; n < 10000; n++) {
		double term = -n * (n - a);
		b += 2;
		d = term * d + b;
		c = b + term / c;
		d = 1 / (fabs(d) < TINY ? TINY : d);
		c = fabs(c) < TINY ? TINY : c;
		value *= c * d;
		if (fabs(c * d - 1) < 1e-16)
			break;
	}
	return front * value;
}

double oq_chi_squared_tail(double x, double degrees)
{
	return isnan(x) ? NAN : x > 0 ? gamma_tail(degrees / 2, x / 2) : 1;
}

double oq_mcnemar_exact(int64_t b, int64_t c)
{
	int64_t n = b + c, less = b < c ? b : c;
	double sum = 0, all = (double)n * log(2);
	for (int64_t k = 0; k <= less; k++)
		sum += exp(lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1) - all);
	return n == 0 ? 1 : fmin(2 * sum, 1);
}

typedef struct ordered {
	double p;
	int index;
} ordered;

static int ascending(const void *a, const void *b)
{
	double x = ((const ordered *)a)->p, y = ((const ordered *)b)->p;
	return (x > y) - (x < y);
}

oq_status oq_holm(const double *p, int count, double *adjusted, oq_error *err)
{
	ordered *order = oq_alloc((size_t)count * sizeof *order);
	int tests = 0;
	double most = 0;
	if (!order)
		return oq_fail_memory(err, "Holm", (size_t)count * sizeof *order);
	for (int i = 0; i < count; i++) {
		adjusted[i] = NAN;
		if (!isnan(p[i]))
			order[tests++] = (ordered){p[i], i};
	}
	qsort(order, (size_t)tests, sizeof *order, ascending);
	for (int i = 0; i < tests; i++) {
		most = fmax(most, fmin(order[i].p * (tests - i), 1));
		adjusted[order[i].index] = most;
	}
	oq_free(order);
	return OQ_OK;
}

double oq_noninferiority(double difference, double se, double degrees, double margin)
{
	if (se > 0)
		return oq_student_cdf(-(difference + margin) / se, degrees);
	return isnan(se) ? NAN : difference > -margin ? 0 : 1;
}

double oq_equivalence(double difference, double se, double degrees, double margin)
{
	return fmax(oq_noninferiority(difference, se, degrees, margin), oq_noninferiority(-difference, se, degrees, margin));
}

oq_mean oq_mean_of_splits(const double *values, int count, double share, double level)
{
	oq_mean out = {NAN, NAN, NAN, {NAN, NAN}};
	double sum = 0, squares = 0;
	if (count < 2)
		return out;
	for (int i = 0; i < count; i++)
		sum += values[i];
	out.value = sum / count;
	for (int i = 0; i < count; i++)
		squares += (values[i] - out.value) * (values[i] - out.value);
	out.sd = sqrt(squares / (count - 1));
	out.se = out.sd * sqrt(1.0 / count + share);
	double reach = oq_student_quantile((1 + level) / 2, count - 1) * out.se;
	out.interval = (oq_interval){out.value - reach, out.value + reach};
	return out;
}
