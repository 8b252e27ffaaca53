#include <string.h>

#include "cli/cli.h"

#define HELP_COLUMN 24
#define WORD_MAX    32u

static void
print_option(FILE *to, const struct nsp_option *option)
{
    char form[64];

    snprintf(form, sizeof form, "%c%c%s--%s%s%s", option->letter ? '-' : ' ',
             option->letter ? option->letter : ' ',
             option->letter ? ", " : "  ", option->name,
             option->argument ? " " : "",
             option->argument ? option->argument : "");
    fprintf(to, "  %-*s %s\n", HELP_COLUMN + 4, form, option->help);
}

static void
print_options(FILE *to, const struct nsp_command *command)
{
    fputs("\nOptions:\n", to);
    for (unsigned t = 0; t < NSP_CLI_TABLES; t++) {
        const struct nsp_option *option = nsp_cli_table(command, t);

        for (; option && option->name; option++)
            if (option->help)
                print_option(to, option);
    }
}

static void
print_help_text(const struct nsp_cli *cli, FILE *to)
{
    const struct nsp_command *command = cli->command;

    fprintf(to, "Usage: %s [OPTION]...%s%s\n\n%s.\n", cli->path,
            command->subcommands || command->synopsis ? " " : "",
            command->subcommands ? "COMMAND [ARGUMENT]..."
            : command->synopsis  ? command->synopsis
                                 : "",
            command->summary);
    if (command->details)
        fprintf(to, "\n%s", command->details);
    if (command->subcommands)
        fputs("\nCommands:\n", to);
    for (size_t i = 0; command->subcommands && command->subcommands[i]; i++)
        fprintf(to, "  %-*s %s\n", HELP_COLUMN + 4,
                command->subcommands[i]->name,
                command->subcommands[i]->summary);
    print_options(to, command);
    if (command->examples)
        fprintf(to, "\nExamples:\n%s", command->examples);
}

static void
write_option(struct nsp_json *json, const struct nsp_option *option)
{
    char letter[2] = { option->letter, '\0' };

    nsp_json_begin_object(json, NULL);
    nsp_json_string(json, "name", option->name);
    nsp_json_string(json, "letter", option->letter ? letter : NULL);
    nsp_json_string(json, "argument", option->argument);
    nsp_json_string(json, "help", option->help);
    nsp_json_end(json);
}

static void
print_help_json(const struct nsp_cli *cli, FILE *to)
{
    const struct nsp_command *command = cli->command;
    struct nsp_json json;

    nsp_json_init(&json, to);
    nsp_json_begin_object(&json, NULL);
    nsp_json_string(&json, "command", cli->path);
    nsp_json_string(&json, "summary", command->summary);
    nsp_json_begin_array(&json, "commands");
    for (size_t i = 0; command->subcommands && command->subcommands[i]; i++) {
        nsp_json_begin_object(&json, NULL);
        nsp_json_string(&json, "name", command->subcommands[i]->name);
        nsp_json_string(&json, "summary", command->subcommands[i]->summary);
        nsp_json_end(&json);
    }
    nsp_json_end(&json);
    nsp_json_begin_array(&json, "options");
    for (unsigned t = 0; t < NSP_CLI_TABLES; t++) {
        const struct nsp_option *option = nsp_cli_table(command, t);

        for (; option && option->name; option++)
            if (option->help)
                write_option(&json, option);
    }
    nsp_json_finish(&json);
}

void
nsp_cli_print_help(const struct nsp_cli *cli, FILE *to)
{
    if (cli->json)
        print_help_json(cli, to);
    else
        print_help_text(cli, to);
}

/* Edits (insert, remove, replace, swap neighbours) that turn one word into the
 * other: the optimal string alignment distance. */
static unsigned
distance(const char *a, const char *b)
{
    size_t a_bytes = strlen(a), b_bytes = strlen(b);
    unsigned rows[3][WORD_MAX + 1];

    if (a_bytes > WORD_MAX || b_bytes > WORD_MAX)
        return WORD_MAX;
    for (unsigned j = 0; j <= b_bytes; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a_bytes; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3];

        row[0] = i;
        for (unsigned j = 1; j <= b_bytes; j++) {
            row[j] = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < row[j])
                row[j] = above[j] + 1;
            if (row[j - 1] + 1 < row[j])
                row[j] = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
                a[i - 2] == b[j - 1] && rows[(i - 2) % 3][j - 2] + 1 < row[j])
                row[j] = rows[(i - 2) % 3][j - 2] + 1;
        }
    }
    return rows[a_bytes % 3][b_bytes];
}

static void
consider(const char *word, const char *candidate, unsigned *best,
         const char **ret)
{
    unsigned edits = distance(word, candidate);

    if (edits < *best) {
        *best = edits;
        *ret = candidate;
    }
}

const char *
nsp_cli_suggest(const struct nsp_command *command, bool options,
                const char *word)
{
    /* One edit for three letters: more would suggest anything. */
    unsigned best = (unsigned)strlen(word) / 3 + 2;
    const char *near = NULL;

    if (best > 4)
        best = 4;
    if (!options) {
        for (size_t i = 0; command->subcommands && command->subcommands[i]; i++)
            consider(word, command->subcommands[i]->name, &best, &near);
        return near;
    }
    for (unsigned t = 0; t < NSP_CLI_TABLES; t++) {
        const struct nsp_option *option = nsp_cli_table(command, t);

        for (; option && option->name; option++)
            consider(word, option->name, &best, &near);
    }
    return near;
}
