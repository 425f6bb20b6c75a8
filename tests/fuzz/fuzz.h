/* What fuzz targets share: the entry point, and a private file for parsers that read files. */
#ifndef OQ_TESTS_FUZZ_H
#define OQ_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes the input to a file of this process and returns its path. */
static inline const char *fuzz_file(const uint8_t *data, size_t size, const char *suffix)
{
	static char path[128];
	snprintf(path, sizeof path, "/tmp/oq_fuzz_%ld%s", (long)getpid(), suffix);
	FILE *file = fopen(path, "wb");
	if (!file || fwrite(data, 1, size, file) != size || fclose(file))
		abort();
	return path;
}

#endif
