/* One view over both containers of official checkpoints: PyTorch zip archives and safetensors (told apart by content, not by
 * file name). Lists the tensors below a nesting key; reads each as raw elements in row-major order. */
#ifndef OQ_QUANTIZE_CHECKPOINT_H
#define OQ_QUANTIZE_CHECKPOINT_H

#include "core/safetensors.h"

typedef struct oq_checkpoint oq_checkpoint;

/* `nesting`: key of the dictionary that holds the tensors, or NULL; `optional`: a flat file is accepted as well. */
oq_status oq_checkpoint_open(const char *path, const char *nesting, bool optional, oq_checkpoint **out, oq_error *err);
void oq_checkpoint_close(oq_checkpoint *checkpoint);
int oq_checkpoint_count(const oq_checkpoint *checkpoint);
/* Name, dtype, shape, count, bytes; `offset` has no meaning here. In the file's order. */
const oq_tensor_info *oq_checkpoint_at(const oq_checkpoint *checkpoint, int index);
/* Entries beside the tensors (an epoch, an optimizer), for the record; NULL at the end. */
const char *oq_checkpoint_skipped(const oq_checkpoint *checkpoint, int index);
oq_status oq_checkpoint_read(const oq_checkpoint *checkpoint, int index, void *buffer, oq_error *err);

#endif
