/* A point of a label mask: the centroid of one label, or the centre of its bounding box. */
#ifndef OQ_IO_MASK_H
#define OQ_IO_MASK_H

#include "io/volume.h"

typedef struct oq_mask_found {
	double ijk[3];       /* continuous voxel index, the same in scan and mask */
	int64_t low[3], high[3]; /* of the label, inclusive */
	int64_t voxels;
	bool touches_border;
} oq_mask_found;

/* `label` 0: the only one there is. Refuses a mask on another grid than the scan's (E_MASK_GEOMETRY), values that are no whole numbers
 * (E_MASK_VALUES), no voxel of the label (E_MASK_EMPTY), several labels when none was named (E_MASK_LABELS). `name` is for messages. */
oq_status oq_mask_find(const oq_volume *mask, const oq_volume *scan, const char *name, int64_t label, bool box_centre, oq_mask_found *out, oq_error *err);

#endif
