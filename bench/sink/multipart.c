/* Multipart uploads: of a part, only its size and CRC are remembered. */
#include "sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PARTS 10000

struct part {
    uint64_t size, crc;
};

struct upload {
    struct upload *next;
    uint64_t id;
    unsigned count;
    struct part parts[MOST_PARTS];
};

static struct upload *uploads;
static uint64_t last_id;

uint64_t multipart_create(void)
{
    /* calloc of this size maps zero pages: untouched parts take no memory. */
    struct upload *upload = calloc(1, sizeof *upload);
    if (!upload)
        abort();
    upload->id = ++last_id;
    upload->next = uploads;
    uploads = upload;
    return upload->id;
}

static struct upload **find(uint64_t id)
{
    struct upload **at = &uploads;
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

bool multipart_put(uint64_t id, unsigned number, const struct content *content)
{
    struct upload *upload = *find(id);
    if (!upload || number < 1 || number > MOST_PARTS)
        return false;
    upload->parts[number - 1] = (struct part){content->size, content->crc};
    if (number > upload->count)
        upload->count = number;
    return true;
}

bool multipart_finish(uint64_t id, uint64_t *crc)
{
    struct upload **at = find(id), *upload = *at;
    if (!upload)
        return false;
    *crc = 0;
    for (unsigned i = 0; i < upload->count; i++)
        *crc = crc64_join(*crc, upload->parts[i].crc, upload->parts[i].size);
    *at = upload->next;
    free(upload);
    return true;
}

/* The digests inside <tag>..</tag>, one after the other; returns how many, 0 if one is none. */
static size_t collect(const char *xml, const char *tag, uint8_t *digests, size_t size,
                      bool decode(const char *, uint8_t *, size_t))
{
    size_t count = 0;
    for (const char *at = strstr(xml, tag); at && count < MOST_PARTS; at = strstr(at, tag)) {
        at += strlen(tag);
        at += strspn(at, "\"");
        if (strncmp(at, "&quot;", 6) == 0 || strncmp(at, "&#34;", 5) == 0)
            at = strchr(at, ';') + 1;
        if (!decode(at, digests + count * size, size))
            return 0;
        count++;
    }
    return count;
}

bool multipart_etag(const char *xml, char *text, size_t size)
{
    static uint8_t digests[MOST_PARTS * MD5_SIZE];
    size_t count = collect(xml, "<ETag>", digests, MD5_SIZE, hex_decode);
    uint8_t digest[MD5_SIZE];
    char hex[2 * MD5_SIZE + 1];
    struct md5 md5;
    if (!count)
        return false;
    md5_begin(&md5);
    md5_feed(&md5, digests, count * MD5_SIZE);
    md5_end(&md5, digest);
    hex_encode(digest, MD5_SIZE, hex);
    snprintf(text, size, "%s-%zu", hex, count);
    return true;
}

bool multipart_sha256(const char *xml, char *text, size_t size)
{
    static uint8_t digests[MOST_PARTS * SHA256_SIZE];
    size_t count = collect(xml, "<ChecksumSHA256>", digests, SHA256_SIZE, base64_decode);
    uint8_t digest[SHA256_SIZE];
    char base64[SHA256_SIZE / 3 * 4 + 5];
    if (!count)
        return false;
    sha256(digests, count * SHA256_SIZE, digest);
    base64_encode(digest, SHA256_SIZE, base64);
    snprintf(text, size, "%s-%zu", base64, count);
    return true;
}
