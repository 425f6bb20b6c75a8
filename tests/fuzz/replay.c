/* Replays a corpus: every file as it is, then deterministic mutations of it (bits, bytes, runs, truncations, insertions).
 * usage: fuzz_NAME FOLDER MUTATIONS_PER_FILE. A crash or a sanitizer report is the failure. */
#define _DEFAULT_SOURCE
#include "fuzz.h"

#include <dirent.h>
#include <string.h>

#define ROOM (1 << 20)

static uint64_t state = 88172645463325252u;

static size_t pick(size_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return below ? (size_t)(state % below) : 0;
}

static size_t mutate(uint8_t *data, size_t size)
{
	static const uint8_t interesting[] = {0, 1, 0x7f, 0x80, 0xff, '"', '{', '[', ',', '\n'};
	for (size_t edits = 1 + pick(4); edits > 0 && size > 0; edits--) {
		size_t at = pick(size);
		switch (pick(6)) {
		case 0: data[at] ^= (uint8_t)(1u << pick(8)); break;
		case 1: data[at] = interesting[pick(sizeof interesting)]; break;
		case 2: data[at] = (uint8_t)pick(256); break;
		case 3: size = at; break;
		case 4: memset(data + at, interesting[pick(sizeof interesting)], pick(size - at < 16 ? size - at : 16)); break;
		default:
			if (size + 1 < ROOM) {
				memmove(data + at + 1, data + at, size - at);
				data[at] = (uint8_t)pick(256);
				size++;
			}
		}
	}
	return size;
}

static int replay(const char *path, long mutations)
{
	static uint8_t original[ROOM], changed[ROOM];
	FILE *file = fopen(path, "rb");
	if (!file)
		return 0;
	size_t size = fread(original, 1, ROOM, file);
	fclose(file);
	LLVMFuzzerTestOneInput(original, size);
	for (long i = 0; i < mutations; i++) {
		memcpy(changed, original, size);
		LLVMFuzzerTestOneInput(changed, mutate(changed, size));
	}
	return 1;
}

int main(int argc, char **argv)
{
	int files = 0;
	DIR *folder = argc == 3 ? opendir(argv[1]) : NULL;
	if (!folder)
		return 2;
	for (struct dirent *entry; (entry = readdir(folder));) {
		char path[1024];
		snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
		if (entry->d_name[0] != '.')
			files += replay(path, atol(argv[2]));
	}
	closedir(folder);
	printf("%d files, %ld mutations each\n", files, atol(argv[2]));
	return files ? 0 : 1;
}
