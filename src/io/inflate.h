/* A whole compressed stream at once, by libdeflate where the build found it. */
#ifndef OQ_IO_INFLATE_H
#define OQ_IO_INFLATE_H

#include <stdbool.h>
#include <stddef.h>

/* packed: gzip members one after the other, or one zlib stream, and nothing behind. True when they are whole, pass their
 * checksums and give exactly `bytes`. False says nothing about why: zlib is then asked, and its answer is the one that
 * users see, so that both builds refuse and warn alike. */
bool oq_inflate_whole(const unsigned char *packed, size_t packed_bytes, void *out, size_t bytes);
/* False when the build has no libdeflate: then nothing needs to be read for it. */
bool oq_inflate_whole_works(void);

#endif
