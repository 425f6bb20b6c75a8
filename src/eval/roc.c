#include "eval/roc.h"

#include "core/mem.h"

#include <math.h>
#include <stdlib.h>

typedef struct scored {
	double score;
	bool positive;
} scored;

static int descending(const void *a, const void *b)
{
	double x = ((const scored *)a)->score, y = ((const scored *)b)->score;
	return (x < y) - (x > y);
}

/* Counts above each distinct score, from (0,0) on: pairs of false and true positives. */
static int64_t corners(scored *s, int64_t count, int64_t (*points)[2])
{
	int64_t n = 0, positive = 0;
	qsort(s, (size_t)count, sizeof *s, descending);
	for (int64_t i = 0; i < count; i++) {
		positive += s[i].positive;
		if (i + 1 == count || s[i].score > s[i + 1].score) {
			points[n][0] = i + 1 - positive;
			points[n++][1] = positive;
		}
	}
	return n;
}

/* As numpy adds up: eight chains, halves above 128. */
static double pairwise_sum(const double *a, int64_t n)
{
	double r[8], sum = 0;
	int64_t i = 8;
	if (n < 8) {
		for (i = 0; i < n; i++)
			sum += a[i];
		return sum;
	}
	if (n > 128) {
		int64_t half = n / 2 - n / 2 % 8;
		return pairwise_sum(a, half) + pairwise_sum(a + half, n - half);
	}
	for (int j = 0; j < 8; j++)
		r[j] = a[j];
	for (; i < n - n % 8; i += 8)
		for (int j = 0; j < 8; j++)
			r[j] += a[i + j];
	sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
	for (; i < n; i++)
		sum += a[i];
	return sum;
}

static bool on_a_line(const int64_t a[2], const int64_t b[2], const int64_t c[2])
{
	return c[0] - 2 * b[0] + a[0] == 0 && c[1] - 2 * b[1] + a[1] == 0;
}

/* roc_curve leaves out corners in the middle of two equal steps; auc is numpy's trapezoid. Its first point is (0,0). terms[n] */
static double reference_area(int64_t (*points)[2], int64_t n, double *terms)
{
	double negatives = (double)points[n - 1][0], positives = (double)points[n - 1][1], x = 0, y = 0;
	int64_t count = 0;
	for (int64_t i = 0; i < n; i++) {
		if (n > 2 && i > 0 && i + 1 < n && on_a_line(points[i - 1], points[i], points[i + 1]))
			continue;
		double to_x = (double)points[i][0] / negatives, to_y = (double)points[i][1] / positives;
		terms[count++] = (to_x - x) * (to_y + y) / 2;
		x = to_x;
		y = to_y;
	}
	return pairwise_sum(terms, count);
}

static double exact_area(int64_t (*points)[2], int64_t n)
{
	int64_t twice = 0, x = 0, y = 0;
	for (int64_t i = 0; i < n; i++) {
		twice += (points[i][0] - x) * (points[i][1] + y);
		x = points[i][0];
		y = points[i][1];
	}
	return (double)twice / (2 * (double)x * (double)y);
}

oq_status oq_roc_area(oq_roc_rule rule, const double *score, int64_t stride, const uint8_t *class, int positive, int64_t count, double *area, oq_error *err)
{
	scored *s = oq_alloc((size_t)count * sizeof *s);
	int64_t (*points)[2] = oq_alloc((size_t)count * sizeof *points);
	double *terms = oq_alloc((size_t)count * sizeof *terms);
	oq_status status = s && points && terms ? OQ_OK : oq_fail_memory(err, "AUC", (size_t)count * sizeof *points);
	*area = NAN;
	if (status == OQ_OK && count > 0) {
		for (int64_t i = 0; i < count; i++)
			s[i] = (scored){score[i * stride], class[i] == positive};
		int64_t n = corners(s, count, points);
		if (points[n - 1][0] > 0 && points[n - 1][1] > 0)
			*area = rule == OQ_ROC_REFERENCE ? reference_area(points, n, terms) : exact_area(points, n);
	}
	oq_free(s);
	oq_free(points);
	oq_free(terms);
	return status;
}

oq_status oq_roc_mean(oq_roc_rule rule, const double *score, const uint8_t *class, int classes, int64_t count, double *area, oq_error *err)
{
	double sum = 0;
	if (classes == 2)
		return oq_roc_area(rule, score, 1, class, 1, count, area, err);
	for (int c = 0; c < classes; c++) {
		double one;
		OQ_TRY(oq_roc_area(rule, score + c, classes, class, c, count, &one, err));
		sum += one;
	}
	*area = sum / classes;
	return OQ_OK;
}
