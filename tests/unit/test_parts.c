/* The tables of parts: every name is one part's and leads back to it, what other code asks for is
 * there, and a model has exactly the parameters that its table and config say. */
#include "llama_fixture.h"

#include "arch.h"
#include "config_refuse.h"

enum { MOST_LAYERS = 99999 };

static const struct part_table *table(int i) {
    return arch_parts.all[i];
}

/* The part behind its own name, in the first, another and the last possible layer. */
static void leads_back(const struct part_table *t, const struct part *p, enum part_names in) {
    static const uint32_t layers[] = {0, 7, 10, MOST_LAYERS};
    char name[PART_NAME];
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        uint32_t layer;
        part_name(name, p, in, layers[i]);
        if (part_find(t, in, name, &layer) != p) fail_msg("%s: %s is another part", t->name, name);
        assert_int_equal(layer, part_in_layers(p) ? layers[i] : 0);
        if (in == NAMES_GGUF) assert_true(strlen(name) < 64); /* what GGUF takes */
        strcat(name, "x");
        assert_null(part_find(t, in, name, &layer));
    }
}

static void names_lead_back(void **state) {
    (void)state;
    for (int i = 0; i < arch_parts.n; i++)
        for (int k = 0; k < table(i)->n; k++) {
            const struct part *p = table(i)->part + k;
            leads_back(table(i), p, NAMES_HF);
            if (p->gguf) leads_back(table(i), p, NAMES_GGUF);
            if (p->gguf) assert_int_equal(part_in_layers(p), strchr(p->gguf, '*') != NULL);
        }
}

static void no_such_names(void **state) {
    (void)state;
    static const char *const names[] = {
        "",
        "model",
        "model.layers.0",
        "model.layers.00.mlp.up_proj.weight",
        "model.layers.01.mlp.up_proj.weight",
        "model.layers.123456.mlp.up_proj.weight",
        "model.layers..mlp.up_proj.weight",
        "model.layers.-1.mlp.up_proj.weight",
        "model.layers.1mlp.up_proj.weight",
        "model.layers.1.mlp.up_proj",
        "mlp.up_proj.weight",
        "model.layers.*.mlp.up_proj.weight",
    };
    uint32_t layer;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_null(part_find(table(0), NAMES_HF, names[i], &layer));
}

static void lora_names(void **state) {
    (void)state;
    char name[PART_NAME];
    uint32_t layer;
    bool b;
    for (int i = 0; i < arch_parts.n; i++)
        for (int k = 0; k < table(i)->n; k++) {
            const struct part *p = table(i)->part + k;
            for (int half = 0; half < 2; half++) {
                part_lora_name(name, p, 3, half);
                const struct part *found = part_find_lora(table(i), name, &layer, &b);
                if (p->lora) assert_true(found == p && layer == 3 && b == half);
                if (!p->lora && strstr(p->hf, ".weight")) assert_null(found);
            }
        }
    assert_null(part_find_lora(table(0), ".lora_A.weight", &layer, &b));
    assert_null(part_find_lora(table(0), "model.layers.0.mlp.up_proj.weight", &layer, &b));
}

/* Of each table: embedding and classifier, of the shapes and conditions that are taken for granted;
 * layers together; every part has a group; a word of LoRA is a matrix's. */
static void complete(void **state) {
    (void)state;
    for (int i = 0; i < arch_parts.n; i++) {
        const struct part_table *t = table(i);
        const struct part *embed = part_of(t, PART_EMBED), *head = part_of(t, PART_HEAD);
        int runs = 0;
        if (!embed || !head) fail_msg("%s has no embedding or no classifier", t->name);
        assert_true(embed->when == IF_ALWAYS && head->when == IF_UNTIED);
        assert_true(embed->rows == SIDE_VOCAB && head->rows == SIDE_VOCAB);
        assert_true(embed->cols == head->cols && !part_in_layers(embed) && !part_in_layers(head));
        for (int k = 0; k < t->n; k++) {
            const struct part *p = t->part + k;
            runs += part_in_layers(p) && (!k || !part_in_layers(p - 1));
            if (!p->group) fail_msg("%s: %s has no group", t->name, p->hf);
            if (p->lora && p->role != ROLE_matrix) fail_msg("%s: %s has LoRA", t->name, p->hf);
            if ((p->role == ROLE_embed) != (p->rows == SIDE_VOCAB))
                fail_msg("%s: %s: role embed is a row for each token", t->name, p->hf);
            if (p->rows == SIDE_NONE && p->init != INIT_ONES && p->init != INIT_ZEROS)
                fail_msg("%s: %s is a vector that begins random", t->name, p->hf);
        }
        assert_int_equal(runs, 1);
        assert_true(parts_find(&arch_parts, t->name) == t && t->hf_class);
        if (!parts_computes(t, "hidden_act")) fail_msg("%s computes no hidden_act", t->name);
        for (const struct part_computes *c = t->computes; c->key; c++)
            if (!c->values[0] || !config_refuse_knows(c->key))
                fail_msg("%s: %s has no value, or is not in config_refuse.c", t->name, c->key);
    }
    assert_null(parts_find(&arch_parts, "nothing"));
    assert_null(parts_find_gguf(&arch_parts, "mistral"));
    assert_string_equal(parts_find_gguf(&arch_parts, "llama")->name, "llama");
}

/* Every parameter is a part's, in its shape; every part that the model has is there in each layer,
 * but for tables that not every layer has. */
static void models_have_them(void **state) {
    (void)state;
    for (int i = 0; i < N_VARIANTS; i++) {
        struct model m = create_model(variants + i);
        const struct part_table *t = &arch_find(m.config.arch)->parts;
        const struct part_sizes sizes = arch_sizes(&m.config);
        int64_t want = 0;
        for (int k = 0; k < t->n; k++) {
            const struct part *p = t->part + k;
            int64_t n = 0;
            for (int j = 0; j < m.n_params; j++) {
                const struct param *q = m.params + j;
                uint64_t shape[2];
                uint32_t layer;
                if (q->part != p) continue;
                n++;
                assert_ptr_equal(part_find(t, NAMES_HF, q->name, &layer), p);
                assert_int_equal(q->layer, part_in_layers(p) ? (int)layer : -1);
                assert_int_equal(part_shape(p, &sizes, shape), q->ndim);
                assert_int_equal(q->cols, shape[q->ndim - 1]);
                assert_int_equal(q->rows, q->ndim == 2 ? shape[0] : 1);
                want += q->rows * q->cols;
            }
            const int64_t layers = part_in_layers(p) ? m.config.layers : 1;
            const bool some = p->when == IF_VALUE_EMBED;
            assert_int_equal(n, !sizes.has[p->when] ? 0 : some ? (layers + 1) / 2 : layers);
        }
        assert_int_equal(model_param_count(&m), want);
        model_close(&m);
    }
}

static struct model described(const char *keys) {
    char json[512];
    struct model_config c;
    struct model m;
    const int n = snprintf(json, sizeof json,
                           "{\"hidden_size\":16,\"intermediate_size\":24,\"num_hidden_layers\":3,"
                           "\"num_attention_heads\":4,\"vocab_size\":20,%s}",
                           keys);
    assert_in_range(n, 1, sizeof json - 1);
    e = (struct err){0};
    if (model_config_parse(&c, json, (size_t)n, "config.json", NULL, &e)) return (struct model){0};
    ok(model_create(&m, &c, &e));
    return m;
}

static bool same_node(const struct node *a, const struct node *b) {
    return a->op == b->op && a->n_in == b->n_in && a->n_param == b->n_param && a->eps == b->eps &&
           a->scale == b->scale && a->cap == b->cap && a->theta == b->theta &&
           a->kv_heads == b->kv_heads && a->head_dim == b->head_dim &&
           !a->rope_factors == !b->rope_factors && !memcmp(a->param, b->param, sizeof a->param);
}

static bool same_graph(const struct graph *a, const struct graph *b) {
    if (a->n_params != b->n_params || a->n_nodes != b->n_nodes) return false;
    for (int i = 0; i < a->n_nodes; i++)
        if (!same_node(a->nodes + i, b->nodes + i)) return false;
    return true;
}

/* What a key of config.c switches on is in the graph, or refused by name: no architecture passes
 * one over. */
static void nothing_is_passed_over(void **state) {
    (void)state;
    static const struct {
        const char *says, *off, *on;
    } switches[] = {
        {"num_key_value_heads", "\"num_key_value_heads\":4", "\"num_key_value_heads\":2"},
        {"head_dim", "\"head_dim\":4", "\"head_dim\":6"},
        {"rms_norm_eps", "\"rms_norm_eps\":1e-5", "\"rms_norm_eps\":1e-6"},
        {"rope_theta", "\"rope_theta\":1e4", "\"rope_theta\":1e5"},
        {"rope_scaling", "\"rope_scaling\":null",
         "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}"},
        {"tie_word_embeddings", "\"tie_word_embeddings\":true", "\"tie_word_embeddings\":false"},
        {"attention_bias", "\"attention_bias\":false", "\"attention_bias\":true"},
        {"duet.residual_scale", "\"duet\":{}", "\"duet\":{\"residual_scale\":0.5}"},
        {"duet.logit_softcap", "\"duet\":{}", "\"duet\":{\"logit_softcap\":20}"},
        {"duet.qk_norm", "\"duet\":{\"qk_norm\":false}", "\"duet\":{\"qk_norm\":true}"},
        {"duet.value_embeds", "\"duet\":{}", "\"duet\":{\"value_embeds\":true}"},
        {"duet.rope_local_theta", "\"duet\":{}", "\"duet\":{\"rope_local_theta\":50}"},
        {"duet.rope_local_theta", "\"duet\":{\"rope_local_theta\":50}",
         "\"duet\":{\"rope_local_theta\":50,\"rope_global_every\":2}"},
    };
    int refused = 0;
    for (int i = 0; i < arch_parts.n; i++)
        for (size_t k = 0; k < sizeof switches / sizeof *switches; k++) {
            const char *sides[] = {switches[k].off, switches[k].on};
            char keys[256], says[64];
            struct model m[2];
            for (int on = 0; on < 2; on++) {
                snprintf(keys, sizeof keys, "\"model_type\":\"%s\",\"sliding_window\":null,%s",
                         table(i)->name, sides[on]);
                m[on] = described(keys);
            }
            snprintf(says, sizeof says, "config.json: %s is set", switches[k].says);
            if (!m[1].n_params && !strstr(e.msg, says)) fail_msg("%s: %s", keys, e.msg);
            if (m[1].n_params && same_graph(&m[0].graph, &m[1].graph))
                fail_msg("%s: %s is passed over", table(i)->name, switches[k].on);
            refused += !m[1].n_params;
            for (int on = 0; on < 2; on++)
                if (m[on].n_params) model_close(m + on);
        }
    assert_int_equal(refused, 5); /* arcee's */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_back), cmocka_unit_test(no_such_names),
        cmocka_unit_test(lora_names),      cmocka_unit_test(complete),
        cmocka_unit_test(models_have_them), cmocka_unit_test(nothing_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
