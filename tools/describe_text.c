/* A text as facts, read once, in pieces; and what was evaluated of one. */
#include "describe.h"
#include "exact.h"
#include "facts.h"
#include "textin.h"

#include <stdlib.h>
#include <string.h>

static const char MARK[] = "<|endoftext|>";
static const char TRAILER[] = "<|corpus|>"; /* begins the last line of a corpus (formats.md) */
enum { PIECE = 1 << 20 };

struct counts {
    uint64_t bytes, characters, lines, marks;
    size_t at;     /* bytes of MARK that the text before ends with */
    bool open;     /* something but white space stands behind the last mark */
    char after[sizeof TRAILER]; /* how it begins */
    size_t n_after;
    char last;
};

static void count(struct counts *c, const char *s, size_t n) {
    const size_t len = sizeof MARK - 1;
    for (size_t i = 0; i < n; i++) {
        c->characters += ((unsigned char)s[i] & 0xc0) != 0x80;
        c->lines += s[i] == '\n';
        if (s[i] != MARK[c->at]) c->at = 0; /* no end of MARK begins it but "<" */
        if (s[i] == MARK[c->at]) c->at++;
        if (!strchr(" \t\r\n", s[i]) || !s[i]) c->open = true;
        if (c->open && c->n_after + 1 < sizeof c->after) c->after[c->n_after++] = s[i];
        if (c->at == len) {
            c->marks++;
            c->at = c->n_after = 0;
            c->open = false;
        }
    }
    if (n) c->last = s[n - 1];
    c->bytes += n;
}

int describe_text(json_t *o, const char *path, struct err *e) {
    int rc;
    size_t got;
    struct textin in = {0};
    struct counts c = {0};
    char *room = malloc(PIECE);
    if (!room) return err_set(e, ERR_NOMEM, "out of memory for %s", path);
    TRY(textin_open(&in, path, e));
    const bool zstd = in.zstd, gzip = in.gzip;
    do {
        TRY(textin_read(&in, room, PIECE, &got, e));
        count(&c, room, got);
    } while (got == PIECE);
    facts_text(o, "kind", "text");
    if (zstd || gzip) {
        facts_text(o, "compressed_by", zstd ? "zstd" : "gzip");
        facts_whole(o, "file_bytes", in.size);
    }
    facts_whole(o, "bytes", c.bytes);
    facts_whole(o, "characters", c.characters);
    facts_whole(o, "lines", c.lines + (c.bytes && c.last != '\n'));
    const bool corpus = c.open && c.marks && c.n_after + 1 == sizeof c.after &&
                        !memcmp(c.after, TRAILER, c.n_after);
    facts_whole(o, "documents", c.marks + (c.open && !corpus));
    facts_put(o, "corpus_trailer", json_boolean(corpus));
out:
    textin_close(&in);
    free(room);
    return rc;
}

int describe_exact(json_t *o, const char *path, struct err *e) {
    struct exact_result r;
    const int rc = exact_load(&r, path, e);
    if (rc) return rc;
    const struct exact_total t = exact_total(&r);
    facts_text(o, "kind", "exact evaluation");
    facts_whole(o, "documents", r.n);
    facts_whole(o, "bytes", t.bytes);
    facts_whole(o, "tokens", t.tokens);
    facts_whole(o, "lost_bytes", t.lost);
    facts_real(o, "nats", t.nats);
    facts_real(o, "bits_per_byte", t.bpb);
    facts_real(o, "bits_per_byte_stderr", t.bpb_stderr);
    exact_release(&r);
    return 0;
}
