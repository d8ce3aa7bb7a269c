// The server under the benchmark: echoes the id of every JSON-RPC request after an exact delay.
//
//     echo PORT DELAY_MS [json|sse]
//
// One thread, loopback only; port 0 takes a free one. "port N" is printed once it listens; SIGTERM ends it.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "echo_answer.h"
#include "echo_waiting.h"

enum {
    CONNECTIONS_MOST = 4096, // also the highest file descriptor
    OUT_BYTES = 16384,
    EVENTS_MOST = 256,
};

// out: [0, sent) is gone, [sent, released) may go, [released, filled) waits for its time.
typedef struct {
    unsigned generation; // counts the connections that had this file descriptor
    bool is_open, is_last_answered, is_shut, wants_read, wants_write;
    size_t in_bytes, sent, released, filled;
    char in[REQUEST_MOST_BYTES];
    char out[OUT_BYTES];
} Connection;

static Connection *connections[CONNECTIONS_MOST]; // by file descriptor; kept for the next one that has it
static int64_t delay_ns;
static int epoll_fd, listen_fd, timer_fd;
static Mode mode;

static void watch(int fd, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    epoll_ctl(epoll_fd, operation, fd, &event);
}

static void drop(int fd)
{
    connections[fd]->is_open = false;
    connections[fd]->generation++;
    close(fd);
}

static void accept_all(void)
{
    int fd, one = 1;
    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd < CONNECTIONS_MOST && !connections[fd])
            connections[fd] = calloc(1, sizeof(Connection));
        if (fd >= CONNECTIONS_MOST || !connections[fd]) {
            close(fd);
            continue;
        }
        Connection *c = connections[fd];
        c->in_bytes = c->sent = c->released = c->filled = 0;
        c->is_last_answered = c->is_shut = c->wants_write = false;
        c->is_open = c->wants_read = true;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    }
}

// Whether one more answer has room, after what was sent has made way.
static bool has_room(Connection *c)
{
    if (c->filled + ANSWER_MOST_BYTES > OUT_BYTES && c->sent > 0) {
        memmove(c->out, c->out + c->sent, c->filled - c->sent);
        c->filled -= c->sent;
        c->released -= c->sent;
        c->sent = 0;
    }
    return c->filled + ANSWER_MOST_BYTES <= OUT_BYTES;
}

static void put_answer(int fd, const Request *request, Parsed parsed)
{
    Connection *c = connections[fd];
    char *out = c->out + c->filled;
    size_t bytes = parsed == WHOLE       ? write_answer(out, request, mode)
                   : parsed == TOO_LARGE ? write_empty(out, request, "413 Content Too Large")
                                         : write_empty(out, request, "400 Bad Request");
    c->filled += bytes;
    c->is_last_answered = !request->keep_alive;
    if (delay_ns == 0)
        c->released = c->filled;
    else
        put_waiting((Waiting){now_ns() + delay_ns, fd, c->generation, bytes});
}

// Answers the whole requests that came; what is cut stays for later. Whether any byte was taken.
static bool take_requests(int fd)
{
    Connection *c = connections[fd];
    size_t taken_bytes = 0;
    while (!c->is_last_answered && taken_bytes < c->in_bytes && has_room(c)) {
        Request request;
        Parsed parsed = parse_request((Slice){c->in + taken_bytes, c->in_bytes - taken_bytes}, &request);
        if (parsed == PARTIAL)
            break;
        if (parsed != WHOLE) { // where the next request would begin is unknown
            request.keep_alive = false;
            request.total_bytes = c->in_bytes - taken_bytes;
        }
        if (is_waiting_full())
            c->is_last_answered = true; // more than anyone should ask for: no answer, and the end
        else
            put_answer(fd, &request, parsed);
        taken_bytes += request.total_bytes;
    }
    if (c->is_last_answered)
        taken_bytes = c->in_bytes;
    c->in_bytes -= taken_bytes;
    if (c->in_bytes > 0 && taken_bytes > 0)
        memmove(c->in, c->in + taken_bytes, c->in_bytes);
    return taken_bytes > 0;
}

// Sends what may go. False where the connection is lost.
static bool flush(int fd)
{
    Connection *c = connections[fd];
    while (c->sent < c->released) {
        ssize_t bytes = send(fd, c->out + c->sent, c->released - c->sent, MSG_NOSIGNAL);
        if (bytes < 0)
            return errno == EAGAIN;
        c->sent += (size_t)bytes;
    }
    if (c->sent == c->filled) {
        c->sent = c->released = c->filled = 0;
        // Not closed yet: bytes that nobody read would turn the close into a reset, and the answer would be lost.
        if (c->is_last_answered && !c->is_shut)
            c->is_shut = shutdown(fd, SHUT_WR) == 0;
    }
    return true;
}

// Does all that can be done on a connection now, then waits for what it needs next.
static void advance(int fd)
{
    Connection *c = connections[fd];
    bool took;
    do {
        if (!flush(fd)) {
            drop(fd);
            return;
        }
        took = take_requests(fd);
    } while (took);
    bool wants_write = c->sent < c->released, wants_read = c->in_bytes < REQUEST_MOST_BYTES;
    if (wants_write != c->wants_write || wants_read != c->wants_read) {
        c->wants_write = wants_write;
        c->wants_read = wants_read;
        watch(fd, (wants_read ? EPOLLIN : 0) | (wants_write ? EPOLLOUT : 0), EPOLL_CTL_MOD);
    }
}

static void receive(int fd)
{
    Connection *c = connections[fd];
    ssize_t bytes = recv(fd, c->in + c->in_bytes, REQUEST_MOST_BYTES - c->in_bytes, 0);
    if (bytes == 0 || (bytes < 0 && errno != EAGAIN)) {
        drop(fd);
        return;
    }
    c->in_bytes += bytes > 0 ? (size_t)bytes : 0;
    advance(fd);
}

static void release_due(void)
{
    Waiting due;
    while (take_due(&due)) {
        Connection *c = connections[due.fd];
        if (c->is_open && c->generation == due.generation) {
            c->released += due.bytes;
            advance(due.fd);
        }
    }
    arm(timer_fd);
}

static void handle(const struct epoll_event *event)
{
    int fd = event->data.fd;
    uint64_t expirations;
    if (fd == listen_fd)
        accept_all();
    else if (fd == timer_fd)
        (void)!read(timer_fd, &expirations, sizeof expirations); // only to quieten it: release_due looks at the clock
    else if (event->events & ~(uint32_t)EPOLLOUT)
        receive(fd);
    else
        advance(fd);
}

// Listens on loopback and says where.
static bool listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t bytes = sizeof address;
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listen_fd, (struct sockaddr *)&address, bytes) || listen(listen_fd, CONNECTIONS_MOST) ||
        getsockname(listen_fd, (struct sockaddr *)&address, &bytes)) {
        perror("echo");
        return false;
    }
    printf("port %d\n", ntohs(address.sin_port));
    return fflush(stdout) == 0;
}

int main(int count, char **arguments)
{
    struct epoll_event events[EVENTS_MOST];
    if (count < 3 || count > 4 || (count == 4 && strcmp(arguments[3], "json") && strcmp(arguments[3], "sse"))) {
        fprintf(stderr, "usage: echo PORT DELAY_MS [json|sse]\n");
        return 2;
    }
    delay_ns = (int64_t)(strtod(arguments[2], NULL) * 1e6);
    mode = count == 4 && strcmp(arguments[3], "sse") == 0 ? MODE_SSE : MODE_JSON;
    prctl(PR_SET_TIMERSLACK, 1);
    if (!listen_on(atoi(arguments[1])))
        return 1;
    epoll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(listen_fd, EPOLLIN, EPOLL_CTL_ADD);
    watch(timer_fd, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        int happened = epoll_wait(epoll_fd, events, EVENTS_MOST, -1);
        for (int i = 0; i < happened; i++)
            handle(&events[i]);
        release_due();
    }
}
