/* The body of wide.c, included once per instruction set. WIDE_BYTES: of a register; WIDE_STEP: rows of a tile whose sums fit into registers;
 * WIDE_TARGET: attribute; WIDE_NAME(x): x with the set's name. */
#define WIDE_LANES (WIDE_BYTES / 8)
#define WIDE_PARTS (CHAINS / WIDE_LANES)

typedef double WIDE_NAME(vector) __attribute__((vector_size(WIDE_BYTES)));
typedef float WIDE_NAME(floats) __attribute__((vector_size(WIDE_BYTES / 2)));

WIDE_TARGET static inline double WIDE_NAME(total)(const WIDE_NAME(vector) *sums)
{
	double chains[CHAINS];
	memcpy(chains, sums, sizeof chains);
	for (int half = CHAINS / 2; half; half /= 2)
		for (int i = 0; i < half; i++)
			chains[i] += chains[i + half];
	return chains[0];
}

WIDE_TARGET static double WIDE_NAME(dot_floats)(const float *a, const float *b, int64_t count)
{
	WIDE_NAME(vector) sums[WIDE_PARTS] = {{0}};
	int64_t i = 0;
	for (; i + CHAINS <= count; i += CHAINS)
		for (int p = 0; p < WIDE_PARTS; p++) {
			WIDE_NAME(floats) x, y;
			memcpy(&x, a + i + p * WIDE_LANES, sizeof x);
			memcpy(&y, b + i + p * WIDE_LANES, sizeof y);
			sums[p] += __builtin_convertvector(x, WIDE_NAME(vector)) * __builtin_convertvector(y, WIDE_NAME(vector));
		}
	double rest = 0;
	for (; i < count; i++)
		rest += (double)a[i] * (double)b[i];
	return WIDE_NAME(total)(sums) + rest;
}

WIDE_TARGET static double WIDE_NAME(dot)(const double *a, const double *b, int64_t count)
{
	WIDE_NAME(vector) sums[WIDE_PARTS] = {{0}};
	int64_t i = 0;
	for (; i + CHAINS <= count; i += CHAINS)
		for (int p = 0; p < WIDE_PARTS; p++) {
			WIDE_NAME(vector) x, y;
			memcpy(&x, a + i + p * WIDE_LANES, sizeof x);
			memcpy(&y, b + i + p * WIDE_LANES, sizeof y);
			sums[p] += x * y;
		}
	double rest = 0;
	for (; i < count; i++)
		rest += a[i] * b[i];
	return WIDE_NAME(total)(sums) + rest;
}

WIDE_TARGET static void WIDE_NAME(add)(double *to, double by, const double *from, int64_t count)
{
	int64_t i = 0;
	for (; i + WIDE_LANES <= count; i += WIDE_LANES) {
		WIDE_NAME(vector) x, y;
		memcpy(&x, to + i, sizeof x);
		memcpy(&y, from + i, sizeof y);
		x += by * y;
		memcpy(to + i, &x, sizeof x);
	}
	for (; i < count; i++)
		to[i] += by * from[i];
}

WIDE_TARGET static void WIDE_NAME(widen)(const float *x, double *out, int64_t count)
{
	int64_t i = 0;
	for (; i + WIDE_LANES <= count; i += WIDE_LANES) {
		WIDE_NAME(floats) from;
		WIDE_NAME(vector) to;
		memcpy(&from, x + i, sizeof from);
		to = __builtin_convertvector(from, WIDE_NAME(vector));
		memcpy(out + i, &to, sizeof to);
	}
	for (; i < count; i++)
		out[i] = (double)x[i];
}

WIDE_TARGET static void WIDE_NAME(standardise)(const float *x, const double *mean, const double *scale, double *out, int64_t count)
{
	int64_t i = 0;
	for (; i + WIDE_LANES <= count; i += WIDE_LANES) {
		WIDE_NAME(floats) from;
		WIDE_NAME(vector) m, s, to;
		memcpy(&from, x + i, sizeof from);
		memcpy(&m, mean + i, sizeof m);
		memcpy(&s, scale + i, sizeof s);
		to = (__builtin_convertvector(from, WIDE_NAME(vector)) - m) * s;
		memcpy(out + i, &to, sizeof to);
	}
	for (; i < count; i++)
		out[i] = ((double)x[i] - mean[i]) * scale[i];
}

/* Registers are copied one by one: an array copied as a whole would stay in memory. */
WIDE_TARGET static void WIDE_NAME(tile)(const double *a, const double *b, int64_t count, double *tile)
{
	for (int first = 0; first < OQ_WIDE_ROWS; first += WIDE_STEP) {
		WIDE_NAME(vector) sums[WIDE_STEP][WIDE_PARTS];
		double *own = tile + first * OQ_WIDE_COLUMNS;
		const double *p = a + first, *q = b;
#pragma GCC unroll 12
		for (int i = 0; i < WIDE_STEP; i++)
#pragma GCC unroll 8
			for (int h = 0; h < WIDE_PARTS; h++)
				memcpy(&sums[i][h], own + i * OQ_WIDE_COLUMNS + h * WIDE_LANES, sizeof sums[i][h]);
		for (int64_t k = 0; k < count; k++, p += OQ_WIDE_ROWS, q += OQ_WIDE_COLUMNS) {
#pragma GCC unroll 8
			for (int h = 0; h < WIDE_PARTS; h++) {
				WIDE_NAME(vector) column;
				memcpy(&column, q + h * WIDE_LANES, sizeof column);
#pragma GCC unroll 12
				for (int i = 0; i < WIDE_STEP; i++)
					sums[i][h] += p[i] * column;
			}
		}
#pragma GCC unroll 12
		for (int i = 0; i < WIDE_STEP; i++)
#pragma GCC unroll 8
			for (int h = 0; h < WIDE_PARTS; h++)
				memcpy(own + i * OQ_WIDE_COLUMNS + h * WIDE_LANES, &sums[i][h], sizeof sums[i][h]);
	}
}

static const oq_wide WIDE_NAME(table) = {WIDE_NAME(dot_floats), WIDE_NAME(dot), WIDE_NAME(add), WIDE_NAME(widen), WIDE_NAME(standardise), WIDE_NAME(tile)};

#undef WIDE_LANES
#undef WIDE_PARTS
#undef WIDE_BYTES
#undef WIDE_STEP
#undef WIDE_TARGET
#undef WIDE_NAME
