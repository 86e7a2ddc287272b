#include "command_run.h"

#include "clock.h"
#include "file.h"
#include "trial_watch.h"
#include "words.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1 << 20 }; /* bytes of an answer */

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a program's question");
}

/* One run of the program. */
struct asking {
    const struct command_run *c;
    FILE *in, *out, *said;
    struct trial_watch watch;
    char **argv;    /* its words are the array's */
    char name[120]; /* the command, for messages */
};

static int temporary(FILE **f, struct err *e) {
    *f = tmpfile();
    if (!*f) return err_errno(e, ERR_IO, "cannot make a temporary file");
    fcntl(fileno(*f), F_SETFD, FD_CLOEXEC);
    return 0;
}

static int prepare(struct asking *a, const json_t *argv, const char *input, size_t n,
                   struct err *e) {
    const size_t words = json_array_size(argv);
    int rc;
    a->argv = calloc(words + 1, sizeof *a->argv);
    if (!a->argv) return no_memory(e);
    for (size_t i = 0; i < words; i++) {
        const char *word = json_string_value(json_array_get(argv, i));
        const size_t used = strlen(a->name);
        a->argv[i] = (char *)(uintptr_t)word;
        snprintf(a->name + used, sizeof a->name - used, "%s%s", i ? " " : "", word);
    }
    TRY(temporary(&a->in, e));
    TRY(temporary(&a->out, e));
    TRY(temporary(&a->said, e));
    if (fwrite(input, 1, n, a->in) != n || fflush(a->in) || lseek(fileno(a->in), 0, SEEK_SET))
        rc = err_errno(e, ERR_IO, "cannot write a temporary file");
out:
    return rc;
}

static void tidy(struct asking *a) {
    trial_watch_close(&a->watch);
    if (a->in) fclose(a->in);
    if (a->out) fclose(a->out);
    if (a->said) fclose(a->said);
    free(a->argv);
}

static off_t printed(const struct asking *a) {
    struct stat st;
    return fstat(fileno(a->out), &st) ? 0 : st.st_size;
}

static int too_much(const struct asking *a, struct err *e) {
    return err_set(e, ERR_INPUT, "%s: it printed more than %d bytes, expected a JSON object",
                   a->name, MOST);
}

/* Until its end, by itself. */
static int wait_for(struct asking *a, double seconds, struct err *e) {
    const double began = clock_seconds();
    for (long ms = 5; !trial_watch_poll(&a->watch); ms = ms < 50 ? 2 * ms : 100) {
        nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
        if (a->c->meanwhile && a->c->meanwhile(a->c->ctx))
            return err_set(e, ERR_STOP, "%s: the search ends before its answer", a->name);
        if (printed(a) > MOST) return too_much(a, e);
        if (clock_seconds() - began > seconds)
            return err_set(e, ERR_INPUT, "%s: no answer after %g s", a->name, seconds);
    }
    return 0;
}

/* The last line on its standard error that is not blank. */
static void last_words(struct asking *a, char *words, size_t size) {
    char line[400];
    *words = 0;
    rewind(a->said);
    while (fgets(line, sizeof line, a->said)) {
        line[strcspn(line, "\n")] = 0;
        if (line[strspn(line, " \t\r")]) snprintf(words, size, "%s", line);
    }
}

/* How it ended, if not well. */
static int check_end(struct asking *a, struct err *e) {
    const int status = a->watch.status;
    char words[400];
    if (WIFEXITED(status) && !WEXITSTATUS(status)) return 0;
    last_words(a, words, sizeof words);
    const char *gap = *words ? ": " : "";
    if (WIFSIGNALED(status))
        return err_set(e, ERR_INPUT, "%s: ended by signal %d%s%s", a->name, WTERMSIG(status), gap,
                       words);
    return err_set(e, ERR_INPUT, "%s: ended with status %d%s%s", a->name, WEXITSTATUS(status), gap,
                   words);
}

static int read_answer(struct asking *a, char **output, struct err *e) {
    const off_t size = printed(a);
    if (size > MOST) return too_much(a, e);
    char *text = calloc((size_t)size + 1, 1);
    if (!text) return no_memory(e);
    rewind(a->out);
    const size_t n = fread(text, 1, (size_t)size, a->out);
    if (n != (size_t)size || strlen(text) != n) {
        free(text);
        return err_set(e, ERR_INPUT, "%s: what it printed is no text", a->name);
    }
    *output = text;
    return 0;
}

static int command_run(void *owner, const json_t *argv, double seconds, const char *input, size_t n,
                       char **output, struct err *e) {
    struct asking a = {.c = owner};
    int rc;
    *output = NULL;
    TRY(prepare(&a, argv, input, n, e));
    const struct trial_command command = {
        .argv = a.argv, .in = fileno(a.in), .out = fileno(a.out), .err = fileno(a.said)};
    TRY(trial_watch_start(&a.watch, &command, e));
    TRY(wait_for(&a, seconds, e));
    TRY(check_end(&a, e));
    rc = read_answer(&a, output, e);
out:
    tidy(&a);
    return rc;
}

int command_run_open(struct command_run *c, const struct search_file *f, struct err *e) {
    json_t *file = f->json;
    const char *key = f->metric.key ? f->metric.key : "command";
    *c = (struct command_run){0};
    c->about = json_pack("{s:O, s:O, s:s, s:s, s:I, s:I}", "base", f->base, "budget",
                         json_object_get(file, "budget"), "metric", key, "better",
                         f->metric.higher ? "higher" : "lower", "trials", (json_int_t)f->trials,
                         "seeds", (json_int_t)f->seeds);
    if (!c->about) return no_memory(e);
    c->runner = (struct strategy_runner){
        .run = command_run, .owner = c, .about = c->about, .higher = f->metric.higher};
    return 0;
}

void command_run_close(struct command_run *c) {
    json_decref(c->about);
    *c = (struct command_run){0};
}

/* Found by PATH, unless it has a slash. */
static bool can_start(const char *name) {
    const char *path = getenv("PATH");
    if (strchr(name, '/')) return file_is_regular(name) && !access(name, X_OK);
    for (const char *at = path; at && *at;) {
        const size_t n = strcspn(at, ":");
        char *folder = strndup(at, n), *file = folder ? file_join(n ? folder : ".", name) : NULL;
        const bool found = file && file_is_regular(file) && !access(file, X_OK);
        free(folder);
        free(file);
        if (found) return true;
        at += n + (at[n] == ':');
    }
    return false;
}

int command_run_check(const struct strategy_choice *c, struct err *e) {
    json_t *words;
    int rc = 0;
    for (; c && !rc; c = c->over) {
        if (strcmp(c->kind->name, "command")) continue;
        TRY(words_read("strategy command", "run", json_object_get(c->json, "run"), &words, e));
        const char *name = json_string_value(json_array_get(words, 0));
        if (!can_start(name))
            rc = err_set(e, ERR_USAGE, "strategy command: \"run\": there is no program %.200s to "
                                       "start",
                         name);
        json_decref(words);
    }
out:
    return rc;
}
