/* The voxels of a volume slice by slice: which are in memory, and what their values are. */
#ifndef OQ_IO_VOXELS_H
#define OQ_IO_VOXELS_H

#include "io/volume.h"
#include "stream.h"

#include <pthread.h>

typedef enum oq_slice_state {
	OQ_SLICE_ABSENT = 0,
	OQ_SLICE_WANTED, /* to be kept when the stream passes it */
	OQ_SLICE_HELD,   /* in memory, as it came out of its stream */
	OQ_SLICE_READY   /* in memory and looked at */
} oq_slice_state;

typedef struct oq_slice_look {
	float low, high; /* of the finite raw values */
	int64_t bad;     /* voxels that are not finite, or were not before they became air */
	oq_slice_state state;
} oq_slice_look;

struct oq_voxels {
	pthread_mutex_t lock;  /* of slices, of the stream's place, and of the voxels of those that are not ready */
	oq_stream *stream;     /* where voxels come from */
	uint64_t offset, skip, behind; /* where it begins in its file; its bytes before the voxels, and of further volumes behind them */
	bool packed, unpacked; /* it is inflated, from its beginning to its end; has been once */
	bool trailing;         /* bytes follow what the header declares */
	bool swapped;          /* until a slice is ready */
	bool nonfinite_as_air;
	char *path, *name;     /* of the scan; name, in messages instead of the path, or NULL */
	char *index_folder;    /* or NULL: beside the stream's file */
	oq_index_use index_use;
	oq_slice_look *slices; /* [dims[2]] */
};

oq_status oq_voxels_make(const oq_volume *volume, const char *path, const oq_volume_options *options, oq_voxels **out, oq_error *err);
void oq_voxels_free(oq_voxels *voxels);
size_t oq_slice_bytes(const oq_volume *volume);
/* Slice k in memory. */
unsigned char *oq_slice_start(const oq_volume *volume, int64_t k);
/* Of a packed volume: decodes all of the stream, or what is needed of it, and keeps the slices that are wanted, which are held
 * afterwards. The lock is the caller's. */
oq_status oq_voxels_unpack(const oq_volume *volume, oq_error *err);
/* The same by the stream's index; not *done when there is none that fits, or hardly less than all is wanted. */
oq_status oq_voxels_unpack_parts(const oq_volume *volume, bool *done, oq_error *err);

#endif
