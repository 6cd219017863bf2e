/* sink [--md5] [--latency-us=N]: listens on a loopback port of the kernel's choice and prints it.
 *
 * One thread on epoll, edge-triggered. */
#define _GNU_SOURCE
#include "sink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 64

static uint64_t latency_ns;
static int timer;

/* Whole requests that wait for their time. The latency is the same for all: they are in order. */
static struct connection *first_waiting, *last_waiting;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void set_timer(void)
{
    struct itimerspec when = {.it_value = {(time_t)(first_waiting->due / 1000000000),
                                           (long)(first_waiting->due % 1000000000)}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void delay(struct connection *c)
{
    c->due = now_ns() + latency_ns;
    c->next = NULL;
    if (first_waiting) {
        last_waiting->next = c;
    } else {
        first_waiting = c;
        set_timer();
    }
    last_waiting = c;
}

static void serve(struct connection *c)
{
    for (;;) {
        enum progress progress = connection_read(c);
        if (progress == BLOCKED)
            return;
        if (progress == ANSWERED && latency_ns)
            return delay(c);
        if (progress == GONE || !connection_reply(c))
            return connection_close(c);
    }
}

static void answer_due(void)
{
    uint64_t fired, now = now_ns();
    if (read(timer, &fired, sizeof fired) < 0 && errno != EAGAIN)
        abort();
    while (first_waiting && first_waiting->due <= now) {
        struct connection *c = first_waiting;
        first_waiting = c->next;
        if (connection_reply(c))
            serve(c);
        else
            connection_close(c);
    }
    if (first_waiting)
        set_timer();
}

static void watch(int epoll, int fd, void *what)
{
    struct epoll_event event = {EPOLLIN | EPOLLET, {.ptr = what}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        abort();
}

static void greet(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        watch(epoll, fd, connection_open(fd));
}

static int listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 1024) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        abort();
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static bool read_arguments(int count, char **arguments)
{
    for (int i = 1; i < count; i++)
        if (strcmp(arguments[i], "--md5") == 0)
            wants_md5 = true;
        else if (strncmp(arguments[i], "--latency-us=", 13) == 0)
            latency_ns = strtoull(arguments[i] + 13, NULL, 10) * 1000;
        else
            return false;
    return true;
}

int main(int count, char **arguments)
{
    if (!read_arguments(count, arguments)) {
        fprintf(stderr, "usage: sink [--md5] [--latency-us=N]\n");
        return 2;
    }
    crc64_prepare();
    int epoll = epoll_create1(EPOLL_CLOEXEC), listener = listen_on_loopback();
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    watch(epoll, listener, &listener);
    watch(epoll, timer, &timer);
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++)
            if (events[i].data.ptr == &listener)
                greet(epoll, listener);
            else if (events[i].data.ptr == &timer)
                answer_due();
            else
                serve(events[i].data.ptr);
    }
}
