/* What a search keeps of files that are named by hand: copies under the hash of what is in them,
 * which are found wherever the folder is. */
#include "folder_fixture.h"

#include "file.h"
#include "hand_files.h"

static void put(const char *name, const char *text) {
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void make(const char *name) {
    assert_int_equal(mkdir(at(name), 0777), 0);
}

static char *keep(const char *name) {
    char *kept;
    ok(hand_keep_file(at("search"), "files", at(name), false, &kept, &e));
    return kept;
}

static char *keep_model(const char *name) {
    char *kept;
    ok(hand_keep_model(at("search"), at(name), &kept, &e));
    return kept;
}

/* Is it "./files/FRONT-" with 16 digits and END? */
static bool is_called(const char *kept, const char *front, const char *end) {
    char lead[100];
    const int n = snprintf(lead, sizeof lead, "./files/%s-", front);
    return !strncmp(kept, lead, (size_t)n) && strspn(kept + n, "0123456789abcdef") == 16 &&
           !strcmp(kept + n + 16, end);
}

static void holds(const char *folder, const char *kept, const char *text) {
    char *path = hand_find_file(folder, kept), *now = NULL;
    size_t n;
    assert_int_equal(*path, '/');
    ok(file_read_text(path, 1000, &now, &n, &e));
    assert_string_equal(now, text);
    free(now);
    free(path);
}

static void files_by_what_is_in_them(void **state) {
    (void)state;
    make("search");
    put("my.json", "{1}");
    char *one = keep("my.json"), *again = keep("my.json");
    assert_true(is_called(one, "my", ".json"));
    assert_string_equal(one, again);
    put("my.json", "{2}");
    char *two = keep("my.json");
    assert_string_not_equal(one, two);
    holds(at("search"), one, "{1}");
    holds(at("search"), two, "{2}");
    free(again);
    char inner[200];
    snprintf(inner, sizeof inner, "search/%s", one + 2);
    again = keep(inner); /* what lies there is its own copy */
    assert_string_equal(one, again);

    char *whole = hand_find_file(at("search"), one), *found;
    assert_int_equal(rename(at("search"), at("moved")), 0);
    holds(at("moved"), one, "{1}");
    found = hand_find_file(at("moved"), whole); /* as folders had it before */
    assert_true(strstr(found, "/moved/files/my-") && file_exists(found));
    free(found);
    static const char *const others[] = {"demo", "./other/x.json", "./files/none.json",
                                         "/none/files/x"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        found = hand_find_file(at("moved"), others[i]);
        assert_string_equal(found, others[i]);
        free(found);
    }
    found = hand_find_file(at("moved"), at("my.json"));
    assert_string_equal(found, at("my.json"));
    free(found);
    free(whole);
    free(again);
    free(one);
    free(two);
    assert_int_equal(remove_tree(at("moved")), 0);
}

/* Is it a copy of that file? */
static bool is_copy(const char *kept, const char *name) {
    char *path = hand_find_file(at("search"), kept);
    const bool same = hand_same_file(path, at(name));
    free(path);
    return same;
}

static void copies_and_programs(void **state) {
    (void)state;
    char *one, *again, *program, *path;
    struct stat st;
    make("search");
    put("my.json", "{}");
    put("copy.json", "{}");
    one = keep("my.json");
    assert_true(is_copy(one, "my.json") && is_copy(one, "copy.json"));
    path = hand_find_file(at("search"), one);
    FILE *f = fopen(path, "w");
    fputs("broken off", f); /* a name alone is no proof */
    fclose(f);
    assert_false(is_copy(one, "my.json"));
    again = keep("my.json");
    assert_string_equal(one, again);
    assert_true(is_copy(one, "my.json"));
    assert_int_equal(hand_keep_file(at("search"), "programs", at("my.json"), true, &program, &e),
                     ERR_USAGE);
    assert_non_null(strstr(e.msg, "my.json is no program: it cannot be executed"));
    assert_int_equal(hand_keep_file(at("search"), "files", at("none"), false, &program, &e),
                     ERR_USAGE);
    assert_int_equal(hand_keep_file(at("search"), "files", dir, false, &program, &e), ERR_USAGE);
    put("tool", "#!/bin/sh\n");
    chmod(at("tool"), 0700);
    ok(hand_keep_file(at("search"), "programs", at("tool"), true, &program, &e));
    assert_memory_equal(program, "./programs/tool-", 16);
    free(path);
    path = hand_find_file(at("search"), program);
    assert_true(!stat(path, &st) && (st.st_mode & 0111) == 0111);
    free(one);
    free(again);
    free(program);
    free(path);
    assert_int_equal(remove_tree(at("search")), 0);
}

/* A run by its weights, a folder of Hugging Face by all that lies there. */
static void models(void **state) {
    (void)state;
    char *one, *two;
    make("search");
    make("run");
    put("run/model.blzt", "weights");
    put("run/log.jsonl", "a");
    one = keep_model("run");
    assert_true(is_called(one, "model", ".blzt"));
    holds(at("search"), one, "weights");
    put("run/log.jsonl", "b");
    two = keep_model("run");
    assert_string_equal(one, two);
    free(two);
    put("run/model.blzt", "weightx");
    two = keep_model("run");
    assert_string_not_equal(one, two);
    holds(at("search"), one, "weights");
    free(one);
    free(two);

    make("hf");
    put("hf/config.json", "{}");
    put("hf/model.safetensors", "tensors");
    put("hf/.hidden", "1");
    one = keep_model("hf");
    assert_true(is_called(one, "hf", ""));
    put("hf/.hidden", "2");
    two = keep_model("hf/model.safetensors");
    assert_memory_equal(one, two, strlen(one));
    assert_string_equal(two + strlen(one), "/model.safetensors");
    holds(at("search"), two, "tensors");
    char inner[200];
    snprintf(inner, sizeof inner, "%s/config.json", one);
    holds(at("search"), inner, "{}");
    free(two);
    put("hf/config.json", "{1}");
    two = keep_model("hf");
    assert_string_not_equal(one, two);
    holds(at("search"), inner, "{}");
    free(two);
    snprintf(inner, sizeof inner, "search/%s", one + 2);
    two = keep_model(inner);
    assert_string_equal(one, two);
    free(one);
    free(two);
    assert_int_equal(hand_keep_model(at("search"), at("none"), &one, &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "none"));
    assert_int_equal(remove_tree(at("search")), 0);
}

static void is_changed(const char *kept, const char *sentence) {
    assert_int_equal(hand_check_kept(at("search"), kept, &e), ERR_INPUT);
    if (!strstr(e.msg, sentence)) fail_msg("%s", e.msg);
}

/* A copy that is edited, or gone, is found by its name; and is no copy of what it was. */
static void copies_that_are_edited(void **state) {
    (void)state;
    char inner[120], *one, *two, *all, *other;
    make("search");
    put("my.v2.json", "{1}");
    put("tool", "#!/bin/sh\n");
    chmod(at("tool"), 0700);
    make("web");
    put("web/config.json", "{}");
    put("web/model.safetensors", "tensors");
    one = keep("my.v2.json");
    ok(hand_keep_file(at("search"), "programs", at("tool"), true, &two, &e));
    all = keep_model("web/model.safetensors");
    ok(hand_check_kept(at("search"), one, &e));
    ok(hand_check_kept(at("search"), two, &e));
    ok(hand_check_kept(at("search"), all, &e));
    static const char *const others[] = {"demo", "./other/x-0123456789abcdef", "./files/none.json",
                                         "./files/0123456789abcdef", "/a/files/x-0123456789abcdef"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ok(hand_check_kept(at("search"), others[i], &e));
    snprintf(inner, sizeof inner, "search/%.100s", one + 2);
    put(inner, "{2}");
    is_changed(one, ".json was changed since it was kept (hash ");
    other = keep(inner);
    assert_string_not_equal(other, one);
    holds(at("search"), other, "{2}");
    free(other);
    free(keep("my.v2.json")); /* puts it back */
    ok(hand_check_kept(at("search"), one, &e));
    assert_int_equal(remove(at(inner)), 0);
    is_changed(one, ".json is not there any more, which its trials read");
    snprintf(inner, sizeof inner, "search/%.100s", two + 2);
    put(inner, "#!/bin/bash\n");
    is_changed(two, " was changed since it was kept");
    snprintf(inner, sizeof inner, "search/%.*sx", (int)(strrchr(all, '/') - all - 1), all + 2);
    put(inner, "one file more");
    is_changed(all, " was changed since it was kept");
    assert_int_equal(remove(at(inner)), 0);
    ok(hand_check_kept(at("search"), all, &e));
    free(one);
    free(two);
    free(all);
    assert_int_equal(remove_tree(at("search")), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_by_what_is_in_them),
        cmocka_unit_test(copies_and_programs),
        cmocka_unit_test(models),
        cmocka_unit_test(copies_that_are_edited),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_all);
}
