/* The two forms of SHA-256's block function. */
#ifndef OQ_CORE_SHA256_BLOCK_H
#define OQ_CORE_SHA256_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const uint32_t oq_sha256_rounds[64];
void oq_sha256_blocks_plain(uint32_t state[8], const unsigned char *data, size_t blocks);

#if defined(__x86_64__)
#define OQ_SHA256_X86 1
bool oq_sha256_has_instructions(void);
void oq_sha256_blocks_x86(uint32_t state[8], const unsigned char *data, size_t blocks);
#endif

#endif
