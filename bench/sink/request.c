/* The head of a request: only what the answer depends on. */
#define _GNU_SOURCE
#include "sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char CHECKSUM[] = "x-amz-checksum-";

void request_echo(struct request *request, const char *line, size_t size)
{
    size_t prefix = sizeof CHECKSUM - 1;
    if (size <= prefix || strncasecmp(line, CHECKSUM, prefix) != 0)
        return;
    if (strncasecmp(line + prefix, "mode", 4) == 0 || request->echo_size + size + 2 > ECHO_SIZE)
        return;
    memcpy(request->echo + request->echo_size, line, size);
    memcpy(request->echo + request->echo_size + size, "\r\n", 2);
    request->echo_size += size + 2;
}

static bool is(const char *name, size_t size, const char *expected)
{
    return size == strlen(expected) && strncasecmp(name, expected, size) == 0;
}

static void header(struct request *request, char *line, size_t size)
{
    char *colon = memchr(line, ':', size);
    if (!colon)
        return;
    size_t name = (size_t)(colon - line);
    const char *value = colon + 1;
    line[size] = 0; /* the CR: each value ends as a string */
    value += strspn(value, " \t");
    if (is(line, name, "content-length"))
        request->length = strtoull(value, NULL, 10);
    else if (is(line, name, "transfer-encoding"))
        request->chunked = strcasestr(value, "chunked") != NULL;
    else if (is(line, name, "content-encoding"))
        request->aws_chunked |= strcasestr(value, "aws-chunked") != NULL;
    else if (is(line, name, "x-amz-content-sha256"))
        request->aws_chunked |= strncmp(value, "STREAMING-", 10) == 0;
    else if (is(line, name, "expect"))
        request->expects = true;
    else if (is(line, name, "connection"))
        request->closes = strcasestr(value, "close") != NULL;
    else if (is(line, name, "authorization"))
        request->oss = strncmp(value, "OSS", 3) == 0;
    else
        request_echo(request, line, size);
}

bool request_parse(struct request *request, char *head, size_t size)
{
    char *end = head + size, *line = memchr(head, '\n', size);
    *request = (struct request){0};
    if (!line || sscanf(head, "%7s %2047s", request->method, request->target) != 2)
        return false;
    for (line++; line < end; line++) {
        char *next = memchr(line, '\r', (size_t)(end - line));
        if (!next || next == line)
            break;
        header(request, line, (size_t)(next - line));
        line = next + 1;
    }
    return true;
}

const char *request_query(const struct request *request, const char *name)
{
    size_t size = strlen(name);
    const char *pair = strchr(request->target, '?');
    for (; pair; pair = strchr(pair, '&')) {
        pair++;
        if (strncmp(pair, name, size) != 0)
            continue;
        if (pair[size] == '=')
            return pair + size + 1;
        if (pair[size] == 0 || pair[size] == '&')
            return "";
    }
    return NULL;
}
