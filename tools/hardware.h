/* What `duet hardware` finds, and how it is told. */
#ifndef DUET_HARDWARE_H
#define DUET_HARDWARE_H

#include "bandwidth.h"
#include "cliff.h"
#include "hardware_peaks.h"
#include "limit.h"
#include "machine.h"
#include "size_class.h"
#include "topology.h"

#include <jansson.h>
#include <stdio.h>

enum { HARDWARE_CLIFFS = 8, HARDWARE_SIZES = 8 };

/* The cliffs of one curve. */
struct hardware_cliffs {
    enum bandwidth_kind kind;
    int threads;
    struct cliff cliff[HARDWARE_CLIFFS];
    int n;
};

struct hardware {
    bool quick;
    char model[CPU_MODEL];
    struct topology topology;
    struct memory_limits memory;
    size_t plannable;  /* bytes that a run may be planned with (machine_memory); 0: not known */
    int usable, quota; /* processors that the process may run on; of a quota, 0: none */
    struct machine machine;
    struct bandwidth bandwidth;
    struct hardware_cliffs cliffs[2]; /* read by one thread, and by all */
    struct peaks peaks;
    struct peak reference; /* its rates in the order of time */
    double usual;          /* GFLOP/s of the reference in earlier runs; 0: not known */
    struct class_fit shape[HARDWARE_SIZES], class[HARDWARE_SIZES];
    int in_class; /* of size_classes; -1: below all */
    double seconds;
};

/* GFLOP/s of what is chosen, on all threads; bf16: 0 where it is not multiplied here. */
double hardware_peak(const struct hardware *h, enum dtype compute);

/* Tokens a second that are expected of a shape in this type; NaN: not known. */
double hardware_tokens(const struct hardware *h, const struct size_shape *s,
                       const struct size_need *need, enum dtype compute);

json_t *hardware_json(const struct hardware *h);
/* ERR_NOMEM: for a table. */
int hardware_print(const struct hardware *h, FILE *f, struct err *e);

#endif
