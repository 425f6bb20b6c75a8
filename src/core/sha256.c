/* SHA-256. The block function has two forms: the SHA instructions of x86 where the processor has them (some ten times as
 * fast: packages of a gigabyte are hashed on every load) and plain C everywhere else. */
#include "core/sha256.h"
#include "sha256_block.h"

#include <string.h>

static const uint32_t initial[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au, 0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};

const uint32_t oq_sha256_rounds[64] = {
	0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u,
	0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u,
	0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
	0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u,
	0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u,
	0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
	0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
	0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u};

static uint32_t rotate(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static uint32_t load_big(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store_big(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

void oq_sha256_blocks_plain(uint32_t state[8], const unsigned char *data, size_t blocks)
{
	for (; blocks > 0; blocks--, data += 64) {
		uint32_t w[64], s[8];
		for (int t = 0; t < 16; t++)
			w[t] = load_big(data + 4 * t);
		for (int t = 16; t < 64; t++) {
			uint32_t a = w[t - 15], b = w[t - 2];
			w[t] = w[t - 16] + w[t - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
		}
		memcpy(s, state, sizeof s);
		for (int t = 0; t < 64; t++) {
			uint32_t e = s[4], a = s[0];
			uint32_t one = s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + oq_sha256_rounds[t] + w[t];
			uint32_t two = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
			memmove(s + 1, s, 7 * sizeof *s);
			s[4] += one;
			s[0] = one + two;
		}
		for (int i = 0; i < 8; i++)
			state[i] += s[i];
	}
}

static void run_blocks(uint32_t state[8], const unsigned char *data, size_t blocks)
{
#ifdef OQ_SHA256_X86
	if (oq_sha256_has_instructions()) {
		oq_sha256_blocks_x86(state, data, blocks);
		return;
	}
#endif
	oq_sha256_blocks_plain(state, data, blocks);
}

void oq_sha256_init(oq_sha256 *hash)
{
	*hash = (oq_sha256){0};
	memcpy(hash->state, initial, sizeof initial);
}

void oq_sha256_update(oq_sha256 *hash, const void *data, size_t bytes)
{
	const unsigned char *in = data;
	size_t used = hash->bytes % 64;
	hash->bytes += bytes;
	if (used) {
		size_t take = bytes < 64 - used ? bytes : 64 - used;
		memcpy(hash->block + used, in, take);
		in += take;
		bytes -= take;
		if (used + take < 64)
			return;
		run_blocks(hash->state, hash->block, 1);
	}
	run_blocks(hash->state, in, bytes / 64);
	memcpy(hash->block, in + bytes / 64 * 64, bytes % 64);
}

void oq_sha256_final(oq_sha256 *hash, unsigned char digest[32])
{
	uint64_t bits = hash->bytes * 8;
	unsigned char tail[72] = {0x80};
	size_t used = hash->bytes % 64, zeros = used < 56 ? 56 - used : 120 - used;
	store_big(tail + zeros, (uint32_t)(bits >> 32));
	store_big(tail + zeros + 4, (uint32_t)bits);
	oq_sha256_update(hash, tail, zeros + 8);
	for (int i = 0; i < 8; i++)
		store_big(digest + 4 * i, hash->state[i]);
}

void oq_sha256_hex(oq_sha256 *hash, char hex[65])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[32];
	oq_sha256_final(hash, digest);
	for (int i = 0; i < 32; i++) {
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 15];
	}
	hex[64] = 0;
}
