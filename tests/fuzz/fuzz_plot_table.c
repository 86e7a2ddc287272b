/* A table of runs from any bytes. What is accepted has names, and can be drawn by whoever sums it
 * up. */
#include "fuzz.h"

#include "plot_data.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct plot_set s = {0};
    struct err e = {0};
    char *text = malloc(size + 1);
    must(text != NULL);
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    const int rc = plot_table_parse(&s, text, "table.tsv", &e);
    must(rc == 0 || (rc == e.code && e.msg[0]));
    if (!rc) {
        must(s.n > 0 && !plot_set_name(&s, &e));
        for (size_t i = 0; i < s.n; i++) {
            must(s.run[i].name != NULL);
            for (size_t k = 0; k < s.run[i].run.n_steps; k++)
                must(s.run[i].run.steps[k].step >= -1);
            for (size_t k = 0; k < s.run[i].run.n_vals; k++) must(s.run[i].run.vals[k].step >= -1);
        }
    }
    plot_set_release(&s);
    free(text);
    return 0;
}
