/* Sorts weights for the micro-kernel on bytes (gemm_u8_isa.h). Refuses weights of which too many would saturate: *worth is false then. */
#ifndef OQ_NN_KERNEL_PACK_U8_H
#define OQ_NN_KERNEL_PACK_U8_H

#include "gemm_u8_isa.h"

#include "core/error.h"

#include <stddef.h>

#define OQ_U8_BLOCK_MAX 128 /* steps per list */

/* Panels as they are gathered: [products][steps][32][4]. */
typedef struct oq_u8_dense {
	const int8_t *weights;
	int64_t products, steps, block; /* steps per list: at most OQ_U8_BLOCK_MAX */
	int32_t zero;                   /* of the input */
} oq_u8_dense;

typedef struct oq_u8_packed {
	oq_gemm_u8_list *lists; /* [products][blocks of steps][4] */
	int8_t *weights;        /* [all steps][8][4] */
	uint16_t *at;           /* [all steps] */
	size_t bytes;
	double cost;            /* instructions of the micro-kernel per row and step of 8 columns */
} oq_u8_packed;

/* What was allocated is oq_u8_release's to free, whatever is returned. */
oq_status oq_u8_pack(const oq_u8_dense *dense, oq_u8_packed *out, bool *worth, oq_error *err);
void oq_u8_release(oq_u8_packed *packed);

#endif
