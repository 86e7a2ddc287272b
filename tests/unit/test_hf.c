/* Folders of Hugging Face's models: what is written is read back bit for bit, whatever was there
 * before, and a write that fails or is killed never leaves a mixture. */
#include "data.h"
#include "hf_fixture.h"

#include "guard.h"
#include "hf.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- a process that dies at one of the calls that change a folder ---- */

static int calls_left = -1;

static void count_call(void) {
    if (calls_left == 0) _exit(7);
    if (calls_left > 0) calls_left--;
}

int rename(const char *from, const char *to) {
    count_call();
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlink(const char *path) {
    count_call();
    return unlinkat(AT_FDCWD, path, 0);
}

/* ---- models ---- */

#define PT "{\"format\":\"pt\"}"

/* The small decoder with some tensors as f16 and bf16, tied or not, as a file to write. */
static void build_types(struct model_file *mf, bool tied) {
    static uint16_t halves[2][DIM * DIM];
    build(mf, tied, ",\"duet_test\":[1,2.5,1e-05]");
    dtype_from_f32(DT_F16, pool, halves[0], DIM * DIM);
    dtype_from_f32(DT_BF16, pool, halves[1], DIM * DIM);
    for (size_t i = 0; i < mf->n_tensors; i++) {
        struct mf_tensor *t = mf->tensors + i;
        const bool f16 = strstr(t->name, "q_proj") != NULL;
        if (!f16 && !strstr(t->name, "o_proj")) continue;
        t->dtype = f16 ? DT_F16 : DT_BF16;
        t->data = halves[!f16];
    }
}

static void side(struct model_file *mf, const char *name, const char *text) {
    assert_int_equal(model_file_side(mf, name, text, strlen(text), NULL, &e), 0);
}

/* Bytes, not values, which NaNs would not tell. */
static void assert_same_tensors(const struct model_file *a, const struct model_file *b) {
    assert_int_equal(a->n_tensors, b->n_tensors);
    for (size_t i = 0; i < a->n_tensors; i++) {
        const struct mf_tensor *s = &a->tensors[i], *t = model_file_find(b, s->name);
        assert_non_null(t);
        assert_int_equal(s->dtype, t->dtype);
        assert_int_equal(s->ndim, t->ndim);
        assert_memory_equal(s->shape, t->shape, sizeof(uint64_t) * (size_t)s->ndim);
        assert_memory_equal(s->data, t->data, dtype_bytes(s->dtype, mf_tensor_count(s)));
    }
}

static void round_trip(void **state) {
    (void)state;
    struct model_file a, b;
    size_t n, m;
    build_types(&a, false);
    a.meta = strdup("{\"step\":3,\"safetensors\":{\"x\":\"y\",\"format\":\"tf\"}}");
    side(&a, "tokenizer.json", "{\"model\": 1}\n");
    side(&a, "merges.txt", "");
    assert_int_equal(model_file_write(&a, "hf", at("new/er"), &e), 0);
    assert_int_equal(model_file_open(&b, at("new/er/"), true, &e), 0);
    assert_string_equal(b.format->name, "hf");
    assert_same_json(a.config, b.config);
    assert_same_json(b.meta, "{\"safetensors\":{\"format\":\"pt\",\"x\":\"y\"}}");
    assert_same_tensors(&a, &b);
    assert_int_equal(b.n_sides, 2);
    const struct mf_side *s = model_file_find_side(&b, "tokenizer.json");
    assert_true(s && s->bytes == 13 && !memcmp(s->data, "{\"model\": 1}\n", 13));
    s = model_file_find_side(&b, "merges.txt");
    assert_true(s && s->bytes == 0);
    assert_int_equal(
        check_weights(in("new/er", "model.safetensors"), "{\"format\":\"pt\",\"x\":\"y\"}", &a, 0),
        a.n_tensors);
    /* Indented, as people expect it. */
    uint8_t *x = slurp(in("new/er", "config.json"), &n);
    assert_memory_equal(x, "{\n  \"", 5);
    assert_int_equal(x[n - 1], '\n');
    free(x);
    /* What was read gives the same files, and the folder being read is left alone. */
    assert_int_equal(model_file_write(&b, "hf", at("two"), &e), 0);
    assert_int_equal(model_file_write(&b, "hf", at("new/er"), &e), ERR_INPUT);
    static const char *const files[] = {"model.safetensors", "config.json", "tokenizer.json",
                                        "merges.txt"};
    for (size_t i = 0; i < 4; i++) {
        x = slurp(in("new/er", files[i]), &n);
        uint8_t *y = slurp(in("two", files[i]), &m);
        assert_int_equal(n, m);
        assert_memory_equal(x, y, n);
        free(x);
        free(y);
    }
    free(b.path); /* also when only the maps tell */
    b.path = NULL;
    assert_int_equal(model_file_write(&b, "hf", at("new/er"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "is the folder being read"));
    model_file_close(&a);
    model_file_close(&b);
}

/* ---- shards and what was there before ---- */

static void assert_opens_as(const char *folder, const struct model_file *want) {
    struct model_file mf;
    if (model_file_open(&mf, at(folder), true, &e)) fail_msg("%s", e.msg);
    assert_same_tensors(want, &mf);
    assert_same_json(want->config, mf.config);
    assert_int_equal(want->n_sides, mf.n_sides);
    for (size_t i = 0; i < want->n_sides; i++) {
        const struct mf_side *s = model_file_find_side(&mf, want->sides[i].name);
        assert_true(s && s->bytes == want->sides[i].bytes);
        assert_memory_equal(s->data, want->sides[i].data, s->bytes);
    }
    model_file_close(&mf);
}

/* Number of shards, each at most limit bytes or one tensor. */
static size_t check_shards(const char *folder, const struct model_file *mf, size_t limit) {
    size_t n, tensors = 0, shards = 0;
    uint8_t *text = slurp(in(folder, "model.safetensors.index.json"), &n);
    text[n] = 0;
    json_t *index = parsed((char *)text), *map = json_object_get(index, "weight_map");
    uint64_t total = 0;
    for (size_t i = 0; i < mf->n_tensors; i++)
        total += dtype_bytes(mf->tensors[i].dtype, mf_tensor_count(mf->tensors + i));
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(index, "metadata"), "total_size")),
        total);
    assert_int_equal(json_object_size(map), mf->n_tensors);
    char name[64] = "";
    for (size_t of = 1; of < 100 && !shards; of++) {
        snprintf(name, sizeof name, "model-00001-of-%05zu.safetensors", of);
        if (there(folder, name)) shards = of;
    }
    for (size_t i = 1; i <= shards; i++) {
        struct stat st;
        snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i, shards);
        const size_t k = check_weights(in(folder, name), PT, mf, 0);
        assert_int_equal(stat(in(folder, name), &st), 0);
        assert_true(k == 1 || (size_t)st.st_size < limit + 16 + 160 * (k + 1));
        tensors += k;
    }
    assert_int_equal(tensors, mf->n_tensors);
    json_decref(index);
    free(text);
    return shards;
}

static void shards(void **state) {
    (void)state;
    struct model_file a, b;
    build_types(&a, false);
    side(&a, "vocab.json", "{\"a\":0}");
    side(&a, "merges.txt", "#version: 0.2\n");
    build(&b, true, "");
    put_text("s", "README.md", "stays");
    put_text("s", "model-1-of-2.safetensors", "is not a shard's name");
    assert_int_equal(hf_write(&a, at("s"), 300, &e), 0);
    const size_t n = check_shards("s", &a, 300);
    assert_in_range(n, 5, a.n_tensors - 1);
    assert_opens_as("s", &a);
    /* Other shards, a single file, shards again. */
    assert_int_equal(hf_write(&b, at("s"), 700, &e), 0);
    assert_true(check_shards("s", &b, 700) < n);
    assert_false(there("s", "vocab.json"));
    assert_opens_as("s", &b);
    assert_int_equal(hf_write(&a, at("s"), 1 << 20, &e), 0);
    assert_false(there("s", "model.safetensors.index.json"));
    assert_opens_as("s", &a);
    assert_int_equal(hf_write(&b, at("s"), 1, &e), 0);
    assert_int_equal(check_shards("s", &b, 1), b.n_tensors);
    assert_false(there("s", "model.safetensors"));
    assert_opens_as("s", &b);
    assert_int_equal(hf_write(&a, at("s"), 1 << 20, &e), 0);
    assert_false(there("s", "model-00001-of-00020.safetensors"));
    assert_true(there("s", "README.md") && there("s", "model-1-of-2.safetensors"));
    model_file_close(&a);
    model_file_close(&b);
}

static bool same_config(const struct model_file *a, const struct model_file *b) {
    json_t *x = parsed(a->config), *y = parsed(b->config);
    const bool same = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

static size_t count_files(const char *folder) {
    size_t n = 0;
    char command[256];
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", at(folder));
    FILE *p = popen(command, "r");
    assert_int_equal(fscanf(p, "%zu", &n), 1);
    pclose(p);
    return n;
}

/* What lies in a folder that is no model is the user's, even under a name of a model's file. */
static void not_a_model(void **state) {
    (void)state;
    struct model_file a, b;
    build(&a, true, "");
    build(&b, true, "");
    side(&b, "tokenizer.json", "{}");
    put_text("u", "vocab.json", "mine");
    put_text("u", "model-00001-of-00002.safetensors", "mine");
    /* Weights that would be read instead of those to be written. */
    put_text("u", "model.safetensors", "mine");
    assert_int_equal(hf_write(&a, at("u"), 300, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "has a model.safetensors"));
    assert_int_equal(count_files("u"), 3);
    remove(in("u", "model.safetensors"));
    assert_int_equal(hf_write(&a, at("u"), 1 << 20, &e), 0);
    assert_true(there("u", "vocab.json") && there("u", "model-00001-of-00002.safetensors"));
    assert_int_equal(count_files("u"), 4);
    /* Now it is one. */
    assert_int_equal(hf_write(&b, at("u"), 300, &e), 0);
    assert_opens_as("u", &b);
    assert_false(there("u", "vocab.json") || there("u", "model.safetensors"));
    model_file_close(&a);
    model_file_close(&b);
}

/* Killed before any call that changes a folder: the old model, the new one, or none. */
static void killed(void **state) {
    (void)state;
    static const struct {
        uint64_t before, after;
    } limits[] = {{1 << 20, 1 << 20}, {1 << 20, 1500}, {1500, 1 << 20}, {900, 1500}};
    struct model_file old, new, third, mf;
    build(&old, true, "");
    side(&old, "tokenizer.model", "old");
    build_types(&new, false);
    side(&new, "tokenizer.json", "new");
    build(&third, true, "");
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        int seen[3] = {0}, status = 1;
        for (int calls = 0; status != 0; calls++) {
            remove_tree(at("k"));
            assert_int_equal(hf_write(&old, at("k"), limits[i].before, &e), 0);
            const pid_t child = fork();
            if (child == 0) {
                calls_left = calls;
                _exit(hf_write(&new, at("k"), limits[i].after, &e) ? 1 : 0);
            }
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 7 || status == 0));
            if (model_file_open(&mf, at("k"), true, &e)) {
                assert_non_null(strstr(e.msg, "neither config.json nor"));
                seen[1]++;
            } else {
                const bool is_new = same_config(&mf, &new);
                model_file_close(&mf);
                assert_opens_as("k", is_new ? &new : &old);
                seen[is_new ? 2 : 0]++;
            }
            /* What a killed process left does not hinder the next one, and goes away. */
            assert_int_equal(hf_write(&third, at("k"), limits[i].before, &e), 0);
            assert_opens_as("k", &third);
            assert_false(there("k", "config.json" HF_ASIDE));
        }
        assert_true(seen[0] == 1 && seen[1] > 1 && seen[2] == 2);
    }
    model_file_close(&old);
    model_file_close(&new);
    model_file_close(&third);
}

/* What a check sees is a model; a signal ends the program in it. */
static int end_by_signal(void *ctx, const char *path, struct err *err) {
    struct model_file mf;
    if (model_file_open(&mf, path, true, err)) _exit(9);
    raise(*(const int *)ctx);
    _exit(8);
}

/* Ended by a signal while what was written is checked: as if it had never begun. */
static void ended_in_check(void **state) {
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct model_file old, new;
    build(&old, true, "");
    build_types(&new, false);
    assert_int_equal(hf_write(&old, at("ended"), 1 << 20, &e), 0);
    const size_t n = count_files("ended");
    assert_int_equal(mkdir(at("above"), 0777), 0);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        const struct mf_check check = {end_by_signal, (void *)(uintptr_t)(signals + i)};
        for (int fresh = 0; fresh < 2; fresh++) {
            int status;
            const pid_t child = fork();
            if (child == 0) {
                signal(signals[i], SIG_DFL);
                guard_install();
                new.check = &check;
                _exit(hf_write(&new, at(fresh ? "above/new/model" : "ended"), 1000, &e) ? 1 : 0);
            }
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
            assert_int_equal(count_files("ended"), n);
            assert_opens_as("ended", &old);
            assert_int_equal(count_files("above"), 0);
        }
    }
    model_file_close(&old);
    model_file_close(&new);
}

/* A disk that is full leaves the folder as it was. */
static void failed_write(void **state) {
    (void)state;
    struct model_file old, new;
    struct rlimit limit, small;
    static const struct {
        rlim_t size;
        uint64_t shard;
    } cases[] = {{0, 1 << 20}, {500, 1 << 20}, {2500, 1 << 20}, {0, 600}, {400, 600}};
    build(&old, true, "");
    side(&old, "tokenizer.model", "old");
    build_types(&new, false);
    side(&new, "tokenizer.json", "new");
    assert_int_equal(hf_write(&old, at("full"), 1 << 20, &e), 0);
    const size_t n = count_files("full");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        small.rlim_cur = cases[i].size;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        const int rc = hf_write(&new, at("full"), cases[i].shard, &e);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(rc, ERR_IO);
        assert_non_null(strstr(e.msg, "cannot write"));
        assert_opens_as("full", &old);
        assert_int_equal(count_files("full"), n);
    }
    /* And makes no folder. */
    small.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const int rc = hf_write(&new, at("none"), 1 << 20, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(rc, ERR_IO);
    assert_int_not_equal(access(at("none"), F_OK), 0);
    /* Nor those above it; what was there before stays. */
    mkdir(at("some"), 0777);
    static const char *const nested[] = {"none/of/these/", "some/none", "none//of/./these",
                                         "none/../some/new"};
    for (size_t i = 0; i < sizeof nested / sizeof *nested; i++) {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        assert_int_equal(hf_write(&new, at(nested[i]), 1 << 20, &e), ERR_IO);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_not_equal(access(at("none"), F_OK), 0);
        assert_true(access(at("some"), F_OK) == 0 && count_files("some") == 0);
    }
    model_file_close(&old);
    model_file_close(&new);
}

static void refused_writes(void **state) {
    (void)state;
    struct model_file mf;
    build(&mf, true, "");
    mf.tensors[3].dtype = DT_U16;
    assert_int_equal(model_file_write(&mf, "hf", at("r"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, mf.tensors[3].name));
    mf.tensors[3].dtype = DT_F32;
    mf.config[0] = '[';
    assert_int_equal(model_file_write(&mf, "hf", at("r"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "config"));
    mf.config[0] = '{';
    assert_int_not_equal(access(at("r"), F_OK), 0);
    put(at("file"), "x", 1);
    assert_int_equal(model_file_write(&mf, "hf", at("file"), &e), ERR_IO);
    /* Links, as in a cache of downloads, whose files are others'. */
    put_text("cache", "blob", "precious");
    mkdir(at("linked"), 0777);
    assert_int_equal(symlink("../cache/blob", in("linked", "config.json")), 0);
    assert_int_equal(model_file_write(&mf, "hf", at("linked"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "symbolic link"));
    assert_true(there("linked", "config.json"));
    assert_int_equal(count_files("linked"), 1);
    const size_t n = mf.n_tensors;
    mf.n_tensors = 0;
    assert_int_equal(model_file_write(&mf, "hf", at("r"), &e), ERR_INPUT);
    mf.n_tensors = n;
    model_file_close(&mf);
}

static void real_folder(void **state) {
    (void)state;
    struct model_file a, b;
    const char *path = data_file("weights/hf-tiny-random-llama");
    assert_int_equal(model_file_open(&a, path, true, &e), 0);
    assert_string_equal(a.format->name, "hf");
    assert_int_equal(a.n_tensors, 21);
    const struct mf_tensor *t = model_file_find(&a, "model.layers.1.mlp.down_proj.weight");
    assert_true(t && t->ndim == 2 && t->shape[0] == 16 && t->shape[1] == 64);
    assert_int_equal(model_file_write(&a, "hf", at("real"), &e), 0);
    assert_int_equal(check_weights(in("real", "model.safetensors"), PT, &a, 0), 21);
    assert_int_equal(model_file_open(&b, at("real"), true, &e), 0);
    assert_same_tensors(&a, &b);
    assert_same_json(a.config, b.config);
    model_file_close(&b);
    /* The reference implementation wrote the same bytes. */
    size_t n, m;
    char file[600];
    snprintf(file, sizeof file, "%s/model.safetensors", path);
    uint8_t *x = slurp(file, &n), *y = slurp(in("real", "model.safetensors"), &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
    model_file_close(&a);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),   cmocka_unit_test(shards),
        cmocka_unit_test(not_a_model),  cmocka_unit_test(killed),
        cmocka_unit_test(failed_write), cmocka_unit_test(ended_in_check),
        cmocka_unit_test(refused_writes),
        data_test(real_folder),
    };
    return data_run(argc, argv, tests, make_dir, remove_all);
}
