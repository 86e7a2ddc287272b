#include "bench_remote.h"

#include "log.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the program that is asked -------------------------------------------------------------- */

int bench_serve(double flops, serve_turn *turn, void *ctx, struct err *e) {
    char request[96];
    struct turn t;
    printf("ready %.17g\n", flops);
    while (!fflush(stdout) && fgets(request, sizeof request, stdin)) {
        request[strcspn(request, "\n")] = '\0';
        const int rc = turn(ctx, request, &t, e);
        if (rc) return rc;
        printf("%.9g %.9g\n", t.wall, t.cpu);
    }
    return 0;
}

/* ---- command lines --------------------------------------------------------------------------- */

void words_add(struct words *w, const char *word) {
    if (w->n + 2 > w->cap) {
        const int cap = w->cap ? 2 * w->cap : 32;
        char **more = realloc(w->word, (size_t)cap * sizeof *more);
        if (!more) {
            w->starved = true;
            return;
        }
        w->word = more;
        w->cap = cap;
    }
    char *copy = strdup(word);
    if (!copy) w->starved = true;
    w->word[w->n] = copy;
    if (copy) w->word[++w->n] = NULL;
}

static bool one_of(const char *name, size_t n, const char *const *list) {
    for (; *list; list++)
        if (strlen(*list) == n && !strncmp(name, *list, n)) return true;
    return false;
}

void words_add_options(struct words *w, int argc, char **argv, const char *const *drop,
                       const char *const *flags) {
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (!strncmp(a, "--", 2)) {
            const size_t n = strcspn(a + 2, "=");
            if (one_of(a + 2, n, flags) || (!strncmp(a, "--no-", 5) && one_of(a + 5, n - 3, flags)))
                continue;
            if (one_of(a + 2, n, drop)) {
                if (a[2 + n] != '=') i++;
                continue;
            }
        }
        words_add(w, a);
    }
}

void words_release(struct words *w) {
    for (int i = 0; i < w->n; i++) free(w->word[i]);
    free(w->word);
    *w = (struct words){0};
}

int bench_self(char *path, size_t size, struct err *e) {
    const ssize_t n = readlink("/proc/self/exe", path, size - 1);
    if (n < 0) return err_errno(e, ERR_IO, "cannot find out what program this is");
    path[n] = '\0';
    return 0;
}

/* ---- the one that asks ---------------------------------------------------------------------- */

static int ended(struct remote *r, bool *old, struct err *e) {
    char words[512];
    child_wait(&r->child);
    child_last_words(&r->child, words, sizeof words);
    if (old && WIFEXITED(r->child.status) && WEXITSTATUS(r->child.status) == 2 &&
        strstr(words, "unknown option --serve")) {
        *old = true;
        return 0;
    }
    return err_set(e, ERR_IO, "%.200s: bench %s failed: %.400s", r->child.program, r->verb, words);
}

enum { HEAR_SECONDS = 60 };

/* Its next line. How long a turn takes nobody knows, so there is no limit; who waits is told. */
static bool hear(struct remote *r, char *line, size_t size) {
    struct log_progress progress;
    for (int waited = 0; !child_answers(&r->child, HEAR_SECONDS);) {
        waited += HEAR_SECONDS;
        log_progress_init(&progress, true);
        log_warn(&progress, "%.200s: no answer for %d s, still waiting", r->child.program, waited);
    }
    return child_read(&r->child, line, size) || *line;
}

int remote_open(struct remote *r, const struct words *command, const char *verb, bool *old,
                struct err *e) {
    int rc, end = 0;
    char line[128];
    *r = (struct remote){.verb = verb};
    if (command->starved) TRY(err_set(e, ERR_NOMEM, "no memory for a command line"));
    TRY(child_open(&r->child, command->word, e));
    if (!hear(r, line, sizeof line)) {
        TRY(ended(r, old, e));
        remote_close(r);
        return 0;
    }
    if (sscanf(line, "ready %lf%n", &r->flops, &end) != 1 || line[end] || !isfinite(r->flops) ||
        r->flops < 0)
        TRY(err_set(e, ERR_IO, "%.200s is no duet that can be compared: it said \"%.60s\"",
                    r->child.program, line));
out:
    if (rc) remote_close(r);
    return rc;
}

int remote_turn(void *remote, struct turn *t, struct err *e) {
    struct remote *r = remote;
    char line[128] = "";
    int end = 0;
    if (!child_send(&r->child, r->request) || !hear(r, line, sizeof line))
        return ended(r, NULL, e);
    if (sscanf(line, "%lf %lf%n", &t->wall, &t->cpu, &end) == 2 && !line[end] && t->wall > 0 &&
        isfinite(t->wall) && t->cpu >= 0 && isfinite(t->cpu))
        return 0;
    return err_set(e, ERR_IO, "%.200s answered \"%.60s\", expected seconds above 0",
                   r->child.program, line);
}

void remote_close(struct remote *r) {
    child_close(&r->child);
    *r = (struct remote){0};
}
