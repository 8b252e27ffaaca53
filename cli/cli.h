#ifndef NSP_CLI_CLI_H
#define NSP_CLI_CLI_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/json.h"
#include "netshaper/diag.h"

/* The frame of the command 'nsp': a tree of commands, each with one table of
 * options from which parsing, help, suggestions, completion follow.
 *
 * A command is one file cmd_<name>.c that defines one struct nsp_command, and
 * one line in nsp.c. Its run function reads its options by a function of its
 * own, called with each:
 *
 *     if (nsp_cli_take_options(cli, argc, argv, take_option, &request) ==
 *         NSP_CLI_EXIT)
 *         return cli->status;
 *
 * after which argv[optind] is the first operand. Everything that prints does so
 * as text, or as one JSON document when cli->json is set. SIGPIPE is ignored:
 * a long-running command looks at ferror(stdout) and ends. */

enum nsp_exit {
    NSP_EXIT_OK = 0,
    NSP_EXIT_FAILED = 1,       /* Or the answer is no. */
    NSP_EXIT_USAGE = 2,        /* Usage or invalid input. */
    NSP_EXIT_NOT_POSSIBLE = 3, /* Not here: a privilege or kernel feature. */
};

struct nsp_cli {
    const struct nsp_command *command; /* The one that runs. */
    char path[64];                     /* How it was called: "nsp shape". */
    int status;                        /* After NSP_CLI_EXIT. */
    bool json;
    bool color;           /* On standard output. */
    bool color_err;       /* On standard error. */
    bool ignores_sigpipe; /* As the process began: now it is ignored. */
};

struct nsp_option {
    const char *name;     /* Long form, without dashes; NULL ends a table. */
    const char *argument; /* "RATE"; NULL takes none. */
    const char *help;     /* NULL: not listed. */
    char letter;          /* Short form; 0 for none. */
};

struct nsp_command {
    const char *name;
    const char *summary;              /* One line, no full stop. */
    const char *synopsis;             /* After the options; may be NULL. */
    const char *details;              /* Paragraphs for --help; may be NULL. */
    const char *examples;             /* Lines for --help; may be NULL. */
    const struct nsp_option *options; /* Beside the common; may be NULL. */
    /* Options that several commands have; may be NULL. */
    const struct nsp_option *(*shared_options)(void);
    const struct nsp_command *const *subcommands; /* Ended by NULL, or NULL. */
    const char *repeats; /* The option that may be given again; may be NULL. */
    bool takes_command;  /* The first operand ends the options: a command with
                          * its own follows. */
    int (*run)(struct nsp_cli *cli, int argc, char *argv[]);
};

#define NSP_CLI_SHARED 1024 /* Index of the first of the shared options. */
#define NSP_CLI_EXIT   (-2) /* Return cli->status: help, or an error. */

/* Hands every option of cli->command to 'take', by its index in the table and
 * with its argument, "" without one, each once but for the command's
 * 'repeats', until that returns an exit status that is
 * not NSP_EXIT_OK, or NSP_CLI_EXIT to end with cli->status. Common options
 * (--json, --color, --help) are dealt with here; a command without others needs
 * no 'take'. Returns NSP_EXIT_OK, or NSP_CLI_EXIT. */
typedef int nsp_cli_take_fn(struct nsp_cli *cli, void *context, int option,
                            const char *value);
int nsp_cli_take_options(struct nsp_cli *cli, int argc, char *argv[],
                         nsp_cli_take_fn *take, void *context);

void nsp_cli_init(struct nsp_cli *cli, int argc, char *argv[]);

/* Runs 'command', known as cli->path, with argv[0] its name. */
int nsp_cli_run(struct nsp_cli *cli, const struct nsp_command *command,
                int argc, char *argv[]);

/* Runs the subcommand of cli->command that argv[0] names. */
int nsp_cli_run_subcommand(struct nsp_cli *cli, int argc, char *argv[]);

/* --- Errors: each prints and returns the exit status --------------------- */

/* The exit status that goes with an enum nsp_result. */
int nsp_cli_exit_status(int result);

/* Reports 'diag': text on standard error, or with --json a document
 * {"ok":false,"error":{...}} on standard output. */
int nsp_cli_fail(struct nsp_cli *cli, const struct nsp_diag *diag);

/* The same for a call that returned 'result' and may have left 'diag' empty, as
 * those without memory do. */
int nsp_cli_fail_result(struct nsp_cli *cli, int result,
                        const struct nsp_diag *diag);

/* The same, with the line of 'source' and a caret. 'name' says what 'source'
 * is: "filter", "--rate". */
int nsp_cli_fail_at(struct nsp_cli *cli, const struct nsp_diag *diag,
                    const char *name, const char *source);

/* Reports wrong usage. 'hint' may be NULL: it is then where to find help. */
int nsp_cli_usage(struct nsp_cli *cli, const char *hint, const char *format,
                  ...) __attribute__((format(printf, 3, 4)));

/* Reads a whole decimal number from 'minimum' to 'maximum', the value of the
 * option or operand called 'name'. Returns 0, or the exit status of the error
 * that it has reported. */
int nsp_cli_read_int(struct nsp_cli *cli, const char *name, const char *text,
                     int64_t minimum, int64_t maximum, int64_t *ret);

/* Reads processors, "0,2-3", of option 'name'. Returns NSP_EXIT_OK or
 * NSP_EXIT_USAGE with the reason printed. */
int nsp_cli_read_cpus(struct nsp_cli *cli, const char *name, const char *text,
                      uint16_t ret[], uint32_t max, uint32_t *ret_count);

/* Refuses operands from argv[optind] + 'allowed' on, and fewer than 'needed'.
 * Returns 0 or the exit status. */
int nsp_cli_check_operands(struct nsp_cli *cli, int argc, char *argv[],
                           int needed, int allowed, const char *what);

/* --- Help ---------------------------------------------------------------- */

extern const struct nsp_option nsp_cli_common_options[];

/* The options of 'command' by table: 0 the shared, 1 its own, 2 the common.
 * NULL where it has none of the kind. */
#define NSP_CLI_TABLES 3u
const struct nsp_option *nsp_cli_table(const struct nsp_command *command,
                                       unsigned table);

/* Prints the help of cli->command. */
void nsp_cli_print_help(const struct nsp_cli *cli, FILE *to);

/* Finds the word nearest to 'word' among the names of 'command's subcommands,
 * or of its options when 'options'. Returns NULL when none is near. */
const char *nsp_cli_suggest(const struct nsp_command *command, bool options,
                            const char *word);

/* --- Colour -------------------------------------------------------------- */

enum nsp_paint {
    NSP_PAINT_PLAIN = 0, /* Ends the others. */
    NSP_PAINT_BOLD,
    NSP_PAINT_DIM,
    NSP_PAINT_RED,
    NSP_PAINT_GREEN,
    NSP_PAINT_YELLOW,
    NSP_PAINT_CYAN,
};

/* The escape sequence for standard output, "" when it has no colour. */
const char *nsp_cli_paint(const struct nsp_cli *cli, enum nsp_paint paint);

#endif /* NSP_CLI_CLI_H */
