/* Completion for shells, from the tables of commands and options: whatever has a row is completed.
 * Choices complete to their words, FILE and T to paths, DIR to folders; a command that begins with
 * a verb to its verbs, and to paths where that may be a file. */
#include "cmd.h"
#include "file.h"

#include <stdlib.h>
#include <string.h>

struct opts {
    const char *out;
};

static const struct conf_row rows[] = {
    CONF_SECTION("Output"),
    CONF_STRING(struct opts, out, "out", "-", "FILE", "where to write; - is standard output"),
    CONF_END};

/* What the value of an option is. */
enum value { VALUE_NONE, VALUE_WORDS, VALUE_FILE, VALUE_DIR, VALUE_OTHER };

static enum value value_of(const struct conf_row *r) {
    const char *arg = r->arg ? r->arg : "";
    if (r->type == CONF_T_BOOL) return VALUE_NONE;
    if (r->type == CONF_T_CHOICE) return VALUE_WORDS;
    if (!strcmp(arg, "DIR") || !strcmp(arg, "FOLDER")) return VALUE_DIR;
    if (!strncmp(arg, "FILE", 4) || !strcmp(arg, "T") || !strcmp(arg, "MODEL") ||
        !strcmp(arg, "BASE") || !strcmp(arg, "RUN"))
        return VALUE_FILE;
    return VALUE_OTHER;
}

static bool is_on(const struct conf_row *r) {
    return r->type == CONF_T_BOOL && r->def;
}

/* The letter that stands for an option, or 0. */
static char letter_of(const struct conf_row *r) {
    return !strcmp(r->name, "out") ? 'o' : !strcmp(r->name, "help") ? 'h' : 0;
}

typedef void each_row(FILE *f, const struct cmd *c, const struct conf_row *r);

static void for_rows(FILE *f, const struct cmd *c, each_row *each) {
    const struct conf_row *const parts[] = {c->rows, conf_common};
    for (int i = 0; i < 2; i++)
        for (const struct conf_row *r = parts[i]; r->type != CONF_T_END; r++)
            if (r->name && r->type != CONF_T_GONE && !(i && conf_row(c->rows, r->name)))
                each(f, c, r);
}

/* Words with one blank between them; those of a macro's list end in one. */
static void print_words(FILE *f, const char *words) {
    for (const char *p = words + strspn(words, " "); *p;) {
        const size_t n = strcspn(p, " ");
        fprintf(f, "%s%.*s", p == words ? "" : " ", (int)n, p);
        p += n;
        p += strspn(p, " ");
    }
}

static void print_verbs(FILE *f, const struct cmd *c) {
    for (size_t i = 0; c->verb && c->verb(i); i++) fprintf(f, "%s%s", i ? " " : "", c->verb(i));
}

/* What an option is for, up to the first semicolon, for a text in single quotes: of quotes and
 * `special` each with a backslash; a quote itself ends the text for a moment where `posix`. */
static void print_help(FILE *f, const char *help, const char *special, bool posix) {
    for (const char *p = help; *p && *p != ';' && *p != '\n'; p++) {
        if (*p == '\'')
            fputs(posix ? "'\\''" : "\\'", f);
        else
            fprintf(f, "%s%c", *p == '\\' || strchr(special, *p) ? "\\" : "", *p);
    }
}

/* ---- bash ------------------------------------------------------------------------------------ */

static void bash_option(FILE *f, const struct cmd *c, const struct conf_row *r) {
    (void)c;
    if (letter_of(r)) fprintf(f, "-%c ", letter_of(r));
    fprintf(f, "--%s ", r->name);
    if (is_on(r)) fprintf(f, "--no-%s ", r->name);
}

static void bash_value(FILE *f, const struct cmd *c, const struct conf_row *r) {
    static const char *const kinds[] = {
        [VALUE_WORDS] = "words", [VALUE_FILE] = "files", [VALUE_DIR] = "dirs",
        [VALUE_OTHER] = "none"};
    (void)c;
    const enum value v = value_of(r);
    if (v == VALUE_NONE) return;
    fprintf(f, "            --%s", r->name);
    if (letter_of(r)) fprintf(f, " | -%c", letter_of(r));
    fprintf(f, ") kind=%s", kinds[v]);
    if (r->choices) {
        fputs(" words='", f);
        print_words(f, r->choices);
        fputc('\'', f);
    }
    fputs(" ;;\n", f);
}

static void bash_names(FILE *f) {
    for (size_t i = 0; i < n_commands; i++) fprintf(f, "%s ", commands[i]->name);
}

static void bash(FILE *f) {
    fputs("# bash completion of duet, made by: duet completion bash\n"
          "_duet() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local kind= words= options= verbs= first=words\n"
          "    COMPREPLY=()\n"
          "    # --name=value are three words\n"
          "    if [[ $cur == = ]]; then cur=\n"
          "    elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        kind=words words='",
          f);
    bash_names(f);
    fputs("help --help --version'\n"
          "    else\n"
          "        case ${COMP_WORDS[1]} in\n"
          "        help | --help) kind=words words='",
          f);
    bash_names(f);
    fputs("' ;;\n", f);
    for (size_t i = 0; i < n_commands; i++) {
        const struct cmd *c = commands[i];
        fprintf(f, "        %s)\n            verbs='", c->name);
        print_verbs(f, c);
        fprintf(f, "'%s\n            options='", c->verb_or_file ? " first=files" : "");
        for_rows(f, c, bash_option);
        fputs("'\n            case $prev in\n", f);
        for_rows(f, c, bash_value);
        fputs("            esac ;;\n", f);
    }
    fputs("        esac\n"
          "    fi\n"
          "    if [[ -z $kind && $cur == -* ]]; then kind=words words=$options\n"
          "    elif [[ -z $kind && -n $verbs ]] && ((COMP_CWORD == 2)); then kind=$first "
          "words=$verbs\n"
          "    fi\n"
          "    case ${kind:-files} in\n"
          "    files) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n"
          "    dirs) mapfile -t COMPREPLY < <(compgen -d -- \"$cur\") ;;\n"
          "    esac\n"
          "    case ${kind:-files} in\n"
          "    files | dirs) compopt -o filenames 2>/dev/null ;;\n"
          "    esac\n"
          "    if [[ -n $words ]]; then\n"
          "        local word\n"
          "        for word in $words; do\n"
          "            [[ $word == \"$cur\"* ]] && COMPREPLY+=(\"$word\")\n"
          "        done\n"
          "    fi\n"
          "    return 0\n"
          "}\n"
          "complete -F _duet duet\n",
          f);
}

/* ---- zsh ------------------------------------------------------------------------------------- */

static void zsh_option(FILE *f, const struct cmd *c, const struct conf_row *r) {
    (void)c;
    const enum value v = value_of(r);
    const bool many = r->type == CONF_T_LIST || r->type == CONF_T_PAIRS;
    const char *eq = v == VALUE_NONE ? "" : "=", letter = letter_of(r);
    fputs(" \\\n      ", f);
    if (letter)
        fprintf(f, "'(-%c --%s)'{-%c%s,--%s%s}'[", letter, r->name, letter, *eq ? "+" : "", r->name,
                eq);
    else
        fprintf(f, "'%s--%s%s[", many ? "*" : "", r->name, eq);
    print_help(f, r->help, "[]", true);
    fputc(']', f);
    if (v != VALUE_NONE) fprintf(f, ":%s:", r->arg ? r->arg : r->name);
    if (v == VALUE_FILE && r->choices) {
        fputs(" _duet_words_or_files ", f);
        print_words(f, r->choices);
    } else if (v == VALUE_WORDS) {
        fputc('(', f);
        print_words(f, r->choices);
        fputc(')', f);
    } else if (v == VALUE_FILE || v == VALUE_DIR) {
        fputs(v == VALUE_DIR ? "_files -/" : "_files", f);
    }
    fputc('\'', f);
    if (is_on(r)) fprintf(f, " \\\n      '--no-%s[the contrary of --%s]'", r->name, r->name);
}

static void zsh(FILE *f) {
    fputs("#compdef duet\n"
          "# zsh completion of duet, made by: duet completion zsh\n"
          "_duet_words_or_files() {\n"
          "  compadd -- $@\n"
          "  _files\n"
          "}\n"
          "_duet() {\n"
          "  local -a commands=(",
          f);
    for (size_t i = 0; i < n_commands; i++) {
        fprintf(f, "\n    '%s:", commands[i]->name);
        print_help(f, commands[i]->summary, "", true);
        fputc('\'', f);
    }
    fputs("\n    'help:Print the help of a command.')\n"
          "  if (( CURRENT == 2 )) || [[ $words[2] == help && CURRENT -eq 3 ]]; then\n"
          "    _describe command commands\n"
          "    return\n"
          "  fi\n"
          "  local command=$words[2]\n"
          "  shift words\n"
          "  (( CURRENT-- ))\n"
          "  case $command in\n",
          f);
    for (size_t i = 0; i < n_commands; i++) {
        const struct cmd *c = commands[i];
        fprintf(f, "  %s)\n    _arguments", c->name);
        for_rows(f, c, zsh_option);
        if (c->verb) {
            fputs(" \\\n      '1:verb:", f);
            fputs(c->verb_or_file ? " _duet_words_or_files " : "(", f);
            print_verbs(f, c);
            fputs(c->verb_or_file ? "'" : ")'", f);
        }
        fputs(" \\\n      '*:file:_files' ;;\n", f);
    }
    fputs("  esac\n"
          "}\n"
          "if [[ $funcstack[1] == _duet ]]; then _duet \"$@\"; else compdef _duet duet; fi\n",
          f);
}

/* ---- fish ------------------------------------------------------------------------------------ */

static void fish_option(FILE *f, const struct cmd *c, const struct conf_row *r) {
    const enum value v = value_of(r);
    fprintf(f, "complete -c duet -n '__duet_is %s'", c->name);
    if (letter_of(r)) fprintf(f, " -s %c", letter_of(r));
    fprintf(f, " -l %s", r->name);
    fputs(v == VALUE_NONE ? "" : v == VALUE_FILE ? " -r -F" : " -x", f);
    if (r->choices) {
        fputs(" -a '", f);
        print_words(f, r->choices);
        fputc('\'', f);
    }
    if (v == VALUE_DIR) fputs(" -a '(__fish_complete_directories)'", f);
    fputs(" -d '", f);
    print_help(f, r->help, "", false);
    fputs("'\n", f);
    if (is_on(r))
        fprintf(f, "complete -c duet -n '__duet_is %s' -l no-%s -d 'the contrary of --%s'\n",
                c->name, r->name, r->name);
}

static void fish(FILE *f) {
    fputs("# fish completion of duet, made by: duet completion fish\n"
          "function __duet_is\n"
          "    set -l words (commandline -opc)\n"
          "    test (count $words) -ge 2; and test $words[2] = $argv[1]\n"
          "end\n"
          "function __duet_words\n"
          "    test (count (commandline -opc)) -eq $argv[1]\n"
          "end\n",
          f);
    for (size_t i = 0; i < n_commands; i++) {
        const struct cmd *c = commands[i];
        fprintf(f, "complete -c duet -n '__duet_words 1' -f -a %s -d '", c->name);
        print_help(f, c->summary, "", false);
        fputs("'\n", f);
        fprintf(f, "complete -c duet -n '__duet_is help; and __duet_words 2' -f -a %s\n", c->name);
        if (c->verb) {
            fprintf(f, "complete -c duet -n '__duet_is %s; and __duet_words 2'%s -a '", c->name,
                    c->verb_or_file ? "" : " -f");
            print_verbs(f, c);
            fputs("'\n", f);
        }
        for_rows(f, c, fish_option);
    }
    fputs("complete -c duet -n '__duet_words 1' -f -a help -d 'Print the help of a command.'\n", f);
}

/* ---- the command ----------------------------------------------------------------------------- */

static const struct shell {
    const char *name;
    void (*print)(FILE *f);
} shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};

static const char *verb(size_t i) {
    return i < sizeof shells / sizeof *shells ? shells[i].name : NULL;
}

static int write_script(const struct shell *s, const char *path, struct err *e) {
    int rc;
    size_t size;
    char *text = NULL;
    struct file_out out = {0};
    FILE *f = open_memstream(&text, &size);
    if (!f) return err_set(e, ERR_NOMEM, "out of memory for the completion");
    s->print(f);
    if (fclose(f)) {
        rc = err_set(e, ERR_NOMEM, "out of memory for the completion");
        goto out;
    }
    TRY(file_out_open(&out, path, e));
    file_out_write(&out, text, size);
    TRY(file_out_commit(&out, e));
out:
    free(text);
    return rc;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct opts o = {0};
    TRY(cmd_parse(&cmd_completion, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(cmd_count("duet completion", &conf, 0, 1, 1, "the name of a shell: bash, zsh or fish", e));
    rc = err_set(e, ERR_USAGE,
                 "there is no completion for \"%.80s\"; for bash, zsh and fish there is",
                 conf.pos[0]);
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (!strcmp(conf.pos[0], shells[i].name)) rc = write_script(shells + i, o.out, e);
out:
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_completion = {
    .name = "completion",
    .summary = "Completion of commands and options for bash, zsh or fish.",
    .usage = "bash | zsh | fish [--out FILE]",
    .notes = "`meson install` installs it. Otherwise, for this shell or in its start file:\n"
             "    bash   source <(duet completion bash)\n"
             "    zsh    source <(duet completion zsh)     (after compinit)\n"
             "    fish   duet completion fish | source\n",
    .verb = verb,
    .rows = rows,
    .run = run,
};
