#include "cli/effect_options.h"

#include <string.h>

#include "cli/diag_print.h"

#define HELP_BYTES 256
#define NAME_BYTES 40

/* The rows, made from the keys when they are first asked for; and what each is.
 */
static struct {
    struct nsp_option rows[NSP_EFFECT_OPTIONS_MAX + 1];
    struct nsp_effect_text texts[NSP_EFFECT_OPTIONS_MAX];
    char names[NSP_EFFECT_OPTIONS_MAX][NAME_BYTES];
    char helps[NSP_EFFECT_OPTIONS_MAX][HELP_BYTES];
    uint32_t count;
} table;

/* --- The table ------------------------------------------------------------ */

/* A key's documentation as a line of help: without its emphasis and what is
 * behind the first sentence, and beginning small. */
static void
write_help(char ret[HELP_BYTES], const char *doc)
{
    size_t n = 0;

    for (; *doc && strncmp(doc, ". ", 2) != 0 && n + 1 < HELP_BYTES; doc++)
        if (*doc != '*')
            ret[n++] = *doc;
    ret[n] = '\0';
    if (ret[0] >= 'A' && ret[0] <= 'Z' && ret[1] >= 'a')
        ret[0] = (char)(ret[0] - 'A' + 'a');
}

static void
add_row(const char *prefix, const char *name, const char *argument,
        const char *doc, struct nsp_effect_text text)
{
    uint32_t at = table.count++;

    snprintf(table.names[at], NAME_BYTES, "%s%s", prefix, name);
    if (doc)
        write_help(table.helps[at], doc);
    table.rows[at] =
        (struct nsp_option){ .name = table.names[at],
                             .argument = argument,
                             .help = doc ? table.helps[at] : NULL };
    table.texts[at] = text;
}

static void
make_table(void)
{
    struct nsp_effect_option option;

    for (uint32_t i = 0; nsp_effect_option_get(i, &option); i++)
        /* 'drop' is a flag. */
        if (strcmp(option.name, "drop") != 0)
            add_row("", option.name, option.argument, option.doc,
                    (struct nsp_effect_text){ .key = option.key });
    add_row("", "drop", NULL, "Drop silently",
            (struct nsp_effect_text){ .key = "action", .value = "drop" });
    add_row("", "blackhole", NULL, NULL,
            (struct nsp_effect_text){ .key = "action", .value = "blackhole" });
    add_row("", "reject", NULL, "Drop and answer (TCP RST, ICMP)",
            (struct nsp_effect_text){ .key = "action", .value = "reject" });
    for (uint32_t i = 0; nsp_effect_option_get(i, &option); i++) {
        if (!option.of_way)
            continue;
        add_row("in:", option.name, option.argument, NULL,
                (struct nsp_effect_text){ .key = option.key,
                                          .apply = NSP_APPLY_INBOUND });
        add_row("out:", option.name, option.argument, NULL,
                (struct nsp_effect_text){ .key = option.key,
                                          .apply = NSP_APPLY_OUTBOUND });
    }
}

const struct nsp_option *
nsp_effect_options_table(void)
{
    if (table.count == 0)
        make_table();
    return table.rows;
}

/* --- Values ----------------------------------------------------------------
 */

int
nsp_effect_options_take(struct nsp_cli *cli, struct nsp_effect_options *set,
                        int option, const char *value)
{
    uint32_t row = (uint32_t)(option - NSP_CLI_SHARED);
    struct nsp_effect_text text = table.texts[row];

    if (strpbrk(value, "\n\r"))
        return nsp_cli_usage(cli, "write it in one line",
                             "--%s: a value with a line break",
                             table.rows[row].name);
    if (text.value && nsp_effect_options_has(set, text.key))
        return nsp_cli_usage(cli,
                             "a packet is dropped silently or with an answer",
                             "--drop and --reject exclude each other");
    if (set->count == NSP_EFFECT_OPTIONS_MAX)
        return nsp_cli_usage(cli, "give each option once",
                             "there are too many options");
    if (!text.value)
        text.value = value;
    set->texts[set->count++] = text;
    return NSP_EXIT_OK;
}

bool
nsp_effect_options_has(const struct nsp_effect_options *set, const char *key)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (strcmp(set->texts[i].key, key) == 0)
            return true;
    return false;
}

/* The name of the option that 'text' came from. */
static const char *
name_of(const struct nsp_effect_text *text)
{
    for (uint32_t i = 0; i < table.count; i++)
        if (strcmp(table.texts[i].key, text->key) == 0 &&
            table.texts[i].apply == text->apply &&
            (!table.texts[i].value ||
             strcmp(table.texts[i].value, text->value) == 0))
            return table.rows[i].name;
    return text->key;
}

static int
report(struct nsp_cli *cli, const struct nsp_effect_options *set,
       const struct nsp_complaint *c)
{
    const struct nsp_effect_text *text = NULL;
    struct nsp_diag diag = c->diag;
    char name[NAME_BYTES + 2];

    if (c->file[0] != '\0')
        return nsp_cli_fail_at(cli, &diag, c->file,
                               diag.line > 0 ? c->source : NULL);
    if (diag.line > 0 && diag.line <= set->count)
        text = &set->texts[diag.line - 1];
    if (!text)
        return nsp_cli_fail(cli, &diag);
    diag.line = 1;
    snprintf(name, sizeof name, "--%s", name_of(text));
    /* A flag has no value to point into. */
    if (strcmp(text->key, "action") == 0)
        diag.line = 0;
    return nsp_cli_fail_at(cli, &diag, name, diag.line ? text->value : NULL);
}

int
nsp_effect_options_read(struct nsp_cli *cli,
                        const struct nsp_effect_options *set,
                        const struct nsp_effect_rule *rule,
                        struct nsp_policy_file **ret)
{
    struct nsp_complaints complaints = { .errors_only = true };
    int result, status = NSP_EXIT_OK;

    result = nsp_effect_options_load(set->texts, set->count, rule, NULL, ret,
                                     &complaints);
    if (result == NSP_NO_MEMORY)
        status = nsp_cli_fail_result(cli, result,
                                     &(struct nsp_diag){ .result = NSP_OK });
    /* A document has room for one error. */
    for (uint32_t i = 0; result == NSP_INVALID_PARAMETER &&
                         i < (cli->json ? 1 : complaints.count);
         i++)
        status = report(cli, set, &complaints.list[i]);
    nsp_complaints_fini(&complaints);
    return status;
}
