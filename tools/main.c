/* duet: finds the command, runs it, reports its error and turns it into the exit status: 0, 1, 2
 * for a wrong command line, 3 if what was compared differs, or 4 to 6 of a training that failed by
 * memory or diverged. */
#include "cmd.h"
#include "commit.h"
#include "guard.h"
#include "jsonmem.h"
#include "machine.h"
#include "term.h"
#include "version.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void print_help(const struct cpu *cpu) {
    printf("usage: duet COMMAND [OPTION...]\n"
           "       duet COMMAND --help\n"
           "       duet --version\n\n"
           "Trains small language models on CPUs.\n\nCommands:\n");
    for (size_t i = 0; i < n_commands; i++)
        printf("  %-12s %s\n", commands[i]->name, commands[i]->summary);
    printf("\nDUET_CPU caps the instruction set:");
    for (int t = 0; t < CPU_TIER_COUNT; t++) printf(" %s", cpu_tier_name((enum cpu_tier)t));
    printf(" (here: %s).\n", cpu_tier_name(cpu->tier));
}

static int unknown_command(const char *name, struct err *e) {
    const char *names[64];
    size_t n = 0;
    for (; n < n_commands && n < sizeof names / sizeof *names; n++) names[n] = commands[n]->name;
    const char *kind = name[0] == '-' ? "option" : "command";
    const char *near = conf_suggest(name, names, n);
    if (near)
        return err_set(e, ERR_USAGE, "unknown %s %.80s; did you mean duet %s?", kind, name, near);
    return err_set(e, ERR_USAGE, "unknown %s %.80s; duet --help lists the commands", kind, name);
}

static int dispatch(int argc, char **argv, struct err *e) {
    struct cpu cpu;
    int rc = machine_cpu(&cpu, e);
    if (rc) return rc;
    if (argc < 2) return err_set(e, ERR_USAGE, "no command given; duet --help lists the commands");
    const char *name = argv[1];
    bool help = !strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help");
    if (help && argc == 2) {
        print_help(&cpu);
        return 0;
    }
    if (!strcmp(name, "--version")) {
        printf("duet %s (%s)\n", version_number(), version_commit());
        return 0;
    }
    if (help) name = argv[2]; /* "duet help train", "duet --help train" */
    const struct cmd *c = cmd_find(name);
    if (!c) return unknown_command(name, e);
    char option[] = "--help", all[] = "all", *ask[] = {option, all, NULL};
    const bool whole = help && argc > 3 && !strcmp(argv[3], "all"); /* "duet help train all" */
    return help ? c->run(whole ? 2 : 1, ask, e) : c->run(argc - 2, argv + 2, e);
}

/* What was printed counts as done only when it has reached its file. */
static int close_output(struct err *e) {
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fclose(stdout) == 0 && !failed) return 0;
    if (errno) return err_errno(e, ERR_IO, "cannot write standard output");
    return err_set(e, ERR_IO, "cannot write standard output");
}

/* One line on stderr, whatever a file name or a damaged file put into the message. */
static void report(struct err *e) {
    for (char *p = e->msg; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127) *p = '?';
    const bool error = e->code != ERR_STOP;
    fprintf(stderr, "duet: %s%s%s%s\n", error ? term_on(STDERR_FILENO, TERM_BAD) : "",
            error ? "error: " : "", error ? term_off(STDERR_FILENO) : "", e->msg);
}

static int status_of(int rc) {
    switch (rc) {
    case ERR_OK:
    case ERR_STOP: return 0;
    case ERR_USAGE: return 2;
    case CMD_DIFFERS: return 3;
    case CMD_REFUSED: return 4;
    case CMD_NO_MEMORY: return 5;
    case CMD_DIVERGED: return 6;
    default: return 1;
    }
}

int main(int argc, char **argv) {
    /* A file opened as descriptor 0, 1 or 2 would be taken for a standard stream. What stands in
     * for a closed one fails when it is used. */
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0) (void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    signal(SIGPIPE, SIG_DFL); /* also when started by something that ignores it */
    signal(SIGXFSZ, SIG_IGN); /* the write fails and is reported */
    guard_install();
    jsonmem_ready();
    version_set_commit(DUET_COMMIT);
    struct err e = {0};
    int rc = dispatch(argc, argv, &e);
    if (rc && rc != CMD_DIFFERS) report(&e);
    int output = close_output(&e);
    if (output && (!rc || rc == CMD_DIFFERS)) report(&e);
    if (output && (!rc || rc == CMD_DIFFERS)) rc = output;
    return status_of(rc);
}
