/* The clock of a run (clock_record.h): written update by update, or followed where a recorded one
 * is repeated. */
#include "trainer_impl.h"

#include "file.h"

#include <stdlib.h>
#include <unistd.h>

static const char CLOCK[] = "clock";

/* ---- following a recorded one ---------------------------------------------------------------- */

int trainer_find_clock(struct trainer *t, struct err *e) {
    if (!t->opts->clock) return 0;
    const int rc = clock_record_open(&t->recorded, t->opts->clock, e);
    if (rc) return rc;
    if (t->recorded.torn)
        log_warn(&t->line, "%s: the last %llu bytes are no whole record and are passed over",
                 t->opts->clock, (unsigned long long)t->recorded.torn);
    if (t->recorded.updates) return 0;
    return err_set(e, ERR_INPUT, "%s: no update is on record, so there is nothing to repeat",
                   t->opts->clock);
}

int trainer_take_clock(struct trainer *t, struct err *e) {
    int rc;
    if (!t->opts->clock) return 0;
    t->own_clock = file_join(t->dir, CLOCK);
    if (!t->own_clock) return err_set(e, ERR_NOMEM, "out of memory");
    TRY(clock_record_copy(&t->recorded, t->own_clock, e));
    clock_record_close(&t->recorded);
    t->opts->clock = t->own_clock;
    TRY(trainer_find_clock(t, e));
out:
    return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Nothing depends on it but that the run can be repeated: it goes on without. */
static void give_up(struct trainer *t, const char *path, const struct err *why) {
    log_warn(&t->line, "%s; the run goes on without its clock, and cannot be repeated by it",
             why->msg);
    unlink(path);
    clock_record_close(&t->clocked); /* path may be its own */
}

/* Of a run that goes on, as far as that. */
static int append_open(struct trainer *t, const char *path, struct err *e) {
    const int rc = clock_record_append_open(&t->clocked, path, e);
    if (rc) return rc;
    if (t->clocked.updates < t->p->step)
        return err_set(e, ERR_INPUT, "%s: holds %lld updates, and the run has made %lld", path,
                       (long long)t->clocked.updates, (long long)t->p->step);
    return clock_record_cut(&t->clocked, t->p->step, e);
}

int trainer_open_clock(struct trainer *t, struct err *e) {
    int rc;
    if (t->opts->clock) return 0; /* all of it is there */
    char *path = file_join(t->dir, CLOCK);
    if (!path) return err_set(e, ERR_NOMEM, "out of memory");
    if (!t->p->step) {
        TRY(clock_record_create(&t->clocked, path, e));
        goto out;
    }
    struct err why;
    rc = 0;
    if (file_exists(path)) {
        if (append_open(t, path, &why)) give_up(t, path, &why);
    } else if (t->opts->time > 0) {
        log_note(&t->line, "%s is not there: this run cannot be repeated by its clock", path);
    }
out:
    free(path);
    return rc;
}

void trainer_clock(struct trainer *t, double share) {
    struct err why;
    if (!t->clocked.file.writing) return;
    if (clock_record_append(&t->clocked, share, t->p->lr_scale, &why))
        give_up(t, t->clocked.file.path, &why);
}

void trainer_clock_cut(struct trainer *t, int64_t updates) {
    struct err why;
    if (!t->clocked.file.writing || t->clocked.updates < updates) return;
    if (clock_record_cut(&t->clocked, updates, &why)) give_up(t, t->clocked.file.path, &why);
}

void trainer_clock_sync(struct trainer *t) {
    struct err why;
    if (!t->clocked.file.writing) return;
    if (clock_record_sync(&t->clocked, &why)) give_up(t, t->clocked.file.path, &why);
}

void trainer_clock_end(struct trainer *t) {
    struct err why;
    if (!t->clocked.file.writing || t->clocked.ended) return;
    if (clock_record_end(&t->clocked, trainer_progress(t), &why)) {
        give_up(t, t->clocked.file.path, &why);
        return;
    }
    trainer_clock_sync(t);
}
