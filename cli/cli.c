#include "cli/cli.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/diag_print.h"

#define OPTIONS_MAX 192

enum common_option { COMMON_JSON, COMMON_COLOR, COMMON_HELP };

const struct nsp_option nsp_cli_common_options[] = {
    [COMMON_JSON] = { "json", NULL, "print JSON", 'j' },
    [COMMON_COLOR] = { "color", "WHEN", "auto, always or never", 0 },
    [COMMON_HELP] = { "help", NULL, "print this help", 'h' },
    { NULL, NULL, NULL, 0 },
};

/* What getopt_long() is given: values are the index in the command's table, or
 * past COMMON_BASE in the common one. */
struct getopt_tables {
    struct option options[OPTIONS_MAX + 1];
    char letters[2 * OPTIONS_MAX + 3];
    int values[OPTIONS_MAX]; /* Of letters[]. */
    char value_letters[OPTIONS_MAX + 1];
    size_t count, letter_count;
};
#define VALUE_BASE  256 /* Above any letter. */
#define COMMON_BASE 4096
#define NO_MORE     (-1)

const struct nsp_option *
nsp_cli_table(const struct nsp_command *command, unsigned table)
{
    if (table == 0)
        return command->shared_options ? command->shared_options() : NULL;
    return table == 1 ? command->options : nsp_cli_common_options;
}

static void
add_options(struct getopt_tables *tables, const struct nsp_option *options,
            int base)
{
    for (int i = 0; options && options[i].name; i++) {
        if (tables->count == OPTIONS_MAX)
            abort();
        tables->options[tables->count++] = (struct option){
            .name = options[i].name,
            .has_arg = options[i].argument ? required_argument : no_argument,
            .val = base + i,
        };
        if (options[i].letter) {
            size_t at = strlen(tables->letters);

            tables->letters[at] = options[i].letter;
            tables->letters[at + 1] = options[i].argument ? ':' : '\0';
            tables->value_letters[tables->letter_count] = options[i].letter;
            tables->values[tables->letter_count++] = base + i;
        }
    }
}

static void
build_tables(const struct nsp_command *command, struct getopt_tables *ret)
{
    *ret = (struct getopt_tables){ .count = 0 };
    /* '+': a command's options end where another command begins. */
    strcpy(ret->letters,
           command->subcommands || command->takes_command ? "+:" : ":");
    add_options(ret, nsp_cli_table(command, 0), VALUE_BASE + NSP_CLI_SHARED);
    add_options(ret, nsp_cli_table(command, 1), VALUE_BASE);
    add_options(ret, nsp_cli_table(command, 2), COMMON_BASE);
}

static bool
wants_color(const char *when, int fd)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    if (strcmp(when, "always") == 0)
        return true;
    if (strcmp(when, "never") == 0 || (no_color && no_color[0]))
        return false;
    return isatty(fd) && term && strcmp(term, "dumb") != 0;
}

static int
set_color(struct nsp_cli *cli, const char *when)
{
    if (strcmp(when, "auto") != 0 && strcmp(when, "always") != 0 &&
        strcmp(when, "never") != 0) {
        cli->status = nsp_cli_usage(cli, "write auto, always or never",
                                    "--color: unknown value '%s'", when);
        return NSP_CLI_EXIT;
    }
    cli->color = wants_color(when, STDOUT_FILENO);
    cli->color_err = wants_color(when, STDERR_FILENO);
    return 0;
}

/* Returns 0 to go on with the next option, or NSP_CLI_EXIT. */
static int
take_common(struct nsp_cli *cli, enum common_option option, const char *value)
{
    switch (option) {
    case COMMON_JSON:
        cli->json = true;
        return 0;
    case COMMON_COLOR:
        return set_color(cli, value);
    case COMMON_HELP:
        nsp_cli_print_help(cli, stdout);
        cli->status = NSP_EXIT_OK;
        return NSP_CLI_EXIT;
    }
    return 0;
}

static int
report_unknown(struct nsp_cli *cli, const char *word)
{
    char name[64], hint[128];
    const char *near;

    if (word[0] != '-' || word[1] != '-')
        return nsp_cli_usage(cli, NULL, "unknown option '-%c'", optopt);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    near = nsp_cli_suggest(cli->command, true, name);
    if (near)
        snprintf(hint, sizeof hint, "did you mean --%s?", near);
    return nsp_cli_usage(cli, near ? hint : NULL, "unknown option '--%s'",
                         name);
}

/* Turns getopt_long()'s '?' and ':' into a message. */
static int
report_misuse(struct nsp_cli *cli, const struct getopt_tables *tables,
              char *argv[], int answer)
{
    const char *name = NULL;

    for (size_t i = 0; i < tables->count; i++)
        if (optopt >= VALUE_BASE && tables->options[i].val == optopt)
            name = tables->options[i].name;
    if (name && answer == ':')
        cli->status = nsp_cli_usage(cli, NULL, "--%s needs a value", name);
    else if (name)
        cli->status = nsp_cli_usage(cli, NULL, "--%s takes no value", name);
    else if (answer == ':')
        cli->status = nsp_cli_usage(cli, NULL, "-%c needs a value", optopt);
    else
        cli->status = report_unknown(cli, argv[optind - 1]);
    return NSP_CLI_EXIT;
}

/* Reads the next option of cli->command: its index in the table, NO_MORE or
 * NSP_CLI_EXIT. '*ret_value' is its argument, "" without one. */
static int
next_option(struct nsp_cli *cli, int argc, char *argv[], const char **ret_value)
{
    struct getopt_tables tables;

    build_tables(cli->command, &tables);
    opterr = 0;
    for (;;) {
        int answer =
            getopt_long(argc, argv, tables.letters, tables.options, NULL);

        if (answer == -1)
            return NO_MORE;
        if (answer == '?' || answer == ':')
            return report_misuse(cli, &tables, argv, answer);
        for (size_t i = 0; i < tables.letter_count; i++)
            if (answer == tables.value_letters[i])
                answer = tables.values[i];
        if (answer < COMMON_BASE) {
            *ret_value = optarg ? optarg : "";
            return answer - VALUE_BASE;
        }
        answer = take_common(cli, (enum common_option)(answer - COMMON_BASE),
                             optarg);
        if (answer == NSP_CLI_EXIT)
            return NSP_CLI_EXIT;
    }
}

/* Of the same option twice, one would be lost. 'given' has those so far. */
static int
check_once(struct nsp_cli *cli, int option, bool given[2][OPTIONS_MAX])
{
    bool shared = option >= NSP_CLI_SHARED;
    int index = shared ? option - NSP_CLI_SHARED : option;
    const char *name = nsp_cli_table(cli->command, shared ? 0 : 1)[index].name;
    const char *repeats = cli->command->repeats;

    if (given[shared][index] && (!repeats || strcmp(repeats, name) != 0))
        return nsp_cli_usage(cli, "leave one of them out", "--%s is here twice",
                             name);
    given[shared][index] = true;
    return NSP_EXIT_OK;
}

int
nsp_cli_take_options(struct nsp_cli *cli, int argc, char *argv[],
                     nsp_cli_take_fn *take, void *context)
{
    bool given[2][OPTIONS_MAX] = { { false } };
    const char *value;
    int option;

    while ((option = next_option(cli, argc, argv, &value)) >= 0) {
        int status = check_once(cli, option, given);

        if (status == NSP_EXIT_OK)
            status = take(cli, context, option, value);

        if (status == NSP_EXIT_OK)
            continue;
        if (status != NSP_CLI_EXIT)
            cli->status = status;
        return NSP_CLI_EXIT;
    }
    return option == NSP_CLI_EXIT ? NSP_CLI_EXIT : NSP_EXIT_OK;
}

int
nsp_cli_run_subcommand(struct nsp_cli *cli, int argc, char *argv[])
{
    const struct nsp_command *group = cli->command;
    char hint[128];
    const char *near;

    if (argc == 0) {
        if (cli->json)
            return nsp_cli_usage(cli, NULL, "'%s' needs a command", cli->path);
        nsp_cli_print_help(cli, stderr);
        return NSP_EXIT_USAGE;
    }
    for (size_t i = 0; group->subcommands[i]; i++) {
        size_t used = strlen(cli->path);

        if (strcmp(group->subcommands[i]->name, argv[0]) != 0)
            continue;
        snprintf(cli->path + used, sizeof cli->path - used, " %s", argv[0]);
        return nsp_cli_run(cli, group->subcommands[i], argc, argv);
    }
    near = nsp_cli_suggest(group, false, argv[0]);
    if (near)
        snprintf(hint, sizeof hint, "did you mean '%s %s'?", cli->path, near);
    return nsp_cli_usage(cli, near ? hint : NULL, "unknown command '%s'",
                         argv[0]);
}

int
nsp_cli_run(struct nsp_cli *cli, const struct nsp_command *command, int argc,
            char *argv[])
{
    cli->command = command;
    optind = 0; /* Tells glibc to begin anew. */
    if (command->run)
        return command->run(cli, argc, argv);
    if (nsp_cli_take_options(cli, argc, argv, NULL, NULL) == NSP_CLI_EXIT)
        return cli->status;
    return nsp_cli_run_subcommand(cli, argc - optind, argv + optind);
}

int
nsp_cli_exit_status(int result)
{
    switch (result) {
    case NSP_OK:
    case NSP_STOPPED:
        return NSP_EXIT_OK;
    case NSP_INVALID_PARAMETER:
    case NSP_INVALID_FILTER:
        return NSP_EXIT_USAGE;
    case NSP_NOT_POSSIBLE:
        return NSP_EXIT_NOT_POSSIBLE;
    default:
        return NSP_EXIT_FAILED;
    }
}

static void
print_error_json(const struct nsp_diag *diag)
{
    struct nsp_json json;

    nsp_json_init(&json, stdout);
    nsp_json_begin_object(&json, NULL);
    nsp_json_bool(&json, "ok", false);
    nsp_json_begin_object(&json, "error");
    nsp_json_string(&json, "result", nsp_result_name(diag->result));
    nsp_json_string(&json, "category", diag->category);
    nsp_json_string(&json, "message",
                    diag->text[0] ? diag->text : nsp_result_text(diag->result));
    if (diag->hint[0])
        nsp_json_string(&json, "hint", diag->hint);
    if (diag->line > 0) {
        nsp_json_uint(&json, "offset", diag->offset);
        nsp_json_uint(&json, "line", diag->line);
        nsp_json_uint(&json, "column", diag->column);
    }
    if (diag->os_errno)
        nsp_json_int(&json, "errno", diag->os_errno);
    nsp_json_finish(&json);
}

int
nsp_cli_fail_at(struct nsp_cli *cli, const struct nsp_diag *diag,
                const char *name, const char *source)
{
    if (cli->json)
        print_error_json(diag);
    else
        nsp_diag_print(stderr, diag, name, source, cli->color_err);
    return nsp_cli_exit_status(diag->result);
}

int
nsp_cli_fail(struct nsp_cli *cli, const struct nsp_diag *diag)
{
    return nsp_cli_fail_at(cli, diag, NULL, NULL);
}

int
nsp_cli_fail_result(struct nsp_cli *cli, int result,
                    const struct nsp_diag *diag)
{
    struct nsp_diag told = *diag;

    if (told.text[0] == '\0') {
        told.result = result;
        snprintf(told.text, sizeof told.text, "%s", nsp_result_text(result));
    }
    return nsp_cli_fail(cli, &told);
}

int
nsp_cli_usage(struct nsp_cli *cli, const char *hint, const char *format, ...)
{
    struct nsp_diag diag = { .result = NSP_INVALID_PARAMETER,
                             .category = "usage" };
    va_list args;

    va_start(args, format);
    vsnprintf(diag.text, sizeof diag.text, format, args);
    va_end(args);
    if (hint)
        snprintf(diag.hint, sizeof diag.hint, "%s", hint);
    else
        snprintf(diag.hint, sizeof diag.hint, "see '%s --help'", cli->path);
    return nsp_cli_fail(cli, &diag);
}

int
nsp_cli_read_int(struct nsp_cli *cli, const char *name, const char *text,
                 int64_t minimum, int64_t maximum, int64_t *ret)
{
    const char *digits = text + (text[0] == '-');
    int64_t value = 0;
    size_t count = strspn(digits, "0123456789");

    /* 18 digits fit whatever they are. */
    if (count == 0 || digits[count] != '\0')
        return nsp_cli_usage(cli, NULL, "%s: expected a whole number, not '%s'",
                             name, text);
    for (size_t i = 0; i < count && i < 18; i++)
        value = value * 10 + (digits[i] - '0');
    if (text[0] == '-')
        value = -value;
    if (count > 18 || value < minimum || value > maximum)
        return nsp_cli_usage(cli, NULL,
                             "%s: %s lies outside %" PRId64 "..%" PRId64, name,
                             text, minimum, maximum);
    *ret = value;
    return NSP_EXIT_OK;
}

int
nsp_cli_read_cpus(struct nsp_cli *cli, const char *name, const char *text,
                  uint16_t ret[], uint32_t max, uint32_t *ret_count)
{
    uint32_t count = 0;
    const char *at = text;

    do {
        unsigned int from = 0, to = 0;
        int bytes = 0;

        if (sscanf(at, "%4u-%4u%n", &from, &to, &bytes) < 2) {
            bytes = 0;
            if (sscanf(at, "%4u%n", &from, &bytes) < 1)
                bytes = 0;
            to = from;
        }
        if (bytes == 0 || at[0] < '0' || at[0] > '9' || to < from ||
            (at[bytes] != ',' && at[bytes] != '\0'))
            return nsp_cli_usage(cli, NULL,
                                 "%s: expected processors like 0,2-3, not '%s'",
                                 name, text);
        for (; from <= to; from++) {
            if (count == max)
                return nsp_cli_usage(cli, NULL, "%s: more than %u processors",
                                     name, max);
            ret[count++] = (uint16_t)from;
        }
        at += bytes;
    } while (*at++ == ',');
    *ret_count = count;
    return NSP_EXIT_OK;
}

int
nsp_cli_check_operands(struct nsp_cli *cli, int argc, char *argv[], int needed,
                       int allowed, const char *what)
{
    if (argc - optind < needed)
        return nsp_cli_usage(cli, NULL, "%s is missing", what);
    if (argc - optind > allowed)
        return nsp_cli_usage(cli, NULL, "unexpected argument '%s'",
                             argv[optind + allowed]);
    return 0;
}

void
nsp_cli_init(struct nsp_cli *cli, int argc, char *argv[])
{
    *cli = (struct nsp_cli){
        .path = "nsp",
        .color = wants_color("auto", STDOUT_FILENO),
        .color_err = wants_color("auto", STDERR_FILENO),
    };
    /* An error in an earlier argument shall come as JSON already. */
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0 || strcmp(argv[i], "-j") == 0)
            cli->json = true;
}

const char *
nsp_cli_paint(const struct nsp_cli *cli, enum nsp_paint paint)
{
    static const char *const sequences[] = {
        [NSP_PAINT_PLAIN] = "\033[0m",  [NSP_PAINT_BOLD] = "\033[1m",
        [NSP_PAINT_DIM] = "\033[2m",    [NSP_PAINT_RED] = "\033[31m",
        [NSP_PAINT_GREEN] = "\033[32m", [NSP_PAINT_YELLOW] = "\033[33m",
        [NSP_PAINT_CYAN] = "\033[36m",
    };

    return cli->color ? sequences[paint] : "";
}
