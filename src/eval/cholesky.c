#include "eval/cholesky.h"

#include <math.h>

bool oq_cholesky(double *a, int n)
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j <= i; j++) {
			double sum = a[i * n + j];
			for (int k = 0; k < j; k++)
				sum -= a[i * n + k] * a[j * n + k];
			if (i != j) {
				a[i * n + j] = sum / a[j * n + j];
				continue;
			}
			if (!(sum > 1e-10 * a[i * n + i])) /* what is left of the variance once the columns before are known: rounding */
				return false;
			a[i * n + i] = sqrt(sum);
		}
	return true;
}

void oq_cholesky_solve(const double *factor, int n, double *b)
{
	for (int i = 0; i < n; i++) {
		for (int k = 0; k < i; k++)
			b[i] -= factor[i * n + k] * b[k];
		b[i] /= factor[i * n + i];
	}
	for (int i = n - 1; i >= 0; i--) {
		for (int k = i + 1; k < n; k++)
			b[i] -= factor[k * n + i] * b[k];
		b[i] /= factor[i * n + i];
	}
}
