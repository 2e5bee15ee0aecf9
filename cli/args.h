/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MU_CLI_ARGS_H
#define MU_CLI_ARGS_H

#include "muster/option.h"
#include "runtime/base/log.h"
#include "runtime/base/text.h"

/*
 * A command as data: one row a flag. Parsing, `--help` and the man page follow the rows. Flags are
 * written with dashes or underscores, their values after `=` or as the next argument.
 */
#define MU_FLAG_SETS_MAX 64

/* The field of a flag that may be given several times; NULL-terminated. */
struct mu_flag_list {
    const char *item[MU_FLAG_SETS_MAX + 1];
    int count;
};

struct mu_flag {
    struct mu_option
        option;        /* name with dashes; a BOOL takes no value; default and range as said */
    char letter;       /* 'q', or 0 */
    const char *value; /* what the value is called: "FILE"; NULL for a BOOL */
    bool repeated;     /* the field is a struct mu_flag_list */
    /* Short for --set KEY=VALUE: checked by the row of the job; the field is the struct
     * mu_flag_list that the sets are added to, and option.type is not looked at. */
    const char *sets;
};

/* An argument without a flag; rows end with a NULL name. All are strings. */
struct mu_operand {
    const char *name; /* "JOB" */
    const char *doc;
    size_t offset, bytes;
    bool optional;
};

struct mu_command {
    const char *name;            /* "run", "spec check" */
    const char *doc;             /* one line, lower case */
    const char *details;         /* paragraphs for the man page; NULL: none */
    const char *const *examples; /* NULL-terminated; command lines */
    const struct mu_flag *flags; /* end with a NULL name */
    const struct mu_operand *operands;
    size_t option_bytes;
    /* Does it and returns the exit code. What went wrong has been said. `arguments` is what stood
     * after the program's name, NULL-terminated. */
    int (*run)(struct mu_log *log, const void *options, char *const *arguments);
};

/* The flags and operands of `arguments` (what follows the name of the command, NULL-terminated)
 * into `options`, defaults first. USAGE (MU_E0001): an unknown flag (the nearest is suggested), a
 * missing or superfluous value, a value out of range (which is told). */
enum mu_status mu_args_parse(
    struct mu_log *log, const struct mu_command *command, char *const *arguments, void *options);
/* True if -h or --help stands anywhere before a "--". */
bool mu_args_ask_help(char *const *arguments);

/* The option that a flag's value is checked by: its own or the job's. */
const struct mu_option *mu_args_row(const struct mu_flag *flag);

#endif
