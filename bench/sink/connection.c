/* One client: reads a request at a time, computes of its body what the answer needs. */
#define _GNU_SOURCE
#include "sink.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK_SIZE (1 << 20)

bool wants_md5;

static bool is_post(const struct connection *c) { return strcmp(c->request.method, "POST") == 0; }

static void take(void *owner, const uint8_t *data, size_t size)
{
    struct connection *c = owner;
    c->content.size += size;
    if (c->request.oss)
        c->content.crc = crc64(c->content.crc, data, size);
    if (wants_md5)
        md5_feed(&c->md5, data, size);
    if (is_post(c)) {
        c->kept = realloc(c->kept, c->kept_size + size + 1);
        memcpy(c->kept + c->kept_size, data, size);
        c->kept_size += size;
        c->kept[c->kept_size] = 0;
    }
}

static void take_decoded(void *owner, const uint8_t *data, size_t size)
{
    struct connection *c = owner;
    if (c->request.aws_chunked)
        chunks_feed(&c->inner, data, size, take, c);
    else
        take(c, data, size);
}

/* Feed body bytes; returns how many belonged to the body. */
static size_t feed(struct connection *c, const uint8_t *data, size_t size)
{
    if (c->request.chunked)
        return chunks_feed(&c->outer, data, size, take_decoded, c);
    size = size < c->left ? size : (size_t)c->left;
    take_decoded(c, data, size);
    c->left -= size;
    return size;
}

static bool is_whole(const struct connection *c)
{
    return c->request.chunked ? c->outer.state == CHUNKS_DONE : c->left == 0;
}

static bool begin(struct connection *c)
{
    char *end = memmem(c->head, c->head_size, "\r\n\r\n", 4);
    if (!end)
        return false;
    size_t size = (size_t)(end - c->head) + 4;
    if (!request_parse(&c->request, c->head, size))
        c->request.closes = true;
    c->state = BODY;
    c->left = c->request.length;
    c->content = (struct content){0};
    c->outer = c->inner = (struct chunks){0};
    c->kept_size = 0;
    md5_begin(&c->md5);
    if (c->request.expects)
        send(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
    size_t used = size + feed(c, (uint8_t *)c->head + size, c->head_size - size);
    c->head_size -= used;
    memmove(c->head, c->head + used, c->head_size);
    return true;
}

static ssize_t receive_head(struct connection *c)
{
    ssize_t size = recv(c->fd, c->head + c->head_size, HEAD_SIZE - c->head_size, 0);
    c->head_size += size > 0 ? (size_t)size : 0;
    return size;
}

static ssize_t receive_body(struct connection *c)
{
    static uint8_t block[BLOCK_SIZE];
    size_t most = c->request.chunked || c->left > BLOCK_SIZE ? BLOCK_SIZE : (size_t)c->left;
    ssize_t size = recv(c->fd, block, most, 0);
    if (size <= 0)
        return size;
    size_t used = feed(c, block, (size_t)size), rest = (size_t)size - used;
    if (rest > HEAD_SIZE)
        return 0; /* nobody pipelines that much */
    memcpy(c->head, block + used, rest);
    c->head_size = rest;
    return size;
}

/* Nothing is computed of these bytes: the kernel drops them without a copy. */
static ssize_t discard_body(struct connection *c)
{
    ssize_t size = recv(c->fd, NULL, c->left > BLOCK_SIZE ? BLOCK_SIZE : (size_t)c->left, MSG_TRUNC);
    c->left -= size > 0 ? (uint64_t)size : 0;
    c->content.size += size > 0 ? (uint64_t)size : 0;
    return size;
}

static ssize_t receive(struct connection *c)
{
    if (c->state == HEAD)
        return receive_head(c);
    bool coded = c->request.chunked || c->request.aws_chunked;
    return coded || c->request.oss || wants_md5 || is_post(c) ? receive_body(c) : discard_body(c);
}

static void echo_trailer(struct connection *c, const struct chunks *chunks)
{
    const char *line = chunks->trailer, *end = line + chunks->trailer_size;
    while (line < end) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        next = next ? next : end;
        request_echo(&c->request, line, (size_t)(next - line));
        line = next + 1;
    }
}

static void answer(struct connection *c)
{
    static uint64_t number;
    number++;
    echo_trailer(c, &c->outer);
    echo_trailer(c, &c->inner);
    if (wants_md5)
        md5_end(&c->md5, c->content.md5);
    else
        memcpy(c->content.md5, &number, sizeof number); /* an ETag need only look like one */
    c->answer_size =
        answer_write(c->answer, &c->request, &c->content, c->kept_size ? c->kept : "");
    c->state = WHOLE;
}

enum progress connection_read(struct connection *c)
{
    while (c->state != WHOLE) {
        if (c->state == HEAD && c->head_size && !begin(c) && c->head_size == HEAD_SIZE)
            return GONE;
        if (c->state == BODY && is_whole(c)) {
            answer(c);
            return ANSWERED;
        }
        ssize_t size = receive(c);
        if (size < 0 && errno == EAGAIN)
            return BLOCKED;
        if (size <= 0)
            return GONE;
    }
    return BLOCKED;
}

bool connection_reply(struct connection *c)
{
    ssize_t size = send(c->fd, c->answer, c->answer_size, MSG_NOSIGNAL);
    c->state = HEAD;
    return size == (ssize_t)c->answer_size && !c->request.closes;
}

struct connection *connection_open(int fd)
{
    int on = 1;
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->fd = fd;
    return c;
}

void connection_close(struct connection *c)
{
    close(c->fd);
    free(c->kept);
    free(c);
}
