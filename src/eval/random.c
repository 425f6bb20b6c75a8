/* Shapes made of uniform counter-based numbers. */
#include "eval/random.h"

#include <math.h>

double oq_random_normal(uint64_t key, uint64_t i)
{
	double u = 1 - oq_random_uniform(key, 2 * i), v = oq_random_uniform(key, 2 * i + 1); /* u in (0,1]: its logarithm is finite */
	return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

void oq_random_ball(uint64_t key, double point[3])
{
	double square = 2;
	for (uint64_t i = 0; square > 1; i += 3) {
		square = 0;
		for (uint64_t axis = 0; axis < 3; axis++) {
			point[axis] = 2 * oq_random_uniform(key, i + axis) - 1;
			square += point[axis] * point[axis];
		}
	}
}
