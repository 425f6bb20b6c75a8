/* The activation of every kernel of ours: one definition, so that a fused and a separate activation give the same bits. */
#ifndef OQ_NN_KERNEL_ACT_H
#define OQ_NN_KERNEL_ACT_H

/* slope 1 = identity, 0 = relu, else leaky. Not max(v, v*slope): that would lose a NaN, and -inf*0 would make one. */
static inline float oq_act(float v, float slope)
{
	float negative = slope == 0.0f ? 0.0f : v * slope; /* slope is loop-invariant: the compiler hoists the test */
	return v <= 0.0f ? negative : v;
}

#endif
