/* README.md of a folder of Hugging Face: the card of a model or an adapter. */
#include "arch.h"
#include "export_impl.h"
#include "model_lora.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "1,291,392" */
static const char *grouped(uint64_t x, char room[32]) {
    char digits[24];
    const int n = snprintf(digits, sizeof digits, "%" PRIu64, x);
    int at = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) room[at++] = ',';
        room[at++] = digits[i];
    }
    room[at] = 0;
    return room;
}

static uint64_t parameters(const struct model_file *out) {
    uint64_t n = 0;
    for (size_t i = 0; i < out->n_tensors; i++) n += mf_tensor_count(out->tensors + i);
    return n;
}

static const char *weights(const struct model_file *out, const struct model_config *c) {
    const struct part *embed = part_of(&arch_find(c->arch)->parts, PART_EMBED);
    const struct mf_tensor *t = model_file_find(out, embed->hf);
    return t ? dtype_row(t->dtype)->name : "f32";
}

/* Where the weights come from, as far as the file says. */
static void print_origin(FILE *f, const struct model_file *in) {
    const char *slash = in->path ? strrchr(in->path, '/') : NULL;
    const char *file = slash && slash[1] ? slash + 1 : in->path;
    json_t *meta = in->meta ? json_loads(in->meta, 0, NULL) : NULL;
    const json_t *step = json_object_get(meta, "step"), *tokens = json_object_get(meta, "tokens");
    const json_t *merged = json_object_get(meta, "merged");
    char room[32];
    fprintf(f, "Written by `duet convert`");
    if (file) fprintf(f, " from `%s`", file);
    if (json_is_object(merged))
        fprintf(f, " with a LoRA adapter of rank %" JSON_INTEGER_FORMAT " merged into it",
                json_integer_value(json_object_get(merged, "rank")));
    if (json_is_integer(step) && json_integer_value(step) > 0)
        fprintf(f, ", trained for %s updates", grouped((uint64_t)json_integer_value(step), room));
    if (json_is_integer(tokens) && json_integer_value(tokens) > 0)
        fprintf(f, " (%s tokens)", grouped((uint64_t)json_integer_value(tokens), room));
    fprintf(f, ".\n");
    json_decref(meta);
}

static void print_sizes(FILE *f, const struct model_file *out, const struct model_config *c,
                        const char *arch) {
    char room[32];
    fprintf(f,
            "\n| | |\n|---|---|\n| architecture | %s |\n| parameters | %s |\n| weights | %s |\n"
            "| layers | %lld |\n| hidden size | %lld |\n| feed-forward size | %lld |\n"
            "| heads, key/value heads | %lld, %lld |\n| vocabulary | %lld |\n",
            arch, grouped(parameters(out), room), weights(out, c), (long long)c->layers,
            (long long)c->dim, (long long)c->hidden, (long long)c->heads, (long long)c->kv_heads,
            (long long)c->vocab);
    fprintf(f, "| context | %lld tokens |\n", (long long)c->max_pos);
}

static const char unknown[] =
    "## Training data, limits\n\nNot known to the program that wrote this file: to be filled in by "
    "who knows.\n\n## License\n\nUnknown: nobody has said under which license the weights are, "
    "nor their training data.\n";

/* A heading is a line. */
static void print_name(FILE *f, const char *name) {
    for (; *name; name++) fputc((unsigned char)*name < ' ' || *name == 127 ? ' ' : *name, f);
}

static void print_card(FILE *f, const struct model_file *out, const struct model_file *in,
                       const struct model_config *c, const char *arch, const char *name) {
    fputs("---\nlibrary_name: transformers\npipeline_tag: text-generation\nlicense: unknown\n"
          "tags:\n- duet\n---\n\n# ",
          f);
    print_name(f, name);
    fputs("\n\nA language model. ", f);
    print_origin(f, in);
    print_sizes(f, out, c, arch);
    fprintf(f,
            "\n## Use\n\nWith transformers:\n\n```python\n"
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            "tokenizer = AutoTokenizer.from_pretrained(\".\")\n"
            "model = AutoModelForCausalLM.from_pretrained(\".\")\n"
            "ids = tokenizer(\"Once upon a time\", return_tensors=\"pt\")\n"
            "print(tokenizer.decode(model.generate(**ids, max_new_tokens=100)[0]))\n```\n\n"
            "With duet:\n\n```sh\nduet generate . \"Once upon a time\"\n```\n\n");
    fputs(unknown, f);
}

static void print_adapter(FILE *f, const struct model *m, const char *base) {
    const struct lora *l = m->lora;
    fprintf(f,
            "---\nlibrary_name: peft\nlicense: unknown\ntags:\n- duet\n- lora\n---\n\n"
            "# %s-lora\n\nA LoRA adapter of the language model %s, written by `duet convert`.\n\n"
            "| | |\n|---|---|\n| rank | %lld |\n| alpha | %g%s |\n| modules | %s%s |\n",
            base, base, (long long)l->opts.rank, l->opts.alpha,
            l->opts.rslora ? ", over the square root of the rank" : "", l->targets,
            l->opts.norms ? ", norms" : "");
    fprintf(f,
            "\n## Use\n\nWith PEFT:\n\n```python\nfrom peft import PeftModel\n"
            "from transformers import AutoModelForCausalLM\n\n"
            "base = AutoModelForCausalLM.from_pretrained(\"%s\")\n"
            "model = PeftModel.from_pretrained(base, \".\")\n```\n\nWith duet:\n\n"
            "```sh\nduet generate %s --adapter . \"Once upon a time\"\n```\n\n",
            base, base);
    fputs(unknown, f);
}

int export_adapter_card(struct model_file *out, const struct model *m, const char *base,
                        struct err *e) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (f) print_adapter(f, m, base);
    if (!f || fclose(f)) {
        free(text);
        return err_set(e, ERR_NOMEM, "out of memory for a model card");
    }
    return model_file_side(out, EXPORT_CARD, text, bytes, text, e);
}

int export_card(struct model_file *out, const struct model_file *in, const struct model_config *c,
                const char *arch, const char *name, struct err *e) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (f) print_card(f, out, in, c, arch, name);
    if (!f || fclose(f)) {
        free(text);
        return err_set(e, ERR_NOMEM, "out of memory for a model card");
    }
    return model_file_side(out, EXPORT_CARD, text, bytes, text, e);
}
