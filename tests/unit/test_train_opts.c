/* The table of training options: each row says what a resume may do with it, and the defaults of
 * the rows alone make a setup. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "train_opts.h"

#include <stdlib.h>
#include <string.h>

static const struct cpu cpu = {.tier = CPU_generic};

static void every_row_says_what_a_resume_may_do(void **state) {
    (void)state;
    for (const struct conf_row *r = train_rows; r->type != CONF_T_END; r++) {
        if (!r->name) continue;
        if (r->resume == RESUME_UNSAID) print_message("--%s\n", r->name);
        assert_int_not_equal(r->resume, RESUME_UNSAID);
        if (r->resume == RESUME_SOURCE)
            assert_true(r->type == CONF_T_STRING || r->type == CONF_T_LIST);
        if (r->resume != RESUME_FREE && r->resume != RESUME_START) assert_false(r->internal);
    }
    assert_int_equal(conf_row(train_rows, "steps")->resume, RESUME_FREE);
    assert_int_equal(conf_row(train_rows, "batch")->resume, RESUME_RECORDED);
    assert_int_equal(conf_row(train_rows, "optimizer")->resume, RESUME_FIXED);
    assert_int_equal(conf_row(train_rows, "data")->resume, RESUME_SOURCE);
    assert_int_equal(conf_row(train_rows, "out")->resume, RESUME_START);
    assert_null(conf_row(train_rows, "step"));
}

/* What bench builds on. */
static void defaults_alone_make_a_setup(void **state) {
    (void)state;
    struct conf c;
    struct train_opts o;
    struct train_setup s;
    struct err e;
    assert_int_equal(conf_parse(&c, train_rows, &o, 0, NULL, &e), 0);
    o.steps = 1;
    if (train_setup_make(&s, &o, &cpu, &e)) fail_msg("%s", e.msg);
    assert_string_equal(s.optimizer->name, "adamw");
    assert_true(s.lr == s.optimizer->lr);
    conf_release(&c);
}

/* Settings recorded by versions that had the option. */
static void what_is_gone_is_refused_by_name(void **state) {
    (void)state;
    struct conf c;
    struct train_opts o;
    struct err e;
    char option[] = "--rng", value[] = "counter", *argv[] = {option, value};
    assert_int_equal(conf_parse(&c, train_rows, &o, 0, NULL, &e), 0);
    assert_int_equal(conf_read_defaults_text(&c, "{\"rng\": \"counter\"}", "r/x.zo", &e), 0);
    char *json = conf_to_json(&c, NULL, NULL);
    assert_non_null(json);
    assert_null(strstr(json, "rng"));
    free(json);
    assert_int_equal(conf_read_defaults_text(&c, "{\"rng\": \"compat\"}", "r/x.zo", &e),
                     ERR_INPUT);
    assert_non_null(strstr(e.msg, "r/x.zo: \"rng\" is \"compat\": "));
    assert_non_null(strstr(e.msg, "7279bbc"));
    conf_release(&c);
    assert_int_equal(conf_parse(&c, train_rows, &o, 2, argv, &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "--rng"));
    assert_non_null(strstr(e.msg, "7279bbc"));
    conf_release(&c);
}

/* What a row says of another option is of one that there is. */
static void company_is_known(void **state) {
    (void)state;
    int n = 0;
    for (const struct conf_row *r = train_rows; r->type != CONF_T_END; r++)
        for (int i = 0; i < 2; i++) {
            const char *text = i ? r->with : r->without, *word = text ? strchr(text, ' ') : NULL;
            char name[64];
            if (!text) continue;
            n++;
            snprintf(name, sizeof name, "%.*s", (int)strcspn(text, " "), text);
            const struct conf_row *other = conf_row(train_rows, name);
            assert_non_null(other);
            assert_ptr_not_equal(other, r);
            assert_true(!word == (other->type != CONF_T_CHOICE));
            if (word) assert_non_null(strstr(other->choices, word + 1));
        }
    assert_true(n > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_says_what_a_resume_may_do),
        cmocka_unit_test(company_is_known),
        cmocka_unit_test(defaults_alone_make_a_setup),
        cmocka_unit_test(what_is_gone_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
