#include "eval/logistic.h"

#include "core/mem.h"
#include "dense.h"
#include "eval/cholesky.h"
#include "singular.h"
#include "wide.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#define CHUNKS 64     /* rows are summed in this many parts, whatever the threads */
#define WIDE 600      /* beyond, a preconditioner is made of about 2 rows per dimension */
#define PATIENCE 25   /* the preconditioner is made anew when the last step took more products than this */
#define LITTLE (1 << 21) /* numbers; a pass over fewer is done sooner than threads are woken */
#define STEPS 200
#define PRODUCTS 500

/* The problem as it is solved: rows of `width` numbers. */
typedef struct solver {
	const oq_logistic_problem *p;
	double *factor;       /* [count][count]: the rows in a basis of their span; NULL: the features themselves */
	int64_t count, width, stride; /* stride: width + 1, the intercept last */
	int outputs, chunks, threads;
	double weight[OQ_CLASSES];  /* of a row, by class */
	double *share;        /* [count][outputs]: probabilities at the last point evaluated */
	double *partial;      /* [chunks][outputs*stride]: sums of each part */
	double *loss;         /* [chunks] */
	double *room;         /* [threads][width] */
	double **hessian;     /* [outputs]: factors of the preconditioner, [stride][stride] */
	const oq_wide *wide;
} solver;

static void read_row(const oq_wide *wide, const oq_features *f, int64_t row, double *out)
{
	const float *x = oq_matrix_row(f->x, row);
	if (f->mean)
		wide->standardise(x, f->mean, f->scale, out, f->x->columns);
	else
		wide->widen(x, out, f->x->columns);
}

void oq_features_standardise(const oq_matrix *x, const int64_t *rows, int64_t count, double *mean, double *scale)
{
	for (int64_t d = 0; d < x->columns; d++)
		mean[d] = scale[d] = 0;
	for (int64_t i = 0; i < count; i++)
		for (int64_t d = 0; d < x->columns; d++)
			mean[d] += (double)oq_matrix_row(x, rows[i])[d];
	for (int64_t d = 0; d < x->columns; d++)
		mean[d] /= (double)count;
	for (int64_t i = 0; i < count; i++)
		for (int64_t d = 0; d < x->columns; d++) {
			double off = (double)oq_matrix_row(x, rows[i])[d] - mean[d];
			scale[d] += off * off;
		}
	for (int64_t d = 0; d < x->columns; d++)
		scale[d] = scale[d] > 0 ? 1 / sqrt(scale[d] / (double)count) : 1;
}

/* Row i of the problem: where it lies, or read into room. */
static const double *row_of(const solver *s, int64_t i, double *room)
{
	if (s->factor)
		return s->factor + i * s->width;
	read_row(s->wide, &s->p->features, s->p->rows[i], room);
	return room;
}

/* One logit, or one per class, become probabilities; returns -log of the true class's. */
static double squash(double *z, int outputs, int class)
{
	if (outputs == 1) {
		double loss = class ? -z[0] : z[0];
		loss = loss > 0 ? loss + log1p(exp(-loss)) : log1p(exp(loss));
		z[0] = z[0] >= 0 ? 1 / (1 + exp(-z[0])) : exp(z[0]) / (1 + exp(z[0]));
		return loss;
	}
	double most = z[0], sum = 0, own;
	for (int o = 1; o < outputs; o++)
		most = z[o] > most ? z[o] : most;
	own = z[class] - most;
	for (int o = 0; o < outputs; o++)
		sum += z[o] = exp(z[o] - most);
	for (int o = 0; o < outputs; o++)
		z[o] /= sum;
	return log(sum) - own;
}

/* What a row adds, per output: to the gradient at `point`, or to the Hessian's product with it. */
static double pull(const solver *s, int64_t i, const double *x, const double *point, bool product, double *t)
{
	double *share = s->share + i * s->outputs, loss = 0, mean = 0;
	int class = s->p->class[s->p->rows[i]];
	for (int o = 0; o < s->outputs; o++)
		t[o] = s->wide->dot(x, point + o * s->stride, s->width) + point[o * s->stride + s->width];
	if (product) {
		for (int o = 0; o < s->outputs; o++)
			mean += share[o] * t[o];
		for (int o = 0; o < s->outputs; o++)
			t[o] = share[o] * (t[o] - mean) * s->weight[class] * s->p->c;
		return 0;
	}
	loss = squash(t, s->outputs, class);
	for (int o = 0; o < s->outputs; o++) {
		share[o] = t[o];
		t[o] = (t[o] - (s->outputs == 1 ? class == 1 : class == o)) * s->weight[class] * s->p->c;
	}
	return loss * s->weight[class] * s->p->c;
}

/* out [outputs][stride]: the gradient at `point`, and returns the objective; or the Hessian (of the last gradient's point) times `point`. */
static double pass(const solver *s, const double *point, bool product, double *out)
{
	int64_t size = s->outputs * s->stride;
	double loss = 0;
#pragma omp parallel for num_threads(s->threads) schedule(dynamic)
	for (int chunk = 0; chunk < s->chunks; chunk++) {
		double *sum = s->partial + chunk * size, *room = s->room + omp_get_thread_num() * s->width, t[OQ_CLASSES];
		memset(sum, 0, (size_t)size * sizeof *sum);
		s->loss[chunk] = 0;
		for (int64_t i = s->count * chunk / s->chunks; i < s->count * (chunk + 1) / s->chunks; i++) {
			const double *x = row_of(s, i, room);
			s->loss[chunk] += pull(s, i, x, point, product, t);
			for (int o = 0; o < s->outputs; o++) {
				s->wide->add(sum + o * s->stride, t[o], x, s->width);
				sum[o * s->stride + s->width] += t[o];
			}
		}
	}
	memset(out, 0, (size_t)size * sizeof *out);
	for (int chunk = 0; chunk < s->chunks; chunk++) {
		s->wide->add(out, 1, s->partial + chunk * size, size);
		loss += s->loss[chunk];
	}
	for (int o = 0; o < s->outputs; o++) {
		s->wide->add(out + o * s->stride, 1, point + o * s->stride, s->width);
		loss += 0.5 * s->wide->dot(point + o * s->stride, point + o * s->stride, s->width);
	}
	return loss;
}

/* The Hessian's block of one output from about 2 rows per dimension, spread over all; more would only sharpen a preconditioner. */
static oq_status precondition_one(const solver *s, int output, double *h, oq_error *err)
{
	int64_t n = s->stride, use = s->width > WIDE && s->count > 2 * s->width ? 2 * s->width : s->count;
	double *rows = oq_alloc((size_t)(use * n) * sizeof *rows), scale = s->p->c * (double)s->count / (double)use;
	if (!rows)
		return oq_fail_memory(err, "logistic regression", (size_t)(use * n) * sizeof *rows);
	for (int64_t k = 0; k < use; k++) {
		int64_t i = k * s->count / use;
		double share = s->share[i * s->outputs + output], *to = rows + k * n, root = sqrt(scale * share * (1 - share) * s->weight[s->p->class[s->p->rows[i]]]);
		const double *x = row_of(s, i, to);
		for (int64_t d = 0; d < s->width; d++)
			to[d] = x[d] * root;
		to[s->width] = root;
	}
	memset(h, 0, (size_t)(n * n) * sizeof *h);
	const oq_dense_side side = {rows, n, 1, n};
	oq_status status = oq_dense_add(&side, &side, use, 1, true, s->threads, h, n, err);
	oq_free(rows);
	for (int64_t i = 0; i < n; i++) {
		double *pivot = h + i * n + i;
		*pivot += i < s->width ? 1 : 0;
		*pivot += 1e-9 * *pivot + 1e-12; /* rounding must not make it indefinite; the answer does not depend on it */
	}
	return status == OQ_OK ? oq_cholesky_large(h, n, s->threads, err) : status;
}

static oq_status precondition(const solver *s, oq_error *err)
{
	for (int o = 0; o < s->outputs; o++)
		OQ_TRY(precondition_one(s, o, s->hessian[o], err));
	return OQ_OK;
}

static double largest(const double *a, int64_t n)
{
	double most = 0;
	for (int64_t i = 0; i < n; i++)
		most = fabs(a[i]) > most || isnan(a[i]) ? fabs(a[i]) : most;
	return most;
}

/* vectors of a step, [outputs*stride] each */
typedef struct vectors {
	double *point, *gradient, *step, *residual, *fixed, *direction, *product, *trial;
} vectors;

static void apply_preconditioner(const solver *s, const double *in, double *out)
{
	memcpy(out, in, (size_t)(s->outputs * s->stride) * sizeof *out);
	for (int o = 0; o < s->outputs; o++)
		oq_cholesky_solve(s->hessian[o], s->stride, out + o * s->stride);
}

/* step = -H^-1 gradient, to a share `target` of the first residual. Returns the products it took. */
static int solve_step(const solver *s, vectors *v, double target)
{
	int64_t n = s->outputs * s->stride;
	int products = 0;
	memset(v->step, 0, (size_t)n * sizeof *v->step);
	for (int64_t i = 0; i < n; i++)
		v->residual[i] = -v->gradient[i];
	apply_preconditioner(s, v->residual, v->fixed);
	memcpy(v->direction, v->fixed, (size_t)n * sizeof *v->fixed);
	double size = s->wide->dot(v->residual, v->fixed, n), first = size;
	while (products < PRODUCTS && size > target * target * first) {
		pass(s, v->direction, true, v->product);
		products++;
		double curve = s->wide->dot(v->direction, v->product, n);
		if (!(curve > 0))
			break;
		s->wide->add(v->step, size / curve, v->direction, n);
		s->wide->add(v->residual, -size / curve, v->product, n);
		apply_preconditioner(s, v->residual, v->fixed);
		double next = s->wide->dot(v->residual, v->fixed, n);
		for (int64_t i = 0; i < n; i++)
			v->direction[i] = v->fixed[i] + next / size * v->direction[i];
		size = next;
	}
	return products;
}

/* Halves the step until the objective falls as it should. Near the optimum rounding hides that: then a smaller gradient counts. */
static bool go(const solver *s, vectors *v, double *loss)
{
	int64_t n = s->outputs * s->stride;
	double slope = s->wide->dot(v->gradient, v->step, n), before = largest(v->gradient, n);
	for (double share = 1; share > 1e-10; share /= 2) {
		memcpy(v->trial, v->point, (size_t)n * sizeof *v->trial);
		s->wide->add(v->trial, share, v->step, n);
		double now = pass(s, v->trial, false, v->product);
		bool falls = now <= *loss + 1e-4 * share * slope, levels = now <= *loss + 1e-12 * fabs(*loss) && largest(v->product, n) < before;
		if (falls || levels) {
			memcpy(v->point, v->trial, (size_t)n * sizeof *v->point);
			memcpy(v->gradient, v->product, (size_t)n * sizeof *v->gradient);
			*loss = now;
			return true;
		}
	}
	return false;
}

static oq_status solve(const solver *s, vectors *v, oq_logistic *out, oq_error *err)
{
	int64_t n = s->outputs * s->stride;
	double loss = pass(s, v->point, false, v->gradient), start = largest(v->gradient, n);
	/* |w - optimum| is at most |gradient|; what sums of this size are rounded to cannot be improved on. */
	double enough = fmax(1e-9, 1e-13 * start);
	int products = PRODUCTS;
	out->gradient = start;
	for (out->steps = 0; out->steps < STEPS && out->gradient > enough; out->steps++) {
		if (products > PATIENCE)
			OQ_TRY(precondition(s, err));
		products = solve_step(s, v, fmin(0.1, fmax(1e-6, sqrt(out->gradient / start))));
		if (!go(s, v, &loss)) {
			pass(s, v->point, false, v->gradient);
			break;
		}
		out->gradient = largest(v->gradient, n);
	}
	if (out->gradient > 1e4 * enough || !isfinite(loss))
		return oq_fail(err, OQ_E_INTERNAL, "E_NUMERIC", "logistic regression: gradient of %g after %d steps, expected at most %g", out->gradient, out->steps, enough);
	return OQ_OK;
}

/* The weights are C times the rows weighted by what is left of them (that is what a zero gradient says), also where the span hid them. */
static void finish(const solver *s, const vectors *v, oq_logistic *out)
{
	for (int o = 0; o < s->outputs; o++) {
		double *w = out->weights + o * out->columns;
		out->intercept[o] = v->point[o * s->stride + s->width];
		if (!s->factor)
			memcpy(w, v->point + o * s->stride, (size_t)s->width * sizeof *w);
	}
	for (int64_t i = 0; i < s->count && s->factor; i++) {
		int class = s->p->class[s->p->rows[i]];
		read_row(s->wide, &s->p->features, s->p->rows[i], s->room);
		for (int o = 0; o < s->outputs; o++)
			s->wide->add(out->weights + o * out->columns, ((s->outputs == 1 ? class == 1 : class == o) - s->share[i * s->outputs + o]) * s->weight[class] * s->p->c,
				s->room, out->columns);
	}
}

static oq_status open_factor(solver *s, oq_error *err)
{
	int64_t n = s->count, d = s->p->features.x->columns;
	if (n >= d)
		return OQ_OK;
	double *a = oq_alloc((size_t)n * (size_t)d * sizeof *a);
	s->factor = oq_alloc((size_t)n * (size_t)n * sizeof *s->factor);
	oq_status status = a && s->factor ? OQ_OK : oq_fail_memory(err, "logistic regression", (size_t)n * (size_t)d * sizeof *a);
	for (int64_t i = 0; i < n && status == OQ_OK; i++)
		read_row(s->wide, &s->p->features, s->p->rows[i], a + i * d);
	if (status == OQ_OK)
		status = oq_triangle(a, n, d, s->threads, err);
	for (int64_t i = 0; i < n && status == OQ_OK; i++)
		memcpy(s->factor + i * n, a + i * d, (size_t)n * sizeof *a);
	oq_free(a);
	return status;
}

static oq_status open_solver(solver *s, oq_error *err)
{
	const oq_logistic_problem *p = s->p;
	int64_t columns = p->features.x->columns, counts[OQ_CLASSES] = {0};
	s->count = p->count;
	s->width = p->count < columns ? p->count : columns;
	s->stride = s->width + 1;
	s->outputs = p->classes == 2 ? 1 : p->classes;
	s->threads = s->count * s->width < LITTLE ? 1 : p->threads;
	s->chunks = p->count < CHUNKS ? (int)p->count : CHUNKS;
	for (int64_t i = 0; i < p->count; i++)
		counts[p->class[p->rows[i]]]++;
	for (int c = 0; c < p->classes; c++) {
		if (!counts[c])
			return oq_fail(err, OQ_E_INPUT, "E_LABELS", "logistic regression: no training row of class %d, expected some of each", c);
		s->weight[c] = p->balanced ? (double)p->count / (double)(p->classes * counts[c]) : 1;
	}
	s->share = oq_calloc((size_t)(p->count * s->outputs), sizeof *s->share);
	s->partial = oq_alloc((size_t)(s->chunks * s->outputs * s->stride) * sizeof *s->partial);
	s->loss = oq_alloc((size_t)s->chunks * sizeof *s->loss);
	s->room = oq_alloc((size_t)(s->threads * columns) * sizeof *s->room);
	s->hessian = oq_calloc((size_t)s->outputs, sizeof *s->hessian);
	bool good = s->share && s->partial && s->loss && s->room && s->hessian;
	for (int o = 0; o < s->outputs && good; o++)
		good = (s->hessian[o] = oq_alloc((size_t)(s->stride * s->stride) * sizeof(double))) != NULL;
	return good ? open_factor(s, err) : oq_fail_memory(err, "logistic regression", (size_t)(s->stride * s->stride) * sizeof(double));
}

static void close_solver(solver *s)
{
	for (int o = 0; o < s->outputs && s->hessian; o++)
		oq_free(s->hessian[o]);
	oq_free(s->hessian);
	oq_free(s->factor);
	oq_free(s->share);
	oq_free(s->partial);
	oq_free(s->loss);
	oq_free(s->room);
}

oq_status oq_logistic_fit(const oq_logistic_problem *problem, oq_logistic *out, oq_error *err)
{
	solver s = {.p = problem, .wide = oq_wide_here()};
	*out = (oq_logistic){.columns = problem->features.x->columns, .outputs = problem->classes == 2 ? 1 : problem->classes};
	oq_status status = open_solver(&s, err);
	size_t n = (size_t)(s.outputs * s.stride);
	double *block = oq_calloc(8 * n, sizeof *block);
	out->weights = oq_calloc((size_t)(out->outputs * out->columns), sizeof *out->weights);
	if (status == OQ_OK && (!block || !out->weights))
		status = oq_fail_memory(err, "logistic regression", 8 * n * sizeof *block);
	if (status == OQ_OK) {
		vectors v = {block, block + n, block + 2 * n, block + 3 * n, block + 4 * n, block + 5 * n, block + 6 * n, block + 7 * n};
		status = solve(&s, &v, out, err);
		if (status == OQ_OK)
			finish(&s, &v, out);
	}
	oq_free(block);
	close_solver(&s);
	return status;
}

void oq_logistic_free(oq_logistic *model)
{
	oq_free(model->weights);
	*model = (oq_logistic){0};
}

oq_status oq_logistic_scores(const oq_logistic *model, const oq_features *features, const int64_t *rows, int64_t count, int threads, double *scores,
	oq_error *err)
{
	double *room = oq_alloc((size_t)(threads * model->columns) * sizeof *room);
	const oq_wide *wide = oq_wide_here();
	if (!room)
		return oq_fail_memory(err, "logistic regression", (size_t)(threads * model->columns) * sizeof *room);
#pragma omp parallel for num_threads(threads) schedule(static)
	for (int64_t i = 0; i < count; i++) {
		double *own = room + omp_get_thread_num() * model->columns, *z = scores + i * model->outputs;
		read_row(wide, features, rows[i], own);
		for (int o = 0; o < model->outputs; o++)
			z[o] = wide->dot(own, model->weights + o * model->columns, model->columns) + model->intercept[o];
		squash(z, model->outputs, 0);
	}
	oq_free(room);
	return OQ_OK;
}
