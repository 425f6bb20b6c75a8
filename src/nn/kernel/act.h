/* The activation of every kernel of ours: one definition, so that a fused and a separate activation give the same bits. */
#ifndef OQ_NN_KERNEL_ACT_H
#define OQ_NN_KERNEL_ACT_H

/* slope 1 = identity, 0 = relu, else leaky. Not max(v, v*slope): that would lose a NaN, and for relu -inf*0 would make one. */
static inline float oq_act(float v, float slope)
{
	if (v <= 0.0f)
		return slope == 0.0f ? 0.0f : v * slope;
	return v;
}

#endif
