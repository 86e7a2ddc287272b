#include "heartbeat.h"

#include "clock.h"
#include "par.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define PERIOD 0.05
#define LEAST 0.25       /* shorter gaps are the scheduler's */
#define LEAST_UNSURE 2.0 /* where the kernel does not say how long a thread waited */
#define LATE (3 * PERIOD)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;
static pthread_t thread;
static bool running, ending;
static double last_beat, stopped, latest;
static struct {
    double at;
    void (*ring)(void *ctx);
    void *ctx;
} alarm_; /* alarm is taken */

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
static double stop_between(const struct beat *a, const struct beat *b) {
    const double gap = b->now - a->now - PERIOD;
    const bool sure = a->waited >= 0 && b->waited >= 0;
    const double lost = sure ? gap - (b->waited - a->waited) : gap;
    const double busy = b->cpu - a->cpu - 2 * PERIOD * par_threads();
    return lost > (sure ? LEAST : LEAST_UNSURE) && busy < gap / 2 ? lost : 0;
}

static void *watch(void *arg) {
    const int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    (void)arg;
    struct beat old = read_beat(fd);
    pthread_mutex_lock(&lock);
    while (!ending) {
        const double until = old.now + PERIOD;
        const struct timespec t = {(time_t)until, (long)(fmod(until, 1) * 1e9)};
        while (!ending && pthread_cond_timedwait(&wake, &lock, &t) == 0) {}
        const struct beat new = read_beat(fd);
        stopped += stop_between(&old, &new);
        last_beat = new.now;
        if (alarm_.ring && new.now - stopped > alarm_.at) {
            alarm_.ring(alarm_.ctx);
            alarm_.ring = NULL;
        }
        old = new;
    }
    pthread_mutex_unlock(&lock);
    if (fd >= 0) close(fd);
    return NULL;
}

void heartbeat_start(void) {
    sigset_t all, old;
    pthread_condattr_t attr;
    if (running) return;
    stopped = latest = 0;
    ending = false;
    last_beat = clock_seconds();
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&wake, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    running = pthread_create(&thread, NULL, watch, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void heartbeat_end(void) {
    if (!running) return;
    pthread_mutex_lock(&lock);
    ending = true;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
    pthread_cond_destroy(&wake);
    running = false;
}

/* After a stop this thread may run before the one that notices it: a beat that is late is waited
 * for, but not for ever, since on a busy machine it may just be late. */
double heartbeat_clock(void) {
    const double begin = clock_seconds();
    const struct timespec moment = {0, 1000000};
    pthread_mutex_lock(&lock);
    double now = clock_seconds();
    while (running && now - last_beat > LATE && now - begin < 0.5) {
        pthread_mutex_unlock(&lock);
        nanosleep(&moment, NULL);
        pthread_mutex_lock(&lock);
        now = clock_seconds();
    }
    if (now - stopped > latest) latest = now - stopped;
    now = latest;
    pthread_mutex_unlock(&lock);
    return now;
}

void heartbeat_alarm(double at, void (*ring)(void *ctx), void *ctx) {
    pthread_mutex_lock(&lock);
    alarm_.at = at;
    alarm_.ring = ring;
    alarm_.ctx = ctx;
    pthread_mutex_unlock(&lock);
}

double heartbeat_stopped(void) {
    pthread_mutex_lock(&lock);
    const double s = stopped;
    pthread_mutex_unlock(&lock);
    return s;
}
