/* The chunked coding: size in hex, extensions, data, and lines of trailer at the end. */
#include "sink.h"

static void size_digit(struct chunks *chunks, uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        chunks->left = chunks->left * 16 + byte - '0';
    else if ((byte | 32) >= 'a' && (byte | 32) <= 'f')
        chunks->left = chunks->left * 16 + (byte | 32) - 'a' + 10;
    else
        chunks->state = CHUNK_LINE;
}

static void trailer_byte(struct chunks *chunks, uint8_t byte)
{
    bool room = chunks->trailer_size < sizeof chunks->trailer;
    size_t size = chunks->trailer_size;
    if (byte == '\n' && (size == 0 || chunks->trailer[size - 1] == '\n'))
        chunks->state = CHUNKS_DONE;
    else if (byte != '\r' && room)
        chunks->trailer[chunks->trailer_size++] = (char)byte;
}

static void control_byte(struct chunks *chunks, uint8_t byte)
{
    if (chunks->state == CHUNK_SIZE)
        size_digit(chunks, byte);
    if (chunks->state == CHUNK_LINE && byte == '\n')
        chunks->state = chunks->left ? CHUNK_DATA : CHUNK_TRAILER;
    else if (chunks->state == CHUNK_END && byte == '\n')
        chunks->state = CHUNK_SIZE;
    else if (chunks->state == CHUNK_TRAILER)
        trailer_byte(chunks, byte);
}

size_t chunks_feed(struct chunks *chunks, const uint8_t *data, size_t size, chunk_taker *take,
                   void *owner)
{
    size_t used = 0;
    while (used < size && chunks->state != CHUNKS_DONE) {
        if (chunks->state != CHUNK_DATA) {
            control_byte(chunks, data[used++]);
            continue;
        }
        size_t span = size - used < chunks->left ? size - used : (size_t)chunks->left;
        take(owner, data + used, span);
        used += span;
        chunks->left -= span;
        if (!chunks->left)
            chunks->state = CHUNK_END;
    }
    return used;
}
