/* Model descriptions from any bytes: what is accepted builds tables and a graph whose counts agree,
 * and its JSON is accepted again with the same meaning. */
#include "fuzz.h"

#include "arch.h"
#include "model.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err e = {0};
    struct model_config c, again;
    struct model m;
    const int rc = model_config_parse(&c, (const char *)data, size, "input", NULL, &e);
    must(rc == 0 || (rc == e.code && e.msg[0]));
    if (rc) return 0;
    char *text = model_config_dump(&c);
    must(text && !model_config_parse(&again, text, strlen(text), "dump", NULL, &e));
    must(again.dim == c.dim && again.layers == c.layers && again.head_dim == c.head_dim &&
         again.theta == c.theta && again.residual_scale == c.residual_scale &&
         again.tied == c.tied);
    free(text);
    model_config_release(&again);
    if (c.layers > 16) { /* long graphs only take time */
        model_config_release(&c);
        return 0;
    }
    must(!model_create(&m, &c, &e));
    must(m.n_params > 0 && m.graph.n_params == m.n_params && model_param_count(&m) > 0);
    for (int i = 0; i < m.n_params; i++)
        for (int k = 0; k < i; k++) must(strcmp(m.params[i].name, m.params[k].name) != 0);
    model_close(&m);
    return 0;
}
