// What the echo server reads: HTTP/1.x requests that may be cut anywhere. No sockets here.
#ifndef ECHO_REQUEST_H
#define ECHO_REQUEST_H

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { REQUEST_MOST_BYTES = 16384 }; // head and body together; what is larger is answered by 413

typedef enum { WHOLE, PARTIAL, BAD, TOO_LARGE } Parsed;

typedef struct {
    const char *data;
    size_t bytes;
} Slice;

typedef struct {
    size_t total_bytes; // from the first byte of the head to the last of the body; set when WHOLE
    size_t content_bytes;
    bool is_post, is_delete, is_http_1_0, keep_alive, is_chunked;
    Slice body; // valid until the next request is parsed
} Request;

static bool starts_with(Slice text, const char *prefix)
{
    size_t bytes = strlen(prefix);
    return text.bytes >= bytes && memcmp(text.data, prefix, bytes) == 0;
}

static bool equals(Slice text, const char *other)
{
    return text.bytes == strlen(other) && memcmp(text.data, other, text.bytes) == 0;
}

// Takes the line at *at without its CRLF and moves on behind it; false where its end has not come yet.
static bool take_line(const char **at, const char *end, Slice *line)
{
    const char *feed = memchr(*at, '\n', (size_t)(end - *at));
    if (!feed)
        return false;
    size_t bytes = (size_t)(feed - *at);
    *line = (Slice){*at, bytes > 0 && feed[-1] == '\r' ? bytes - 1 : bytes};
    *at = feed + 1;
    return true;
}

// Reads digits until something else comes. A number that no request may have stays just above the limit.
static Parsed parse_number(Slice text, size_t base, size_t *number)
{
    size_t digits = 0;
    for (*number = 0; digits < text.bytes; digits++) {
        static const char values[] = "0123456789abcdef";
        const char *value = memchr(values, tolower((unsigned char)text.data[digits]), base);
        if (!value)
            break;
        *number = *number * base + (size_t)(value - values);
        if (*number > REQUEST_MOST_BYTES)
            return TOO_LARGE;
    }
    return digits > 0 ? WHOLE : BAD;
}

// The value of a header line if the line has this name (lower case, with its colon).
static bool header_value(Slice line, const char *name, Slice *value)
{
    size_t bytes = strlen(name);
    if (line.bytes < bytes || strncasecmp(line.data, name, bytes) != 0)
        return false;
    while (bytes < line.bytes && (line.data[bytes] == ' ' || line.data[bytes] == '\t'))
        bytes++;
    *value = (Slice){line.data + bytes, line.bytes - bytes};
    return true;
}

static Parsed parse_head(const char **at, const char *end, Request *request)
{
    Slice line, value;
    if (!take_line(at, end, &line))
        return PARTIAL;
    if (line.bytes < strlen("HTTP/1.x") || memcmp(line.data + line.bytes - 8, "HTTP/1.", 7) != 0)
        return BAD;
    request->is_post = starts_with(line, "POST ");
    request->is_delete = starts_with(line, "DELETE ");
    request->is_http_1_0 = line.data[line.bytes - 1] == '0';
    request->keep_alive = !request->is_http_1_0;
    while (take_line(at, end, &line)) {
        Parsed parsed = WHOLE;
        if (line.bytes == 0)
            return WHOLE;
        if (header_value(line, "content-length:", &value))
            parsed = parse_number(value, 10, &request->content_bytes);
        else if (header_value(line, "transfer-encoding:", &value))
            request->is_chunked = true;
        else if (header_value(line, "connection:", &value))
            request->keep_alive = value.bytes != 5 || strncasecmp(value.data, "close", 5) != 0;
        if (parsed != WHOLE)
            return parsed;
    }
    return PARTIAL;
}

// Joins the chunks of a body, which all came within one request's bound, and skips the trailers.
static Parsed join_chunks(const char **at, const char *end, Slice *body)
{
    static char joined[REQUEST_MOST_BYTES];
    Slice line;
    size_t chunk_bytes, joined_bytes = 0;
    do {
        if (!take_line(at, end, &line))
            return PARTIAL;
        Parsed parsed = parse_number(line, 16, &chunk_bytes);
        if (parsed != WHOLE)
            return parsed;
        if (chunk_bytes > 0) {
            if ((size_t)(end - *at) < chunk_bytes)
                return PARTIAL;
            memcpy(joined + joined_bytes, *at, chunk_bytes); // never more than what came, so it fits
            joined_bytes += chunk_bytes;
            *at += chunk_bytes;
            if (!take_line(at, end, &line))
                return PARTIAL;
            if (line.bytes > 0)
                return BAD;
        }
    } while (chunk_bytes > 0);
    do {
        if (!take_line(at, end, &line))
            return PARTIAL;
    } while (line.bytes > 0);
    *body = (Slice){joined, joined_bytes};
    return WHOLE;
}

// Parses the first request in what came so far; at most REQUEST_MOST_BYTES.
static Parsed parse_request(Slice input, Request *request)
{
    const char *at = input.data, *end = input.data + input.bytes;
    *request = (Request){0};
    Parsed parsed = parse_head(&at, end, request);
    if (parsed == WHOLE && request->is_chunked) {
        parsed = join_chunks(&at, end, &request->body);
    } else if (parsed == WHOLE) {
        if ((size_t)(at - input.data) + request->content_bytes > REQUEST_MOST_BYTES)
            return TOO_LARGE;
        if ((size_t)(end - at) < request->content_bytes)
            return PARTIAL;
        request->body = (Slice){at, request->content_bytes};
        at += request->content_bytes;
    }
    request->total_bytes = (size_t)(at - input.data);
    return parsed == PARTIAL && input.bytes == REQUEST_MOST_BYTES ? TOO_LARGE : parsed;
}

#endif
