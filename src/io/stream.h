/* Bytes of a scan file in order, plain or gzip (told apart by content; several gzip members follow each other as one stream),
 * or from a place inside the file on where a header says so.
 * Truncated or damaged data is an error, never zeros. */
#ifndef OQ_IO_STREAM_H
#define OQ_IO_STREAM_H

#include "core/error.h"

#include <zlib.h>

typedef struct oq_stream oq_stream;

oq_status oq_stream_open(const char *path, oq_stream **out, oq_error *err);
void oq_stream_close(oq_stream *stream);
const char *oq_stream_path(const oq_stream *stream);
bool oq_stream_is_gzip(const oq_stream *stream); /* by its first bytes */
bool oq_stream_is_inflating(const oq_stream *stream);
uint64_t oq_stream_size(const oq_stream *stream);
/* Start over at byte `offset` of the file (at most its size): as it is, or through the gzip or zlib stream that begins there.
 * A freshly opened stream stands at 0, inflating when it is gzip. */
oq_status oq_stream_begin(oq_stream *stream, uint64_t offset, bool inflate, oq_error *err);
/* The most bytes that can come out: what is left of the file there, or what it could expand to. */
uint64_t oq_stream_capacity(const oq_stream *stream);
/* Up to `bytes`; *got is less only at the end of the stream. */
oq_status oq_stream_read(oq_stream *stream, void *buffer, size_t bytes, size_t *got, oq_error *err);
/* Of the file as it is: exactly `bytes` from `offset` behind the stream's begin; the place of oq_stream_read stays. Thread-safe. */
oq_status oq_stream_read_at(const oq_stream *stream, void *buffer, size_t bytes, uint64_t offset, oq_error *err);
/* Up to `bytes` are read and forgotten. */
oq_status oq_stream_pass(oq_stream *stream, uint64_t bytes, uint64_t *got, oq_error *err);
/* From a fresh begin of an inflating stream: it is decoded by what is faster than zlib. False: there is nothing faster here. What fails then says
 * nothing about why: begin again and read as usual, which also says what is wrong. */
bool oq_stream_hurry(oq_stream *stream);
/* From a fresh begin of an inflating stream, until the next: decoded by zlib block by block, each piece is shown to `watch` with the state of its
 * decoder (data_type as inflate describes it) and the place in the file that it has come to. */
typedef oq_status oq_stream_watcher(void *context, z_stream *z, uint64_t at, const unsigned char *bytes, size_t count, oq_error *err);
void oq_stream_watch(oq_stream *stream, oq_stream_watcher *watch, void *context);
/* True when bytes that belong to no gzip member follow the last one. */
bool oq_stream_has_garbage(const oq_stream *stream);

#endif
