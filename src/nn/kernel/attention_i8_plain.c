/* The plain twin of the passes of the attention in bytes. */
#include "attention_i8_isa.h"

static int32_t softmax(const oq_score_row *s, float *room, uint8_t *codes)
{
	float top = -INFINITY;
	int32_t total = 0;
	for (int64_t j = 0; j < s->count; j++) {
		room[j] = oq_score_one(s, j);
		top = room[j] > top ? room[j] : top;
	}
	for (int64_t j = 0; j < s->count; j++)
		total += codes[j] = oq_weight_one(room[j] - top);
	return total;
}

#define TABLE oq_attention_i8_plain
#define SOFTMAX softmax
#include "attention_i8_body.h"
