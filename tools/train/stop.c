#include "stop.h"

#include "run.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGXCPU, SIGUSR1};
enum { N = sizeof signals / sizeof *signals };

static struct sigaction before[N];
static bool caught[N];
static bool tty;
static _Atomic int cancel; /* see run_opts */
static atomic_bool save_wanted;
static _Atomic int phase;
static _Atomic int64_t step;

/* ---- handlers: async-signal-safe ------------------------------------------------------------- */

/* A line of its own on stderr: "duet: TEXT" and, with a step, its number behind it. */
static void say(const char *text, bool with_step) {
    char line[160], digits[24] = "", *p = digits + sizeof digits - 1;
    size_t n = 0;
    int64_t left = with_step ? step : 0;
    if (with_step && !left) *--p = '0';
    for (; left; left /= 10) *--p = (char)('0' + left % 10);
    const char *const parts[] = {tty ? "\nduet: " : "duet: ", text, p, "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (const char *s = parts[i]; *s && n < sizeof line; s++) line[n++] = *s;
    (void)!write(STDERR_FILENO, line, n);
}

static int number_of(int sig) {
    int i = 0;
    while (signals[i] != sig) i++;
    return i;
}

static void on_end(int sig) {
    const int saved = errno;
    if (phase == STOP_OPENING) {
        say("stopping; training has not begun, nothing to save", false);
        sigaction(sig, before + number_of(sig), NULL);
        raise(sig); /* comes when this handler returns */
    } else if (atomic_fetch_or(&cancel, RUN_STOP) & RUN_STOP) {
        say("stopping already; SIGKILL ends without saving", false);
    } else if (phase == STOP_TRIALS) {
        say("stopping; what is running saves", false);
    } else if (phase == STOP_FRESH) {
        say("stopping; no update is done yet, nothing to save", false);
    } else {
        say(phase == STOP_SAVED ? "stopping; saved at step " : "stopping; saving at step ", true);
    }
    errno = saved;
}

static void on_save(int sig) {
    const int saved = errno;
    (void)sig;
    if (phase == STOP_TRIALS) {
        say("SIGUSR1: a search has nothing to save; send it to a training", false);
    } else if (phase == STOP_OPENING) {
        say("SIGUSR1: training has not begun, nothing to save", false);
    } else {
        save_wanted = true;
        say("SIGUSR1: saving, then going on", false);
    }
    errno = saved;
}

/* ---- the run --------------------------------------------------------------------------------- */

void stop_catch(void) {
    cancel = 0;
    save_wanted = false;
    tty = isatty(STDERR_FILENO) == 1;
    stop_phase(STOP_OPENING, 0);
    for (int i = 0; i < N; i++) {
        struct sigaction a = {.sa_handler = on_end, .sa_flags = SA_RESTART};
        sigfillset(&a.sa_mask);
        if (signals[i] == SIGUSR1) a.sa_handler = on_save;
        caught[i] = !sigaction(signals[i], NULL, before + i) && before[i].sa_handler != SIG_IGN &&
                    !sigaction(signals[i], &a, NULL);
    }
}

void stop_release(void) {
    for (int i = 0; i < N; i++)
        if (caught[i]) sigaction(signals[i], before + i, NULL);
    memset(caught, 0, sizeof caught);
}

void stop_phase(enum stop_phase p, int64_t updates) {
    step = updates;
    phase = (int)p;
}

_Atomic int *stop_flag(void) {
    return &cancel;
}

bool stop_save_asked(void) {
    return save_wanted && atomic_exchange(&save_wanted, false);
}
