/* The folder of a run from any bytes. The first byte says whose they are: 0 log.jsonl, 1
 * config.json, 2 summary.json; the others are those of a small run. Whatever they are, the folder
 * is read, steps rise, and what is printed of it can be. */
#include "fuzz.h"

#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *name, *text;
} files[] = {
    {"log.jsonl", "{\"event\":\"start\",\"params\":8}\n"
                  "{\"event\":\"step\",\"step\":2,\"loss\":1.5,\"tokens\":64,\"seconds\":1}\n"
                  "{\"event\":\"val\",\"step\":3,\"val_loss\":1.25}\n"},
    {"config.json", "{\"lr\": 0.1, \"run\": {\"threads\": 1}}"},
    {"summary.json", "{\"num_steps\": 4, \"total_tokens_M\": 0.000128}"},
};
enum { N_FILES = sizeof files / sizeof *files };

static char dir[64];

static void path_of(char path[96], const char *name) {
    snprintf(path, 96, "%s/%s", dir, name);
}

static void put(const char *name, const void *data, size_t size) {
    char path[96];
    path_of(path, name);
    fuzz_put(path, data, size);
}

static void look(const struct record *r) {
    must(r->dir && r->label && r->status <= RECORD_FINISHED && r->step >= 0 && r->saved_step == -1);
    for (size_t i = 0; i < r->n_steps; i++)
        must(r->steps[i].step > (i ? r->steps[i - 1].step : 0) && r->steps[i].step <= r->step);
    for (size_t i = 0; i < r->n_vals; i++)
        must(r->vals[i].step > (i ? r->vals[i - 1].step : -1) && r->vals[i].step <= r->step);
    for (size_t i = 0; i < r->n_events; i++)
        must(r->events[i].name && json_is_object(r->events[i].json) && r->events[i].step >= -1);
    must(!r->notes || r->notes[strlen(r->notes) - 1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct record r;
    struct err e = {0};
    if (size < 1 || data[0] >= N_FILES) return 0;
    snprintf(dir, sizeof dir, "/tmp/duet-fuzz-run-%ld", (long)getpid());
    mkdir(dir, 0777);
    for (int i = 0; i < N_FILES; i++) {
        if (i == data[0])
            put(files[i].name, data + 1, size - 1);
        else
            put(files[i].name, files[i].text, strlen(files[i].text));
    }
    for (int flags = 0; flags <= RECORD_BRIEF; flags++) {
        must(!record_read(&r, dir, flags, &e));
        look(&r);
        record_release(&r);
    }
    for (int i = 0; i < N_FILES; i++) {
        char path[96];
        path_of(path, files[i].name);
        unlink(path);
    }
    rmdir(dir);
    return 0;
}
