/* The voxels of a volume slice by slice: which are in memory, and what their values are. */
#ifndef OQ_IO_VOXELS_H
#define OQ_IO_VOXELS_H

#include "io/volume.h"
#include "stream.h"

#include <pthread.h>

typedef struct oq_slice_look {
	float low, high; /* of the finite raw values */
	int64_t bad;     /* voxels that are not finite, or were not before they became air */
	bool ready;      /* in memory and looked at */
} oq_slice_look;

struct oq_voxels {
	pthread_mutex_t lock;  /* of slices, and of the voxels of those that are not ready */
	oq_stream *stream;     /* raw voxels, read from here when they are needed; NULL: all are in memory */
	uint64_t skip;         /* bytes of the stream before them */
	bool swapped;          /* until a slice is ready */
	bool nonfinite_as_air;
	char *path, *name;     /* of the scan; name, in messages instead of the path, or NULL */
	oq_slice_look *slices; /* [dims[2]] */
};

oq_status oq_voxels_make(const oq_volume *volume, const char *path, const oq_volume_options *options, oq_voxels **out, oq_error *err);
void oq_voxels_free(oq_voxels *voxels);

#endif
