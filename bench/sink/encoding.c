/* Hex and base64, of digests only: sizes are known and small. */
#include "sink.h"

#include <string.h>

static const char HEX[] = "0123456789abcdef";
static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void hex_encode(const uint8_t *data, size_t size, char *text)
{
    for (size_t i = 0; i < size; i++) {
        *text++ = HEX[data[i] >> 4];
        *text++ = HEX[data[i] & 15];
    }
    *text = 0;
}

static int digit(char letter, const char *alphabet)
{
    const char *found = letter ? strchr(alphabet, letter) : NULL;
    return found ? (int)(found - alphabet) : -1;
}

bool hex_decode(const char *text, uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int high = digit((char)(text[2 * i] | 32), HEX);
        int low = high < 0 ? -1 : digit((char)(text[2 * i + 1] | 32), HEX);
        if (low < 0)
            return false;
        data[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void base64_encode(const uint8_t *data, size_t size, char *text)
{
    for (size_t i = 0; i < size; i += 3) {
        uint32_t word = (uint32_t)data[i] << 16;
        word |= i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0;
        word |= i + 2 < size ? data[i + 2] : 0;
        *text++ = BASE64[word >> 18];
        *text++ = BASE64[word >> 12 & 63];
        *text++ = i + 1 < size ? BASE64[word >> 6 & 63] : '=';
        *text++ = i + 2 < size ? BASE64[word & 63] : '=';
    }
    *text = 0;
}

bool base64_decode(const char *text, uint8_t *data, size_t size)
{
    uint32_t word = 0;
    unsigned bits = 0;
    for (size_t done = 0; done < size;) {
        int six = digit(*text++, BASE64);
        if (six < 0)
            return false;
        word = word << 6 | (uint32_t)six;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            data[done++] = (uint8_t)(word >> bits);
        }
    }
    return true;
}
