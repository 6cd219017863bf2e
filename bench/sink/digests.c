/* CRC-64/XZ by sixteen tables, MD5 and SHA-256: no library's headers are needed to build this. */
#include "sink.h"

#include <string.h>

static const uint64_t POLYNOMIAL = 0xC96C5795D7870F42; /* ECMA-182, reflected */

static uint64_t table[16][256];

void crc64_prepare(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint64_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
        table[0][byte] = crc;
    }
    for (unsigned depth = 1; depth < 16; depth++)
        for (unsigned byte = 0; byte < 256; byte++) {
            uint64_t crc = table[depth - 1][byte];
            table[depth][byte] = (crc >> 8) ^ table[0][crc & 255];
        }
}

static uint64_t eight(uint64_t word, unsigned deepest)
{
    uint64_t crc = 0;
    for (unsigned byte = 0; byte < 8; byte++)
        crc ^= table[deepest - byte][(word >> (8 * byte)) & 255];
    return crc;
}

uint64_t crc64(uint64_t crc, const uint8_t *data, size_t size)
{
    crc = ~crc;
    for (; size >= 16; data += 16, size -= 16) {
        uint64_t words[2];
        memcpy(words, data, 16);
        crc = eight(words[0] ^ crc, 15) ^ eight(words[1], 7);
    }
    while (size--)
        crc = (crc >> 8) ^ table[0][(crc ^ *data++) & 255];
    return ~crc;
}

/* Polynomials over GF(2), modulo ours; the top bit is the constant term. */
static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t term = 1ULL << 63; term; term >>= 1) {
        if (a & term)
            product ^= b;
        b = b & 1 ? (b >> 1) ^ POLYNOMIAL : b >> 1;
    }
    return product;
}

uint64_t crc64_join(uint64_t first, uint64_t second, uint64_t second_size)
{
    uint64_t shift = 1ULL << 63, power = 1ULL << 55; /* 1, and x to the 8th: one byte */
    for (; second_size; second_size >>= 1) {
        if (second_size & 1)
            shift = times(shift, power);
        power = times(power, power);
    }
    return times(shift, first) ^ second;
}

static uint32_t left(uint32_t word, unsigned bits) { return word << bits | word >> (32 - bits); }
static uint32_t right(uint32_t word, unsigned bits) { return word >> bits | word << (32 - bits); }

static const uint32_t SINES[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static void md5_block(uint32_t state[4], const uint8_t *block)
{
    static const unsigned turns[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23},
                                         {6, 10, 15, 21}};
    uint32_t words[16], a = state[0], b = state[1], c = state[2], d = state[3];
    memcpy(words, block, 64);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t mix;
        unsigned word;
        switch (i / 16) {
        case 0: mix = (b & c) | (~b & d), word = i; break;
        case 1: mix = (d & b) | (~d & c), word = (5 * i + 1) % 16; break;
        case 2: mix = b ^ c ^ d, word = (3 * i + 5) % 16; break;
        default: mix = c ^ (b | ~d), word = 7 * i % 16;
        }
        mix += a + SINES[i] + words[word];
        a = d, d = c, c = b, b += left(mix, turns[i / 16][i % 4]);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
}

void md5_begin(struct md5 *md5)
{
    *md5 = (struct md5){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}};
}

void md5_feed(struct md5 *md5, const uint8_t *data, size_t size)
{
    size_t held = md5->size % 64;
    md5->size += size;
    if (held) {
        size_t wanted = 64 - held, taken = size < wanted ? size : wanted;
        memcpy(md5->block + held, data, taken);
        data += taken, size -= taken;
        if (held + taken == 64)
            md5_block(md5->state, md5->block);
    }
    for (; size >= 64; data += 64, size -= 64)
        md5_block(md5->state, data);
    if (size && md5->size % 64 == size)
        memcpy(md5->block, data, size);
}

void md5_end(struct md5 *md5, uint8_t digest[MD5_SIZE])
{
    static const uint8_t padding[64] = {0x80};
    uint64_t bits = md5->size * 8;
    md5_feed(md5, padding, (md5->size % 64 < 56 ? 56 : 120) - md5->size % 64);
    md5_feed(md5, (const uint8_t *)&bits, 8);
    memcpy(digest, md5->state, MD5_SIZE);
}

static const uint32_t ROOTS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static void sha256_block(uint32_t state[8], const uint8_t *block)
{
    uint32_t words[64], s[8];
    for (unsigned i = 0; i < 16; i++)
        words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                   (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (unsigned i = 16; i < 64; i++) {
        uint32_t a = words[i - 15], b = words[i - 2];
        words[i] = words[i - 16] + (right(a, 7) ^ right(a, 18) ^ a >> 3) + words[i - 7] +
                   (right(b, 17) ^ right(b, 19) ^ b >> 10);
    }
    memcpy(s, state, sizeof s);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t first = s[7] + (right(s[4], 6) ^ right(s[4], 11) ^ right(s[4], 25)) +
                         ((s[4] & s[5]) ^ (~s[4] & s[6])) + ROOTS[i] + words[i];
        uint32_t second = (right(s[0], 2) ^ right(s[0], 13) ^ right(s[0], 22)) +
                          ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += first, s[0] = first + second;
    }
    for (unsigned i = 0; i < 8; i++)
        state[i] += s[i];
}

void sha256(const uint8_t *data, size_t size, uint8_t digest[SHA256_SIZE])
{
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t last[128] = {0};
    size_t rest = size % 64, end = rest < 56 ? 64 : 128;
    uint64_t bits = (uint64_t)size * 8;
    for (size_t offset = 0; offset + 64 <= size; offset += 64)
        sha256_block(state, data + offset);
    memcpy(last, data + size - rest, rest);
    last[rest] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        last[end - 1 - i] = (uint8_t)(bits >> (8 * i));
    for (size_t offset = 0; offset < end; offset += 64)
        sha256_block(state, last + offset);
    for (unsigned i = 0; i < SHA256_SIZE; i++)
        digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}
