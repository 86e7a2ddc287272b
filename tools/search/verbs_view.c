#include "verbs_view.h"

#include "chart_text.h"
#include "file.h"
#include "out_format.h"
#include "screen.h"
#include "search_best.h"
#include "search_init.h"
#include "search_status.h"
#include "search_verbs.h"
#include "term.h"

#include <string.h>
#include <unistd.h>

/* The search in the folder that is given, and the view of it. */
static int open_view(struct search *s, struct search_view *v, const char *dir, struct err *e) {
    const int rc = search_open(s, dir, false, e);
    return rc ? rc : search_view(v, s, e);
}

int verb_status(const struct search_opts *o, const struct conf *c, struct err *e) {
    struct search s = {0};
    struct search_view v = {0};
    const bool table = strcmp(o->view.tsv, "none") != 0;
    int rc;
    if (table && o->json) return err_set(e, ERR_USAGE, "--tsv and --json exclude each other");
    TRY(open_view(&s, &v, c->pos[1], e));
    if (table)
        results_tsv_print(&v, o->view.tsv, stdout);
    else
        TRY(search_status_print(&v, search_is_locked(s.dir), o->json ? STATUS_JSON : STATUS_TEXT,
                                stdout, e));
    rc = search_warn_changed(&s, e);
out:
    search_view_release(&v);
    search_close(&s);
    return rc;
}

int verb_best(const struct search_opts *o, const struct conf *c, struct err *e) {
    struct search s = {0};
    struct search_view v = {0};
    int rc;
    if (o->out && o->json)
        return err_set(e, ERR_USAGE, "--out writes options for duet train: without --json");
    if (o->out) TRY(out_free(o->out, o->view.overwrite, e));
    TRY(open_view(&s, &v, c->pos[1], e));
    TRY(o->out ? search_best_write(&v, o->out, e)
               : search_best_print(&v, o->json ? BEST_JSON : BEST_TEXT, stdout, e));
    rc = search_warn_changed(&s, e);
out:
    search_view_release(&v);
    search_close(&s);
    return rc;
}

static int check_plot(const struct search_opts *o, const struct conf *c, struct err *e) {
    static const char *const of_files[] = {"width", "height", "dark", "adaptive", "overwrite"};
    const struct view_opts *w = &o->view;
    if (conf_given(c, "cost") && strcmp(w->chart, "pareto"))
        return err_set(e, ERR_USAGE, "--cost has an effect on --chart pareto alone");
    for (size_t i = 0; i < sizeof of_files / sizeof *of_files && !o->out; i++)
        if (conf_given(c, of_files[i]))
            return err_set(e, ERR_USAGE, "--%s has no effect without -o FILE", of_files[i]);
    if (!o->out) return 0;
    if (!chart_has_format(o->out))
        return err_set(e, ERR_USAGE, "-o %.400s: the name of a picture ends in " CHART_FORMATS,
                       o->out);
    if (w->height && w->height < 240)
        return err_set(e, ERR_USAGE, "--height is %d, expected 0 or at least 240", (int)w->height);
    if (w->adaptive && (w->dark || !file_ends_with(o->out, ".svg")))
        return err_set(e, ERR_USAGE,
                       w->dark ? "--adaptive and --dark exclude each other"
                               : "--adaptive is for .svg alone");
    return out_free(o->out, w->overwrite, e);
}

int verb_plot(const struct search_opts *o, const struct conf *c, struct err *e) {
    struct search s = {0};
    struct search_view v = {0};
    struct search_chart chart = {0};
    const struct search_look look = {.chart = o->view.chart,
                                     .x = o->view.cost,
                                     .width = (int)o->view.width,
                                     .height = (int)o->view.height,
                                     .dark = o->view.dark,
                                     .adaptive = o->view.adaptive};
    int rc;
    TRY(check_plot(o, c, e));
    TRY(open_view(&s, &v, c->pos[1], e));
    TRY(search_chart(&chart, &v, &look, e));
    if (!o->out) {
        TRY(chart_print(&chart.chart, term_columns(STDOUT_FILENO) - 1, term_utf8(), stdout, e));
        rc = search_warn_changed(&s, e);
        goto out;
    }
    TRY(chart_draw(&chart.chart, o->out, e));
    if (!o->quiet) {
        fputs("saved ", stderr);
        screen_write(stderr, o->out, strlen(o->out));
        fprintf(stderr, ": %zu trials\n", v.n);
    }
    rc = search_warn_changed(&s, e);
out:
    search_chart_release(&chart);
    search_view_release(&v);
    search_close(&s);
    return rc;
}

int verb_init(const struct search_opts *o, const struct conf *c, struct err *e) {
    const struct search_init init = {.data = c->pos[1],
                                     .tokenizer = o->view.tokenizer,
                                     .out = o->out ? o->out : "search.json",
                                     .time = o->brief.time > 0 ? o->brief.time : 300,
                                     .hours = o->view.hours,
                                     .jobs = o->jobs ? o->jobs : 1,
                                     .overwrite = o->view.overwrite,
                                     .quiet = o->quiet};
    return search_init(&init, stdout, e);
}
