// What the echo server says: one whole HTTP answer for one request. No sockets here.
#ifndef ECHO_ANSWER_H
#define ECHO_ANSWER_H

#include <stdio.h>

#include "echo_request.h"

enum { ID_MOST_BYTES = 128, MESSAGE_MOST_BYTES = 512, ANSWER_MOST_BYTES = 1024 };

typedef enum { MODE_JSON, MODE_SSE } Mode;

// Just behind the quote that ends the string which begins at `at`, or `end` where none does.
static const char *string_end(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '"')
            return at + 1;
        if (*at == '\\')
            at++;
    }
    return end;
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && strchr(" \t\r\n", *at) && *at)
        at++;
    return at;
}

// A string, number or literal of JSON as it stands in the text.
static Slice scalar_at(const char *at, const char *end)
{
    const char *begin = at;
    if (at < end && *at == '"')
        at = string_end(at, end);
    else
        while (at < end && !strchr("{[,}] \t\r\n", *at))
            at++;
    return (Slice){begin, (size_t)(at - begin)};
}

// The member of this name (given in its quotes) of the outermost object; empty where there is none.
static Slice member(Slice json, const char *quoted_name)
{
    const char *at = json.data, *end = json.data + json.bytes;
    int depth = 0;
    while (at < end) {
        if (*at != '"') {
            depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
            at++;
            continue;
        }
        Slice name = {at, (size_t)(string_end(at, end) - at)};
        at += name.bytes;
        const char *colon = skip_space(at, end);
        if (depth == 1 && colon < end && *colon == ':' && equals(name, quoted_name))
            return scalar_at(skip_space(colon + 1, end), end);
    }
    return (Slice){0};
}

static const char *result_for(Slice method)
{
    if (equals(method, "\"initialize\""))
        return "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}},"
               "\"serverInfo\":{\"name\":\"echo\",\"version\":\"1\"}}";
    if (equals(method, "\"tools/list\""))
        return "{\"tools\":[{\"name\":\"list_databases\",\"description\":\"The names of the databases.\","
               "\"inputSchema\":{\"type\":\"object\",\"properties\":{}},\"annotations\":{\"readOnlyHint\":true}}]}";
    return "{\"content\":[{\"type\":\"text\",\"text\":\"[\\\"main\\\",\\\"analytics\\\",\\\"staging\\\"]\"}],"
           "\"isError\":false}";
}

static const char *connection_header(const Request *request)
{
    if (!request->keep_alive)
        return "Connection: close\r\n";
    return request->is_http_1_0 ? "Connection: keep-alive\r\n" : "";
}

// Each of the writers below returns the bytes it wrote to `out`, which has room for ANSWER_MOST_BYTES.

static size_t write_empty(char *out, const Request *request, const char *status)
{
    return (size_t)snprintf(out, ANSWER_MOST_BYTES, "HTTP/1.1 %s\r\n%sContent-Length: 0\r\n\r\n", status,
                            connection_header(request));
}

static size_t write_json(char *out, const Request *request, const char *session, const char *message, int bytes)
{
    return (size_t)snprintf(out, ANSWER_MOST_BYTES,
                            "HTTP/1.1 200 OK\r\n%s%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                            connection_header(request), session, bytes, message);
}

static size_t write_event(char *out, const Request *request, const char *session, const char *message, int bytes)
{
    int event_bytes = (int)strlen("event: message\ndata: \n\n") + bytes;
    char length[64], chunk[16] = "";
    if (request->is_http_1_0) { // which has no chunks
        snprintf(length, sizeof length, "Content-Length: %d", event_bytes);
    } else {
        snprintf(length, sizeof length, "Transfer-Encoding: chunked");
        snprintf(chunk, sizeof chunk, "%x\r\n", (unsigned)event_bytes);
    }
    return (size_t)snprintf(out, ANSWER_MOST_BYTES,
                            "HTTP/1.1 200 OK\r\n%s%sContent-Type: text/event-stream\r\n%s\r\n\r\n"
                            "%sevent: message\ndata: %s\n\n%s",
                            connection_header(request), session, length, chunk, message,
                            request->is_http_1_0 ? "" : "\r\n0\r\n\r\n");
}

static size_t write_answer(char *out, const Request *request, Mode mode)
{
    if (request->is_delete)
        return write_empty(out, request, "200 OK");
    if (!request->is_post)
        return write_empty(out, request, "405 Method Not Allowed");
    Slice id = member(request->body, "\"id\""), method = member(request->body, "\"method\"");
    if (id.bytes == 0) // a notification
        return write_empty(out, request, "202 Accepted");
    if (id.bytes > ID_MOST_BYTES)
        return write_empty(out, request, "400 Bad Request");
    char message[MESSAGE_MOST_BYTES];
    int bytes = snprintf(message, sizeof message, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":%s}", (int)id.bytes,
                         id.data, result_for(method));
    const char *session = equals(method, "\"initialize\"") ? "Mcp-Session-Id: 1\r\n" : "";
    return (mode == MODE_SSE ? write_event : write_json)(out, request, session, message, bytes);
}

#endif
