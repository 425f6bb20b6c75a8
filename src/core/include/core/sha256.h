/* SHA-256 (FIPS 180-4), with the processor's SHA instructions where it has them and a plain twin elsewhere. */
#ifndef OQ_CORE_SHA256_H
#define OQ_CORE_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct oq_sha256 {
	uint32_t state[8];
	uint64_t bytes;
	unsigned char block[64];
} oq_sha256;

void oq_sha256_init(oq_sha256 *hash);
void oq_sha256_update(oq_sha256 *hash, const void *data, size_t bytes);
void oq_sha256_final(oq_sha256 *hash, unsigned char digest[32]);
void oq_sha256_hex(oq_sha256 *hash, char hex[65]); /* finalises */

#endif
