/* Where a search begins. */
#include "search.h"

#include "hand_files.h"
#include "json_text.h"
#include "machine.h"
#include "train_model.h"
#include "train_opts.h"

#include <stdlib.h>
#include <string.h>

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a search's base");
}

/* The base as `duet train` reads it, with what it would decide in the place of -1 and auto. */
struct read_base {
    struct conf conf;
    struct train_opts o;
    struct adapter_words words;
    struct train_setup setup;
};

static int read_base(struct read_base *b, const struct search_file *f, struct err *e) {
    int rc;
    struct cpu cpu;
    json_t *options = search_file_options(f, NULL); /* with the budget */
    char *text = options ? json_text_dump(options, JSON_COMPACT) : NULL, what[600];
    json_decref(options);
    snprintf(what, sizeof what, "%.500s: \"base\"", f->path);
    if (!text) TRY(no_memory(e));
    TRY(conf_parse(&b->conf, train_rows, &b->o, 0, NULL, e));
    TRY(conf_read_defaults_text(&b->conf, text, what, e));
    TRY(train_take_adapter(&b->o, &b->conf, &b->words, e));
    TRY(machine_cpu(&cpu, e));
    rc = train_setup_make(&b->setup, &b->o, &cpu, e);
    if (rc)
        err_prefix(e, "%s", what);
    else
        train_opts_resolve(&b->o, &b->setup);
out:
    free(text);
    return rc;
}

static void release(struct read_base *b) {
    train_release_adapter(&b->words);
    conf_release(&b->conf);
}

/* What the description says of a key of --set; borrowed, or NULL. Not the vocabulary, which is the
 * tokenizer's unless it is set; null is silence. */
static json_t *described(const json_t *description, const char *key) {
    const json_t *own = json_object_get(description, "duet");
    json_t *v = strncmp(key, "duet.", 5) ? json_object_get(description, key)
                                         : json_object_get(own, key + 5);
    return json_is_null(v) || !strcmp(key, "vocab_size") ? NULL : v;
}

static bool put(json_t *to, const char *key, json_t *v) {
    return !v || json_object_get(to, key) || !json_object_set(to, key, v);
}

/* Does the base leave it to `duet train`, in so many words? */
static bool is_left_open(const char *key, const json_t *v) {
    const struct conf_row *row = conf_row(train_rows, key);
    const char *def = row ? row->def : NULL;
    if (!def) return false;
    if (!strcmp(def, "-1")) return json_is_number(v) && json_number_value(v) == -1;
    return !strcmp(def, "auto") && json_is_string(v) && !strcmp(json_string_value(v), def);
}

/* An option as it is given, else as it would be decided; where that is not known it stays away. */
static bool put_option(json_t *base, const char *key, json_t *decided) {
    if (is_left_open(key, json_object_get(base, key))) json_object_del(base, key);
    return put(base, key, decided);
}

/* What trains the base where programs compete: the search's own, else the one that drives, else the
 * first. Borrowed. */
static json_t *first_program(const struct search_file *f, const struct axis *a) {
    json_t *own = json_object_get(f->json, "program"), *v;
    size_t i;
    if (json_is_string(own)) return own;
    json_array_foreach(a->choices, i, v)
        if (hand_same_file(json_string_value(v), "/proc/self/exe")) return v;
    return json_array_get(a->choices, 0);
}

/* A base without a model cannot be trained: it has the one in the middle of the axis. */
static bool put_model(json_t *base, const struct space *s) {
    static const char *const keys[] = {"model", "init"};
    bool ok = true;
    for (size_t i = 0; i < 2 && ok; i++) {
        const size_t axis = space_find(s, keys[i]);
        if (axis == s->n || json_object_get(base, "model") || json_object_get(base, "init"))
            continue;
        const json_t *all = s->axis[axis].choices;
        ok = put(base, keys[i], json_array_get(all, axis_level(0.5, json_array_size(all))));
    }
    return ok;
}

/* Adds what the base leaves to options' defaults and to the model's description, of the axes. */
static int fill(const struct search_file *f, struct err *e) {
    struct read_base b = {0};
    struct train_files files = {0};
    struct model_config c = {0};
    json_t *base = f->base, *all = NULL, *set = NULL;
    char *text = NULL;
    int rc;
    if (!put_model(base, &f->space)) TRY(no_memory(e));
    TRY(read_base(&b, f, e));
    text = conf_to_json(&b.conf, NULL, NULL);
    all = text ? json_loads(text, 0, NULL) : NULL;
    set = json_object_get(base, "set");
    set = set ? json_copy(set) : json_object();
    if (!all || !set) TRY(no_memory(e));
    for (size_t i = 0; i < f->space.n; i++) {
        const char *key = f->space.axis[i].key;
        const bool inner = !strncmp(key, "set.", 4);
        if (inner && !c.json) TRY(train_model_config(&c, &b.o, &files, NULL, e));
        const bool ok = !strcmp(key, "program")
                            ? put(base, key, first_program(f, f->space.axis + i))
                        : inner ? put(set, key + 4, described(c.json, key + 4))
                                : put_option(base, key, json_object_get(all, key));
        if (!ok) TRY(no_memory(e));
    }
    if (json_object_set(base, "set", set)) rc = no_memory(e);
out:
    model_config_release(&c);
    train_files_close(&files);
    json_decref(all);
    json_decref(set);
    free(text);
    release(&b);
    return rc;
}

int search_base(const struct search_file *f, json_t **config, struct err *e) {
    struct search_file whole = *f;
    double u[SPACE_MAX_AXES];
    int rc;
    *config = NULL;
    whole.base = json_copy(f->base);
    if (!whole.base) TRY(no_memory(e));
    TRY(fill(&whole, e));
    TRY(search_file_start(&whole, NULL, u, e));
    *config = space_config(&f->space, u);
    rc = *config ? search_file_said(&whole, NULL, *config, e) : no_memory(e);
    if (rc) json_decref(*config), *config = NULL;
out:
    json_decref(whole.base);
    return rc;
}
