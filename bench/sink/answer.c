/* What a store would say. S3 and OSS differ in a namespace and in which checksum they give. */
#include "sink.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XMLNS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static struct {
    uint64_t requests, objects, bytes;
} counts;

struct answer {
    char *text;
    char headers[ECHO_SIZE + 512];
    size_t headers_size;
    char body[4096];
};

static void add(struct answer *answer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof answer->headers - answer->headers_size;
    int wrote = vsnprintf(answer->headers + answer->headers_size, room, format, arguments);
    va_end(arguments);
    answer->headers_size += (size_t)wrote < room ? (size_t)wrote : room - 1;
}

static size_t finish(struct answer *answer, const struct request *request, const char *status)
{
    static uint64_t number;
    bool bodiless = strcmp(request->method, "HEAD") == 0 || strncmp(status, "204", 3) == 0;
    const char *vendor = request->oss ? "oss" : "amz";
    int size = snprintf(answer->text, ANSWER_SIZE,
                        "HTTP/1.1 %s\r\nx-%s-request-id: %016llX\r\n%s%s%.*sContent-Length: %zu\r\n"
                        "\r\n%s",
                        status, vendor, (unsigned long long)++number,
                        *answer->body ? "Content-Type: application/xml\r\n" : "",
                        request->closes ? "Connection: close\r\n" : "",
                        (int)answer->headers_size, answer->headers, strlen(answer->body),
                        bodiless ? "" : answer->body);
    return (size_t)size;
}

static size_t not_found(struct answer *answer, const struct request *request, const char *code)
{
    snprintf(answer->body, sizeof answer->body, "<Error><Code>%s</Code></Error>", code);
    return finish(answer, request, "404 Not Found");
}

static size_t stored(struct answer *answer, const struct request *request,
                     const struct content *content)
{
    char etag[2 * MD5_SIZE + 1];
    hex_encode(content->md5, MD5_SIZE, etag);
    add(answer, "ETag: \"%s\"\r\n%.*s", etag, (int)request->echo_size, request->echo);
    if (request->oss)
        add(answer, "x-oss-hash-crc64ecma: %llu\r\n", (unsigned long long)content->crc);
    return finish(answer, request, "200 OK");
}

static size_t begun(struct answer *answer, const struct request *request)
{
    snprintf(answer->body, sizeof answer->body,
             "<InitiateMultipartUploadResult%s><Bucket>bench</Bucket><Key>key</Key>"
             "<UploadId>%llu</UploadId></InitiateMultipartUploadResult>",
             request->oss ? "" : XMLNS, (unsigned long long)multipart_create());
    return finish(answer, request, "200 OK");
}

static size_t completed(struct answer *answer, const struct request *request, uint64_t id,
                        const char *xml)
{
    char etag[64] = "none", digest[64] = "", checksum[192] = "";
    uint64_t crc;
    if (!multipart_finish(id, &crc))
        return not_found(answer, request, "NoSuchUpload");
    multipart_etag(xml, etag, sizeof etag);
    if (multipart_sha256(xml, digest, sizeof digest))
        snprintf(checksum, sizeof checksum,
                 "<ChecksumSHA256>%s</ChecksumSHA256><ChecksumType>COMPOSITE</ChecksumType>",
                 digest);
    if (request->oss)
        add(answer, "ETag: \"%s\"\r\nx-oss-hash-crc64ecma: %llu\r\n", etag,
            (unsigned long long)crc);
    snprintf(answer->body, sizeof answer->body,
             "<CompleteMultipartUploadResult%s><Location>http://127.0.0.1/</Location>"
             "<Bucket>bench</Bucket><Key>key</Key><ETag>&quot;%s&quot;</ETag>%s"
             "</CompleteMultipartUploadResult>",
             request->oss ? "" : XMLNS, etag, checksum);
    return finish(answer, request, "200 OK");
}

static size_t listed(struct answer *answer, const struct request *request)
{
    const char *name = request_query(request, "uploadId") ? "ListPartsResult" : "ListBucketResult";
    if (!request_query(request, "uploadId") && !request_query(request, "list-type") &&
        !request_query(request, "prefix"))
        return not_found(answer, request, "NoSuchKey");
    snprintf(answer->body, sizeof answer->body,
             "<%s%s><Name>bench</Name><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys>"
             "<NextPartNumberMarker>0</NextPartNumberMarker><IsTruncated>false</IsTruncated></%s>",
             name, request->oss ? "" : XMLNS, name);
    return finish(answer, request, "200 OK");
}

static size_t counted(struct answer *answer, const struct request *request)
{
    snprintf(answer->body, sizeof answer->body,
             "{\"requests\": %llu, \"objects\": %llu, \"bytes\": %llu}",
             (unsigned long long)counts.requests, (unsigned long long)counts.objects,
             (unsigned long long)counts.bytes);
    return finish(answer, request, "200 OK");
}

static size_t put(struct answer *answer, const struct request *request,
                  const struct content *content, const char *upload)
{
    const char *number = request_query(request, "partNumber");
    if (!upload)
        counts.objects++;
    else if (!multipart_put(strtoull(upload, NULL, 10), number ? (unsigned)atoi(number) : 0,
                            content))
        return not_found(answer, request, "NoSuchUpload");
    return stored(answer, request, content);
}

static size_t post(struct answer *answer, const struct request *request, const char *upload,
                   const char *xml)
{
    if (!upload)
        return begun(answer, request);
    counts.objects++;
    return completed(answer, request, strtoull(upload, NULL, 10), xml);
}

static size_t deleted(struct answer *answer, const struct request *request, const char *upload)
{
    uint64_t crc;
    if (upload)
        multipart_finish(strtoull(upload, NULL, 10), &crc);
    return finish(answer, request, "204 No Content");
}

size_t answer_write(char text[ANSWER_SIZE], const struct request *request,
                    const struct content *content, const char *xml)
{
    static struct answer answer;
    const char *method = request->method, *upload = request_query(request, "uploadId");
    answer.text = text;
    answer.headers_size = 0;
    answer.body[0] = 0;
    if (strcmp(request->target, "/-/counts") == 0)
        return counted(&answer, request);
    counts.requests++;
    counts.bytes += content->size;
    if (strcmp(method, "PUT") == 0)
        return put(&answer, request, content, upload);
    if (strcmp(method, "POST") == 0)
        return post(&answer, request, upload, xml);
    if (strcmp(method, "DELETE") == 0)
        return deleted(&answer, request, upload);
    if (strcmp(method, "GET") == 0)
        return listed(&answer, request);
    return not_found(&answer, request, "NoSuchKey");
}
