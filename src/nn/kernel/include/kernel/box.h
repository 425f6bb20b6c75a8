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

static inline oq_box oq_box_of(const int64_t extent[3])
{
	return (oq_box){.high = {extent[0], extent[1], extent[2]}};
}

/* Tiles of `edge` voxels that hold a box: [first, first+count) along each axis, and how many in all. */
typedef struct oq_tiles {
	int64_t edge, first[3], count[3], total;
} oq_tiles;

static inline oq_tiles oq_box_tiles(const oq_box *box, int64_t edge)
{
	oq_tiles tiles = {.edge = edge, .total = 1};
	for (int i = 0; i < 3; i++) {
		tiles.first[i] = box->low[i] / edge;
		tiles.count[i] = (box->high[i] + edge - 1) / edge - tiles.first[i];
		tiles.total *= tiles.count[i];
	}
	return tiles;
}

/* First voxel of tile `index` of them. */
static inline void oq_tile_at(const oq_tiles *tiles, int64_t index, int64_t at[3])
{
	at[0] = (tiles->first[0] + index / (tiles->count[1] * tiles->count[2])) * tiles->edge;
	at[1] = (tiles->first[1] + index / tiles->count[2] % tiles->count[1]) * tiles->edge;
	at[2] = (tiles->first[2] + index % tiles->count[2]) * tiles->edge;
}

#endif
