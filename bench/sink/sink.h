/* A server that takes objects by HTTP, proves that it got them, and keeps nothing. */
#ifndef SINK_H
#define SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- digests.c --- */

#define MD5_SIZE 16
#define SHA256_SIZE 32

struct md5 {
    uint32_t state[4];
    uint64_t size;
    uint8_t block[64];
};

void crc64_prepare(void);
/* CRC-64/XZ of `data` appended to what gave `crc`; 0 begins. */
uint64_t crc64(uint64_t crc, const uint8_t *data, size_t size);
/* The CRC of two contents, one after the other, from the CRC of each. */
uint64_t crc64_join(uint64_t first, uint64_t second, uint64_t second_size);
void md5_begin(struct md5 *md5);
void md5_feed(struct md5 *md5, const uint8_t *data, size_t size);
void md5_end(struct md5 *md5, uint8_t digest[MD5_SIZE]);
void sha256(const uint8_t *data, size_t size, uint8_t digest[SHA256_SIZE]);

/* --- encoding.c --- */

void hex_encode(const uint8_t *data, size_t size, char *text);
bool hex_decode(const char *text, uint8_t *data, size_t size);
void base64_encode(const uint8_t *data, size_t size, char *text);
bool base64_decode(const char *text, uint8_t *data, size_t size);

/* --- chunks.c --- */

typedef void chunk_taker(void *owner, const uint8_t *data, size_t size);

/* HTTP's chunked coding and S3's aws-chunked have one grammar, so one reader does for both. */
struct chunks {
    enum { CHUNK_SIZE, CHUNK_LINE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER, CHUNKS_DONE } state;
    uint64_t left;
    size_t trailer_size;
    char trailer[512];
};

/* Feed bytes; data goes to `take`. Returns how many belonged to the chunks. */
size_t chunks_feed(struct chunks *chunks, const uint8_t *data, size_t size, chunk_taker *take,
                   void *owner);

/* --- request.c --- */

#define TARGET_SIZE 2048
#define ECHO_SIZE 1024

struct request {
    char method[8];
    char target[TARGET_SIZE];
    char echo[ECHO_SIZE]; /* the x-amz-checksum-* headers, as lines to answer with */
    size_t echo_size;
    uint64_t length;
    bool chunked, aws_chunked, expects, closes, oss;
};

/* Parse a whole head, its empty line included; false if it is none. */
bool request_parse(struct request *request, char *head, size_t size);
/* Append the header line to the echo if it is a checksum. */
void request_echo(struct request *request, const char *line, size_t size);
/* The value of a query parameter, or NULL; an empty string if it has no value. */
const char *request_query(const struct request *request, const char *name);

/* --- multipart.c --- */

/* What is known of a body that was discarded. */
struct content {
    uint64_t size;
    uint64_t crc;
    uint8_t md5[MD5_SIZE];
};

uint64_t multipart_create(void);
/* Remember a part's size and CRC; false for an upload that does not exist. */
bool multipart_put(uint64_t id, unsigned number, const struct content *content);
/* The CRC of all parts in order; the upload is over. */
bool multipart_finish(uint64_t id, uint64_t *crc);
/* Digests of digests, from the parts that the Complete names: `text` gets "<digest>-<count>". */
bool multipart_etag(const char *xml, char *text, size_t size);
bool multipart_sha256(const char *xml, char *text, size_t size);

/* --- answer.c --- */

#define ANSWER_SIZE 8192

/* Write the whole answer to `text`; returns its length. `xml` is the body of a POST. */
size_t answer_write(char text[ANSWER_SIZE], const struct request *request,
                    const struct content *content, const char *xml);

/* --- connection.c --- */

#define HEAD_SIZE 16384

struct connection {
    int fd;
    enum { HEAD, BODY, WHOLE } state;
    char head[HEAD_SIZE];
    size_t head_size;
    struct request request;
    uint64_t left;
    struct chunks outer, inner;
    struct content content;
    struct md5 md5;
    char *kept; /* the body of a POST */
    size_t kept_size;
    char answer[ANSWER_SIZE];
    size_t answer_size;
    uint64_t due; /* when to answer, while it waits for that */
    struct connection *next;
};

extern bool wants_md5;

struct connection *connection_open(int fd);
void connection_close(struct connection *c);
/* Read on: until nothing more is there, until a request is whole and its answer written down, or
 * until the client has gone. */
enum progress { BLOCKED, ANSWERED, GONE } connection_read(struct connection *c);
/* Send the answer; false if the connection is over. */
bool connection_reply(struct connection *c);

#endif
