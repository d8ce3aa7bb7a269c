// The answers that wait for their time: a ring in order of time, because every delay is the same.
#ifndef ECHO_WAITING_H
#define ECHO_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>

#define NS_PER_S 1000000000L

enum { WAITING_MOST = 65536 }; // of all connections together; a power of two, so that the counters may wrap

typedef struct {
    int64_t due_ns;
    int fd;
    unsigned generation; // of the connection
    size_t bytes;
} Waiting;

static Waiting waiting[WAITING_MOST];
static unsigned first_waiting, end_waiting;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static bool is_waiting_full(void)
{
    return end_waiting - first_waiting == WAITING_MOST;
}

static void put_waiting(Waiting one)
{
    waiting[end_waiting++ % WAITING_MOST] = one;
}

// Takes the first one whose time has come.
static bool take_due(Waiting *due)
{
    if (first_waiting == end_waiting || waiting[first_waiting % WAITING_MOST].due_ns > now_ns())
        return false;
    *due = waiting[first_waiting++ % WAITING_MOST];
    return true;
}

// Lets the timer go off when the first one is due, to the nanosecond.
static void arm(int timer_fd)
{
    static int64_t armed_for_ns;
    int64_t due_ns = waiting[first_waiting % WAITING_MOST].due_ns;
    if (first_waiting == end_waiting || due_ns == armed_for_ns)
        return;
    struct itimerspec alarm = {.it_value = {.tv_sec = due_ns / NS_PER_S, .tv_nsec = due_ns % NS_PER_S}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &alarm, NULL);
    armed_for_ns = due_ns;
}

#endif
