#include "heartbeat.h"

#include "clock.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PERIOD 0.05
#define LEAST 0.25       /* shorter gaps are the scheduler's */
#define LEAST_UNSURE 2.0 /* where the kernel does not say how long a thread waited */
#define LATE (3 * PERIOD)

struct heartbeat {
    pthread_mutex_t lock; /* over all of it */
    pthread_cond_t wake;
    pthread_t thread;
    int threads;
    bool running, ending;
    double last_beat, stopped, latest;
    double at; /* of the alarm */
    void (*ring)(void *ctx);
    void *ctx;
};

/* What the thread knows at a beat. */
struct beat {
    double now, waited, cpu; /* seconds: clock, waiting for a processor, used by the process */
};

/* -1: the kernel does not say. */
static double read_waited(int fd) {
    char text[96];
    unsigned long long ns;
    const ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
    if (n <= 0) return -1;
    text[n] = 0;
    return sscanf(text, "%*u %llu", &ns) == 1 ? (double)ns * 1e-9 : -1;
}

static struct beat read_beat(int schedstat) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (struct beat){clock_seconds(), read_waited(schedstat),
                         (double)t.tv_sec + (double)t.tv_nsec * 1e-9};
}

/* Seconds between two beats in which the process stood still. Around a stop it may have run for a
 * period on every thread. */
static double stop_between(const struct heartbeat *h, const struct beat *a, const struct beat *b) {
    const double gap = b->now - a->now - PERIOD;
    const bool sure = a->waited >= 0 && b->waited >= 0;
    const double lost = sure ? gap - (b->waited - a->waited) : gap;
    const double busy = b->cpu - a->cpu - 2 * PERIOD * h->threads;
    return lost > (sure ? LEAST : LEAST_UNSURE) && busy < gap / 2 ? lost : 0;
}

static void *watch(void *arg) {
    struct heartbeat *h = arg;
    const int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    struct beat old = read_beat(fd);
    pthread_mutex_lock(&h->lock);
    while (!h->ending) {
        const double until = old.now + PERIOD;
        const struct timespec t = {(time_t)until, (long)(fmod(until, 1) * 1e9)};
        while (!h->ending && pthread_cond_timedwait(&h->wake, &h->lock, &t) == 0) {}
        const struct beat new = read_beat(fd);
        h->stopped += stop_between(h, &old, &new);
        h->last_beat = new.now;
        if (h->ring && new.now - h->stopped > h->at) {
            h->ring(h->ctx);
            h->ring = NULL;
        }
        old = new;
    }
    pthread_mutex_unlock(&h->lock);
    if (fd >= 0) close(fd);
    return NULL;
}

int heartbeat_open(struct heartbeat **out, int threads, struct err *e) {
    sigset_t all, old;
    pthread_condattr_t attr;
    struct heartbeat *h = *out = calloc(1, sizeof *h);
    if (!h) return err_set(e, ERR_NOMEM, "out of memory for a clock");
    h->threads = threads;
    h->last_beat = clock_seconds();
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&h->wake, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    h->running = pthread_create(&h->thread, NULL, watch, h) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return 0;
}

void heartbeat_close(struct heartbeat *h) {
    if (!h) return;
    pthread_mutex_lock(&h->lock);
    h->ending = true;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
    if (h->running) pthread_join(h->thread, NULL);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* After a stop the calling thread may run before the one that notices it: a beat that is late is
 * waited for, but not for ever, since on a busy machine it may just be late. */
double heartbeat_clock(struct heartbeat *h) {
    const double begin = clock_seconds();
    const struct timespec moment = {0, 1000000};
    if (!h) return begin;
    pthread_mutex_lock(&h->lock);
    double now = clock_seconds();
    while (h->running && now - h->last_beat > LATE && now - begin < 0.5) {
        pthread_mutex_unlock(&h->lock);
        nanosleep(&moment, NULL);
        pthread_mutex_lock(&h->lock);
        now = clock_seconds();
    }
    if (now - h->stopped > h->latest) h->latest = now - h->stopped;
    now = h->latest;
    pthread_mutex_unlock(&h->lock);
    return now;
}

void heartbeat_alarm(struct heartbeat *h, double at, void (*ring)(void *ctx), void *ctx) {
    if (!h) return;
    pthread_mutex_lock(&h->lock);
    h->at = at;
    h->ring = ring;
    h->ctx = ctx;
    pthread_mutex_unlock(&h->lock);
}

double heartbeat_stopped(struct heartbeat *h) {
    if (!h) return 0;
    pthread_mutex_lock(&h->lock);
    const double s = h->stopped;
    pthread_mutex_unlock(&h->lock);
    return s;
}
