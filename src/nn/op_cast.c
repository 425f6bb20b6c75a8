/* A value in another type. No package holds this op: precision.c puts it where a product needs its input in a type that the
 * value's producer cannot write, or that another reader cannot read. */
#include "op.h"

static oq_status refuse_cast(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	(void)output;
	return oq_graph_refuse(graph, node, err, "op \"cast\" is for the planner alone");
}

static oq_status run_cast(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const oq_typed x = oq_typed_value(oq_run_input(step, run, 0), oq_step_input(step, 0)),
		y = oq_typed_value(oq_run_output(step, run), oq_step_output(step));
	oq_cast(oq_step_input(step, 0)->count, &x, &y, run->threads);
	return OQ_OK;
}

const oq_op oq_op_cast = {.name = "cast", .min_inputs = 1, .max_inputs = 1, .typed = true, .infer = refuse_cast, .run = run_cast,
	.reach = oq_same_reach};
