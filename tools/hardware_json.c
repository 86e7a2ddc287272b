#include "facts.h"
#include "hardware.h"
#include "num.h"

#include <math.h>
#include <string.h>

double hardware_peak(const struct hardware *h, enum dtype compute) {
    return peaks_chosen(&h->peaks, compute, machine_threads(&h->machine));
}

double hardware_tokens(const struct hardware *h, const struct size_shape *s,
                       const struct size_need *need, enum dtype compute) {
    const bool bf16 = compute == DT_BF16;
    const double peak = hardware_peak(h, compute), share = bf16 ? s->share_bf16 : s->share_f32;
    if (!(peak > 0) || (bf16 && gemm_faster_compute("auto", &h->machine.cpu) != DT_BF16))
        return NAN;
    return 1e9 * share * peak / need->flops * (double)need->tokens;
}

/* Where 0 means that it is not known, or that there is none. */
static json_t *whole(int64_t n) {
    return n ? json_integer((json_int_t)n) : json_null();
}

static json_t *cpu_json(const struct hardware *h) {
    const struct topology *t = &h->topology;
    json_t *o = json_object(), *kinds = json_array();
    for (int i = 0; i < t->n_kinds; i++)
        json_array_append_new(kinds, json_pack("{s:s,s:i}", "kind", t->kind[i].name, "threads",
                                               t->kind[i].threads));
    facts_text(o, "model", h->model);
    facts_put(o, "sockets", whole(t->sockets));
    facts_put(o, "cores", whole(t->cores));
    facts_put(o, "threads", whole(t->threads));
    facts_put(o, "usable_threads", json_integer(h->usable));
    facts_put(o, "quota", whole(h->quota));
    facts_put(o, "kinds", kinds);
    return o;
}

static json_t *tiers_json(const struct hardware *h) {
    json_t *list = json_array();
    for (int t = 0; t < CPU_TIER_COUNT; t++)
        json_array_append_new(
            list, json_pack("{s:s,s:b,s:b,s:b}", "name", cpu_tier_name((enum cpu_tier)t), "built",
                            cpu_tier_built((enum cpu_tier)t), "runs", t <= (int)cpu_best(),
                            "chosen", t == (int)h->machine.cpu.tier));
    return list;
}

static json_t *caches_json(const struct topology *t) {
    static const char *const type[] = {"", "data", "instructions", "unified"};
    json_t *list = json_array();
    for (int i = 0; i < t->n_caches; i++) {
        const struct cpu_cache *c = t->cache + i;
        char name[16];
        json_t *o = json_object();
        facts_text(o, "name", cliff_cache_name(c, name));
        facts_put(o, "level", json_integer(c->level));
        facts_text(o, "type", type[c->type]);
        facts_put(o, "bytes", json_integer((json_int_t)c->bytes));
        facts_put(o, "shared_by_threads", json_integer(c->threads));
        facts_put(o, "count", whole(c->count));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *memory_json(const struct hardware *h) {
    const struct memory_limits *m = &h->memory;
    json_t *o = json_object();
    facts_put(o, "total_bytes", whole((int64_t)m->total));
    facts_put(o, "available_bytes", whole((int64_t)m->available));
    facts_put(o, "group_limit_bytes", whole((int64_t)m->group));
    facts_put(o, "group_left_bytes", whole((int64_t)m->group_left));
    facts_put(o, "rlimit_bytes", whole((int64_t)m->rlimit));
    facts_put(o, "rlimit_left_bytes", whole((int64_t)m->rlimit_left));
    facts_put(o, "usable_bytes", whole((int64_t)h->plannable));
    return o;
}

static json_t *nodes_json(const struct topology *t) {
    json_t *list = json_array();
    for (int i = 0; i < t->n_nodes; i++) {
        json_t *o = json_object();
        facts_put(o, "node", json_integer(t->node[i].id));
        facts_put(o, "threads", json_integer(t->node[i].threads));
        facts_put(o, "bytes", whole(t->node[i].bytes));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *cliffs_json(const struct hardware *h) {
    json_t *list = json_array();
    for (size_t k = 0; k < sizeof h->cliffs / sizeof *h->cliffs; k++)
        for (int i = 0; i < h->cliffs[k].n; i++) {
            const struct hardware_cliffs *of = h->cliffs + k;
            const struct cliff *c = of->cliff + i;
            char text[CLIFF_TEXT];
            json_t *o = json_object();
            facts_text(o, "curve", bandwidth_kind_name(of->kind));
            facts_put(o, "threads", json_integer(of->threads));
            facts_put(o, "from_bytes", json_integer((json_int_t)c->from));
            facts_put(o, "to_bytes", json_integer((json_int_t)c->to));
            facts_put(o, "before_gb_s", num_json(c->before));
            facts_put(o, "after_gb_s", num_json(c->after));
            facts_text(o, "what", cliff_text(c, h->topology.cache, h->topology.n_caches,
                                             of->threads, text));
            json_array_append_new(list, o);
        }
    return list;
}

static json_t *bandwidth_json(const struct hardware *h) {
    const struct bandwidth *b = &h->bandwidth;
    json_t *o = json_object(), *curve = json_array();
    for (int i = 0; i < b->n; i++) {
        json_t *p = json_object();
        facts_put(p, "bytes", json_integer((json_int_t)b->point[i].bytes));
        for (int k = 0; k < BANDWIDTH_COUNT; k++)
            facts_put(p, bandwidth_kind_name((enum bandwidth_kind)k),
                      num_json(b->point[i].rate[k]));
        json_array_append_new(curve, p);
    }
    facts_put(o, "threads", json_integer(b->threads));
    facts_put(o, "rounds", json_integer(b->rounds));
    facts_put(o, "cut", json_boolean(b->cut));
    for (int k = 0; k < BANDWIDTH_COUNT; k++) {
        char key[32];
        snprintf(key, sizeof key, "%s_gb_s", bandwidth_kind_name((enum bandwidth_kind)k));
        facts_put(o, key, num_json(b->point[b->n - 1].rate[k]));
    }
    facts_put(o, "curve", curve);
    facts_put(o, "cliffs", cliffs_json(h));
    return o;
}

static json_t *peaks_json(const struct peaks *p) {
    json_t *list = json_array();
    for (int i = 0; i < p->n; i++) {
        const struct peaks_way *w = p->way + i;
        json_t *o = json_object();
        facts_text(o, "tier", cpu_tier_name(w->cpu.tier));
        facts_put(o, "tiles", json_boolean(w->cpu.tiles));
        facts_put(o, "chosen", json_boolean(w->chosen));
        facts_put(o, "threads", json_integer(w->threads));
        facts_text(o, "compute", dtype_row(w->compute)->name);
        facts_text(o, "backend", w->gemm.backend->name);
        facts_text(o, "products", peaks_rate_name(w->rate));
        facts_put(o, "side", json_integer((json_int_t)w->side));
        facts_put(o, "gflops", num_json(w->gflops.median));
        facts_put(o, "gflops_low", num_json(w->gflops.low));
        facts_put(o, "gflops_high", num_json(w->gflops.high));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *reference_json(const struct hardware *h) {
    const struct drift_range d = drift_range(&h->reference.rates);
    json_t *o = json_object();
    facts_put(o, "side", json_integer((json_int_t)h->reference.data.shape.m));
    facts_put(o, "gflops", num_json(drift_spread(&h->reference.rates).median));
    facts_put(o, "gflops_low", num_json(d.low));
    facts_put(o, "gflops_high", num_json(d.high));
    facts_put(o, "moved", num_json(d.moved));
    facts_put(o, "usual_gflops", h->usual > 0 ? num_json(h->usual) : json_null());
    return o;
}

/* What a shape and a class have in common. */
static json_t *size_json(const struct hardware *h, const struct size_shape *s,
                         const struct class_fit *f) {
    char options[SIZE_TEXT];
    json_t *o = json_object();
    facts_text(o, "name", s->name);
    facts_text(o, "options", size_options(s, options));
    facts_put(o, "layers", json_integer((json_int_t)f->need.layers));
    facts_put(o, "width", json_integer((json_int_t)f->need.dim));
    facts_put(o, "params", json_integer((json_int_t)f->need.params));
    facts_put(o, "tokens_per_update", json_integer((json_int_t)f->need.tokens));
    facts_put(o, "flops_per_update", num_json(f->need.flops));
    facts_put(o, "planned_bytes", json_integer((json_int_t)f->need.bytes));
    facts_put(o, "fits", h->plannable ? json_boolean(f->fits) : json_null());
    facts_put(o, "peak_share_f32", num_json(s->share_f32));
    facts_put(o, "peak_share_bf16", num_json(s->share_bf16));
    facts_put(o, "tokens_per_second_f32", num_json(hardware_tokens(h, s, &f->need, DT_F32)));
    facts_put(o, "tokens_per_second_bf16", num_json(hardware_tokens(h, s, &f->need, DT_BF16)));
    return o;
}

static json_t *class_json(const struct hardware *h, int i) {
    const struct class_fit *f = h->class + i;
    json_t *o = size_json(h, size_classes + i, f);
    facts_text(o, "chips_memory", size_classes[i].memory);
    facts_put(o, "updates_in_300_s", num_json(f->updates));
    facts_put(o, "threads_needed", whole(f->threads));
    facts_put(o, "fast_enough", json_boolean(f->fast));
    return o;
}

json_t *hardware_json(const struct hardware *h) {
    json_t *o = json_object(), *shapes = json_array(), *classes = json_array();
    for (int i = 0; i < n_size_shapes; i++)
        json_array_append_new(shapes, size_json(h, size_shapes + i, h->shape + i));
    for (int i = 0; i < n_size_classes; i++) json_array_append_new(classes, class_json(h, i));
    facts_put(o, "cpu", cpu_json(h));
    facts_put(o, "tiers", tiers_json(h));
    facts_put(o, "tiles", json_boolean(h->machine.cpu.tiles));
    facts_put(o, "caches", caches_json(&h->topology));
    facts_put(o, "memory", memory_json(h));
    facts_put(o, "nodes", nodes_json(&h->topology));
    facts_put(o, "quick", json_boolean(h->quick));
    facts_put(o, "threads", json_integer(machine_threads(&h->machine)));
    facts_put(o, "bandwidth", bandwidth_json(h));
    facts_put(o, "peaks", peaks_json(&h->peaks));
    facts_put(o, "reference", reference_json(h));
    facts_put(o, "shapes", shapes);
    facts_put(o, "classes", classes);
    facts_put(o, "class",
              h->in_class < 0 ? json_null() : json_string(size_classes[h->in_class].name));
    facts_put(o, "cut", json_boolean(h->bandwidth.cut || h->peaks.cut));
    facts_put(o, "seconds", num_json(h->seconds));
    return o;
}
