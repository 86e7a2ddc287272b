#include "modelfile.h"

#include "import.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The GGUF's name in a file beside it, else its path: malloc()ed. */
static char *from_name(const char *path, const char *gguf) {
    const char *slash = strrchr(path, '/'), *last = strrchr(gguf, '/');
    char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    char *name = NULL;
    if (dir && file_lies_in(gguf, dir)) {
        if (asprintf(&name, "./%s", last ? last + 1 : gguf) < 0) name = NULL;
    } else {
        name = realpath(gguf, NULL);
    }
    free(dir);
    return name;
}

/* Between quotes of a Modelfile. */
static void print_quoted(FILE *f, const char *text, size_t n) {
    fputc('"', f);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"' || text[i] == '\\') fputc('\\', f);
        if (text[i] == '\n')
            fputs("\\n", f);
        else
            fputc(text[i], f);
    }
    fputs("\"\n", f);
}

static int print_stop(FILE *f, const struct model_file *mf, struct err *e) {
    struct tokenizer *t = NULL;
    size_t n;
    const struct tok_own own = model_file_tok_own(mf);
    const int rc = tokenizer_open_own(&t, &own, mf->path, e);
    if (rc || !t) return rc == ERR_INPUT && own.vocab ? 0 : rc;
    if (tokenizer_eos(t) >= 0) {
        const char *text = tokenizer_piece(t, -1, (uint32_t)tokenizer_eos(t), &n);
        fputs("PARAMETER stop ", f);
        print_quoted(f, text, n);
    }
    tokenizer_close(t);
    return 0;
}

static int print(FILE *f, const struct model_file *mf, const char *from, struct err *e) {
    int rc;
    struct model_config c = {0};
    TRY(model_config_parse(&c, mf->config, strlen(mf->config), mf->path, NULL, e));
    fprintf(f, "FROM %s\n", from);
    if (!json_object_get(json_object_get(c.json, "duet"), "chat_template"))
        fputs("TEMPLATE \"\"\"{{ .Prompt }}\"\"\"\n", f);
    fprintf(f, "PARAMETER num_ctx %lld\n", (long long)model_config_context(&c));
    TRY(print_stop(f, mf, e));
out:
    model_config_release(&c);
    return rc;
}

int modelfile_write(const char *path, const char *gguf, struct err *e) {
    int rc;
    struct model_file mf = {0};
    struct file_out out = {0};
    char *from = from_name(path, gguf), *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!from || !f) {
        rc = err_set(e, ERR_NOMEM, "out of memory for %s", path);
        goto out;
    }
    TRY(model_import(&mf, gguf, false, e));
    TRY(print(f, &mf, from, e));
    rc = fclose(f) ? err_set(e, ERR_NOMEM, "out of memory for %s", path) : 0;
    f = NULL;
    if (rc) goto out;
    TRY(file_out_open(&out, path, e));
    file_out_write(&out, text, bytes);
    TRY(file_out_commit(&out, e));
out:
    file_out_discard(&out);
    if (f) fclose(f);
    free(text);
    free(from);
    model_file_close(&mf);
    return rc;
}
