#include "guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_TEMPS = 1024, MAX_MAPS = 512 };

/* data and path are written last and cleared first: a handler sees whole rows only. */
static struct map {
    _Atomic(const uint8_t *) data;
    size_t size;
    const char *path;
    uint64_t dev, inode;
} maps[MAX_MAPS];
static _Atomic(const char *) temps[MAX_TEMPS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- lists ----------------------------------------------------------------------------------- */

void guard_temp(const char *path) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_TEMPS; i++)
        if (!temps[i]) {
            temps[i] = path;
            break;
        }
    pthread_mutex_unlock(&lock);
}

void guard_temp_done(const char *path) {
    pthread_mutex_lock(&lock);
    for (int i = 0; path && i < MAX_TEMPS; i++)
        if (temps[i] == path) temps[i] = NULL;
    pthread_mutex_unlock(&lock);
}

void guard_map(const void *data, size_t size, const char *path, uint64_t dev, uint64_t inode) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_MAPS; i++) {
        if (maps[i].data) continue;
        maps[i].size = size;
        maps[i].path = path;
        maps[i].dev = dev;
        maps[i].inode = inode;
        maps[i].data = data;
        break;
    }
    pthread_mutex_unlock(&lock);
}

void guard_map_done(const void *data) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_MAPS; i++)
        if (maps[i].data == data) maps[i].data = NULL;
    pthread_mutex_unlock(&lock);
}

/* The size of the file that is mapped; false if its name means another file by now, which is no
 * fault: the map stays what it was. */
static bool size_now(const struct map *m, uint64_t *size) {
    struct stat st;
    if (stat(m->path, &st) || st.st_dev != m->dev || st.st_ino != m->inode) return false;
    *size = (uint64_t)st.st_size;
    return true;
}

static int check_map(const struct map *m, struct err *e) {
    uint64_t now;
    if (!size_now(m, &now) || now >= m->size) return 0;
    return err_set(e, ERR_IO, "%s: was cut from %zu to %llu bytes while it was in use", m->path,
                   m->size, (unsigned long long)now);
}

int guard_check_maps(struct err *e) {
    int rc = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_MAPS && !rc; i++)
        if (maps[i].data) rc = check_map(maps + i, e);
    pthread_mutex_unlock(&lock);
    return rc;
}

/* Async-signal-safe. */
static const struct map *map_at(const void *p) {
    const uintptr_t at = (uintptr_t)p;
    for (int i = 0; i < MAX_MAPS; i++) {
        const uintptr_t data = (uintptr_t)maps[i].data;
        /* The end of the last page is the map's too. */
        if (data && at >= data && at - data < ((maps[i].size + 4095) & ~(size_t)4095))
            return maps + i;
    }
    return NULL;
}

int guard_check_at(const void *p, struct err *e) {
    const struct map *m = map_at(p);
    return m ? check_map(m, e) : 0;
}

/* ---- handlers: async-signal-safe all of it --------------------------------------------------- */

static void remove_temps(void) {
    bool gone = true;
    for (int i = 0; i < MAX_TEMPS; i++) {
        const char *path = temps[i];
        if (path) unlink(path);
    }
    while (gone) { /* folders, one within the other, in any order */
        gone = false;
        for (int i = 0; i < MAX_TEMPS; i++) {
            const char *path = temps[i];
            gone |= path && !rmdir(path);
        }
    }
}

/* A line of stderr that is put together from pieces. */
struct line {
    char text[1024];
    size_t n;
};

static void add(struct line *l, const char *s) {
    for (; *s && l->n < sizeof l->text - 1; s++)
        l->text[l->n++] = (unsigned char)*s < ' ' || *s == 127 ? '?' : *s;
}

static void add_number(struct line *l, uint64_t x) {
    char digits[24], *p = digits + sizeof digits - 1;
    *p = 0;
    do *--p = (char)('0' + x % 10);
    while (x /= 10);
    add(l, p);
}

static void end_quietly(int sig) {
    const int saved = errno;
    remove_temps();
    signal(sig, SIG_DFL);
    raise(sig); /* comes when this handler returns */
    errno = saved;
}

/* A page of a map that its file does not have any more, or that cannot be read. */
static void on_bus(int sig, siginfo_t *info, void *context) {
    (void)context;
    const struct map *m = info->si_code == BUS_ADRERR ? map_at(info->si_addr) : NULL;
    if (!m) { /* the instruction is run again, and ends the program */
        signal(sig, SIG_DFL);
        return;
    }
    struct line l = {.n = 0};
    uint64_t now;
    if (isatty(STDERR_FILENO) == 1) (void)!write(STDERR_FILENO, "\n", 1);
    add(&l, "duet: error: ");
    add(&l, m->path);
    if (size_now(m, &now) && now >= m->size) {
        add(&l, ": reading at offset ");
        add_number(&l, (uint64_t)((uintptr_t)info->si_addr - (uintptr_t)m->data));
        add(&l, " failed: the disk or the network does not give it");
    } else {
        add(&l, ": was cut");
        if (size_now(m, &now)) {
            add(&l, " from ");
            add_number(&l, m->size);
            add(&l, " to ");
            add_number(&l, now);
            add(&l, " bytes");
        }
        add(&l, " while it was in use");
    }
    l.text[l.n++] = '\n';
    (void)!write(STDERR_FILENO, l.text, l.n);
    remove_temps();
    _exit(1);
}

void guard_install(void) {
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction old, a = {.sa_handler = end_quietly};
    sigemptyset(&a.sa_mask);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (!sigaction(ends[i], NULL, &old) && old.sa_handler != SIG_IGN)
            sigaction(ends[i], &a, NULL);
    struct sigaction bus = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
    sigemptyset(&bus.sa_mask);
    sigaction(SIGBUS, &bus, NULL);
}
