#include "memory.h"

#include <limits.h>
#include <stdlib.h>

#define PLACE_FLOATS (OQ_ALIGN / sizeof(float))

/* A stretch of the slab that one value, or a chain of values written in place over each other, lives in. */
typedef struct place {
	size_t floats, offset;
	int first, last; /* steps, inclusive; the input is born before step 0 */
} place;

typedef struct memory_plan {
	const oq_graph *graph;
	place *places;      /* one per value; chained values use the head's */
	int *place_of;      /* value -> place, -1 while unborn */
	int place_count;
	const bool *apart;  /* per value: shares with none; NULL: all may */
} memory_plan;

/* Room of a value in floats, rounded up to whole places. */
static size_t padded_floats(const oq_value *value)
{
	size_t floats = (value->count * oq_dtype_size(value->dtype) + sizeof(float) - 1) / sizeof(float);
	return (floats + PLACE_FLOATS - 1) / PLACE_FLOATS * PLACE_FLOATS;
}

static void live_until(memory_plan *plan, int value, int step)
{
	place *p = &plan->places[plan->place_of[value]];
	p->last = step > p->last ? step : p->last;
}

static bool is_apart(const memory_plan *plan, int value)
{
	return plan->apart && plan->apart[value];
}

static void give_place(memory_plan *plan, int value, int step)
{
	plan->place_of[value] = plan->place_count;
	plan->places[plan->place_count++] = (place){.floats = padded_floats(&plan->graph->values[value]), .first = step,
		.last = is_apart(plan, value) ? INT_MAX : step};
}

/* The last step that reads each value. */
static void find_last_reads(const oq_step *steps, int step_count, int *last_read)
{
	for (int s = 0; s < step_count; s++) {
		const oq_node *node = steps[s].node;
		for (int i = 0; i < node->input_count; i++)
			last_read[node->inputs[i]] = s;
		if (node->residual >= 0)
			last_read[node->residual] = s;
	}
}

static void assign_places(memory_plan *plan, const oq_step *steps, int step_count, const int *last_read)
{
	const oq_graph *graph = plan->graph;
	give_place(plan, graph->input, -1);
	for (int s = 0; s < step_count; s++) {
		const oq_node *node = steps[s].node;
		const oq_value *input = &graph->values[node->inputs[0]], *output = &graph->values[node->output];
		for (int i = 0; i < node->input_count; i++)
			live_until(plan, node->inputs[i], s);
		if (node->residual >= 0)
			live_until(plan, node->residual, s);
		bool shared = !is_apart(plan, node->inputs[0]) && !is_apart(plan, node->output) && !input->keep && node->inputs[0] != graph->output;
		bool in_place = shared && node->op->in_place && last_read[node->inputs[0]] == s && input->count == output->count && input->dtype == output->dtype;
		if (in_place)
			plan->place_of[node->output] = plan->place_of[node->inputs[0]];
		else
			give_place(plan, node->output, s);
		if (node->exit_norm)
			give_place(plan, node->affine, s);
		if (output->keep || node->output == graph->output)
			live_until(plan, node->output, step_count);
	}
	if (graph->values[graph->input].keep)
		live_until(plan, graph->input, step_count);
}

static int larger_first(const void *a, const void *b)
{
	const place *x = *(place *const *)a, *y = *(place *const *)b;
	if (x->floats != y->floats)
		return x->floats < y->floats ? 1 : -1;
	return x->first - y->first; /* births differ, so the order is total */
}

/* Large places first, each at the lowest offset where no place alive at the same time lies. */
static size_t place_all(place **order, int count)
{
	size_t end = 0;
	for (int i = 0; i < count; i++) {
		place *p = order[i];
		for (int again = 1; again;) {
			again = 0;
			for (int k = 0; k < i; k++) {
				const place *q = order[k];
				bool together = q->first <= p->last && p->first <= q->last;
				if (together && q->offset < p->offset + p->floats && p->offset < q->offset + q->floats) {
					p->offset = q->offset + q->floats;
					again = 1;
				}
			}
		}
		end = p->offset + p->floats > end ? p->offset + p->floats : end;
	}
	return end;
}

static void write_offsets(const memory_plan *plan, size_t *offset)
{
	for (int v = 0; v < plan->graph->value_count; v++)
		offset[v] = plan->place_of[v] >= 0 ? plan->places[plan->place_of[v]].offset : SIZE_MAX;
}

oq_status oq_memory_plan(const oq_graph *graph, const oq_step *steps, int step_count, const bool *apart, size_t *offset, size_t *slab_floats,
	oq_error *err)
{
	size_t values = (size_t)graph->value_count;
	memory_plan plan = {.graph = graph, .apart = apart, .places = oq_calloc(values, sizeof(place)), .place_of = oq_alloc(values * sizeof(int))};
	int *last_read = oq_alloc(values * sizeof *last_read);
	place **order = oq_alloc(values * sizeof(place *));
	oq_status status = OQ_OK;
	if (!plan.places || !plan.place_of || !last_read || !order) {
		status = oq_fail_memory(err, graph->where, values * sizeof(place));
	} else {
		for (size_t v = 0; v < values; v++)
			plan.place_of[v] = last_read[v] = -1;
		find_last_reads(steps, step_count, last_read);
		assign_places(&plan, steps, step_count, last_read);
		for (int i = 0; i < plan.place_count; i++)
			order[i] = &plan.places[i];
		qsort(order, (size_t)plan.place_count, sizeof *order, larger_first);
		*slab_floats = place_all(order, plan.place_count);
		write_offsets(&plan, offset);
	}
	oq_free(plan.places);
	oq_free(plan.place_of);
	oq_free(last_read);
	oq_free(order);
	return status;
}
