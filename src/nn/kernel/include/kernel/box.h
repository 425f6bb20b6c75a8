/* A part of a volume: voxels [low,high) along D, H and W. */
#ifndef OQ_NN_KERNEL_BOX_H
#define OQ_NN_KERNEL_BOX_H

#include <stdbool.h>
#include <stdint.h>

typedef struct oq_box {
	int64_t low[3], high[3];
} oq_box;

static inline bool oq_box_empty(const oq_box *box)
{
	return box->low[0] >= box->high[0] || box->low[1] >= box->high[1] || box->low[2] >= box->high[2];
}

/* `inner` lies in `outer`. */
static inline bool oq_box_holds(const oq_box *outer, const oq_box *inner)
{
	for (int i = 0; i < 3; i++)
		if (inner->low[i] < outer->low[i] || inner->high[i] > outer->high[i])
			return false;
	return true;
}

/* The smallest box around both; an empty one counts for nothing. */
static inline void oq_box_join(oq_box *box, const oq_box *other)
{
	bool empty = oq_box_empty(box);
	for (int i = 0; i < 3 && !oq_box_empty(other); i++) {
		box->low[i] = empty || other->low[i] < box->low[i] ? other->low[i] : box->low[i];
		box->high[i] = empty || other->high[i] > box->high[i] ? other->high[i] : box->high[i];
	}
}

/* The tiles of `edge` voxels that hold the box: [first, first+count) along each axis. Returns how many in all. */
static inline int64_t oq_box_tiles(const oq_box *box, int64_t edge, int64_t first[3], int64_t count[3])
{
	int64_t tiles = 1;
	for (int i = 0; i < 3; i++) {
		first[i] = box->low[i] / edge;
		count[i] = (box->high[i] + edge - 1) / edge - first[i];
		tiles *= count[i];
	}
	return tiles;
}

#endif
