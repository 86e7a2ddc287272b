/* duet plot: pictures of runs, and tables of what is in them. */
#include "chart.h"
#include "chart_text.h"
#include "cmd.h"
#include "file.h"
#include "out_format.h"
#include "plot_chart.h"
#include "plot_data.h"
#include "screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *out;
    struct plot_look look;
    bool overwrite;
};

static const struct conf_row rows[] = {
    CONF_STRING(struct opts, out, "out", NULL, "FILE",
                "the picture to write: its end, .svg, .png or .pdf, says what it becomes; .tsv: "
                "a table of the figures instead"),
    OVERWRITE_ROW(struct opts, overwrite),
    CONF_SECTION("What is drawn"),
    CONF_CHOICE(struct opts, look.x, "x", "steps", PLOT_X, "against what"),
    CONF_CHOICE(struct opts, look.y, "y", "loss", PLOT_QUANTITIES, "what is drawn"),
    CONF_STRING(struct opts, look.panels, "panels", NULL, "LIST",
                "several of these, one above the other, between commas, instead of --y; of one run "
                "otherwise --y, lr and throughput"),
    CONF_CHOICE(struct opts, look.train, "train", "auto", PLOT_TRAIN,
                "training curves too; auto: of up to 6 runs, and of those without a validation"),
    CONF_INT(struct opts, look.smooth, "smooth", "0", 0, 1e12,
             "points of training are means over so many updates; 0: by the length, 1: none"),
    CONF_BOOL(struct opts, look.log_x, "log-x", "logarithmic x"),
    CONF_BOOL(struct opts, look.log_y, "log-y", "logarithmic y"),
    CONF_SECTION("How it looks"),
    CONF_STRING(struct opts, look.title, "title", NULL, "TEXT",
                "above the picture; otherwise the name of a single run"),
    CONF_INT(struct opts, look.width, "width", "800", 320, 8000, "in pixels (of 1/96 inch)"),
    CONF_INT(struct opts, look.height, "height", "0", 0, 8000,
             "in pixels, at least 240; 0: by what is in it"),
    CONF_BOOL(struct opts, look.dark, "dark", "light on dark"),
    CONF_BOOL(struct opts, look.adaptive, "adaptive",
              "of an .svg: light or dark as the system of whoever looks at it wants"),
    CONF_END,
};

static int check_opts(const struct opts *o, const struct conf *c, struct err *e) {
    if (c->n_pos < 1)
        return err_set(e, ERR_USAGE, "no run given; expected folders of runs, or a table of runs");
    if (!o->out) return err_set(e, ERR_USAGE, "-o FILE is missing: the picture to write");
    const bool table = file_ends_with(o->out, ".tsv");
    if (!table && !chart_has_format(o->out))
        return err_set(e, ERR_USAGE,
                       "-o %.400s: the name of a picture ends in " CHART_FORMATS
                       ", that of a table in .tsv",
                       o->out);
    for (const struct conf_row *r = rows; table && r->type != CONF_T_END; r++)
        if (r->name && strcmp(r->name, "out") && strcmp(r->name, "overwrite") &&
            conf_given(c, r->name))
            return err_set(e, ERR_USAGE, "--%s has no effect on a table", r->name);
    if (o->look.panels && conf_given(c, "y"))
        return err_set(e, ERR_USAGE, "--panels takes the place of --y: give one of them");
    if (o->look.height && o->look.height < 240)
        return err_set(e, ERR_USAGE, "--height is %d, expected 0 or at least 240",
                       (int)o->look.height);
    if (o->look.adaptive && (o->look.dark || !file_ends_with(o->out, ".svg")))
        return err_set(e, ERR_USAGE,
                       o->look.dark ? "--adaptive and --dark exclude each other"
                                    : "--adaptive is for .svg alone");
    for (int i = 0; i < c->n_pos; i++) {
        /* In the folder of a run a picture may be; the run's own files are out_free's matter. */
        const int rc = file_is_dir(c->pos[i]) ? 0 : out_spares(o->out, c->pos[i], e);
        if (rc) return rc;
    }
    return out_free(o->out, o->overwrite, e);
}

/* Says when a name is not shown as it is. */
static void note_fonts(const struct opts *o, const struct plot_set *s) {
    bool changed = false;
    for (size_t i = 0; i < s->n; i++) {
        char *name = strdup(s->run[i].name);
        changed |= name && chart_text_common(name);
        free(name);
    }
    if (changed)
        fprintf(stderr,
                "%s: characters of names that there may be no font for are \"?\"; an .svg "
                "has them\n",
                o->out);
}

static void say_saved(const struct opts *o, const struct plot_set *s) {
    size_t vals = 0;
    for (size_t i = 0; i < s->n; i++) vals += s->run[i].run.n_vals;
    fputs("saved ", stderr);
    screen_write(stderr, o->out, strlen(o->out));
    fprintf(stderr, ": %zu run%s, %zu validation%s\n", s->n, s->n == 1 ? "" : "s", vals,
            vals == 1 ? "" : "s");
}

static int run(int argc, char **argv, struct err *e) {
    struct opts o;
    struct conf c = {0};
    struct plot_set s = {0};
    bool done;
    int rc;
    TRY(cmd_parse(&cmd_plot, &c, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(check_opts(&o, &c, e));
    for (int i = 0; i < c.n_pos; i++) TRY(plot_set_add(&s, c.pos[i], e));
    for (size_t i = 0; i < s.n; i++)
        if (s.run[i].run.notes)
            screen_write(stderr, s.run[i].run.notes, strlen(s.run[i].run.notes));
    TRY(plot_set_name(&s, e));
    TRY(file_ends_with(o.out, ".tsv") ? plot_set_write(&s, o.out, e)
                                      : plot_draw(&s, &o.look, o.out, e));
    say_saved(&o, &s);
    if (chart_has_format(o.out) && !file_ends_with(o.out, ".svg")) note_fonts(&o, &s);
out:
    plot_set_release(&s);
    conf_release(&c);
    return rc;
}

const struct cmd cmd_plot = {
    .name = "plot",
    .summary = "Draw runs: loss, learning rate and more against steps, seconds or tokens.",
    .usage = "RUN... -o FILE [OPTION...]",
    .notes =
        "RUN is the folder of a run, also of one that is being trained, or a table that -o "
        "FILE.tsv wrote\n"
        "(docs/formats.md): so pictures can be drawn again without the runs. Validations are "
        "marked "
        "points\n"
        "with their standard error, the best of a run has a ring; pale lines are training. The "
        "dashed\n"
        "line is what no model can go below, where the corpus tells it. Runs are named by their "
        "--name,\n"
        "else by the options in which they differ, if these are one or two, else by their "
        "folders.\n"
        "Pictures are drawn by gnuplot, a program of its own (Debian, Ubuntu: apt-get install "
        "gnuplot-nox).",
    .rows = rows,
    .run = run,
};
