#include "cli/policy_load.h"

#include "cli/diag_print.h"
#include "cli/interfaces.h"

static void
write_complaint(struct nsp_json *json, const struct nsp_complaint *c)
{
    nsp_json_begin_object(json, NULL);
    nsp_json_string(json, "severity", c->is_warning ? "warning" : "error");
    nsp_json_string(json, "file", c->file);
    nsp_json_uint(json, "line", c->diag.line);
    nsp_json_uint(json, "column", c->diag.column);
    nsp_json_string(json, "category", c->diag.category);
    nsp_json_string(json, "message", c->diag.text);
    if (c->diag.hint[0])
        nsp_json_string(json, "hint", c->diag.hint);
    if (c->diag.line > 0)
        nsp_json_string(json, "source", c->source);
    nsp_json_end(json);
}

static void
write_json(const struct nsp_complaints *complaints, bool warns)
{
    struct nsp_json json;

    nsp_json_init(&json, stdout);
    nsp_json_begin_array(&json, NULL);
    for (uint32_t i = 0; i < complaints->count; i++)
        if (warns || !complaints->list[i].is_warning)
            write_complaint(&json, &complaints->list[i]);
    nsp_json_finish(&json);
}

static void
print(const struct nsp_cli *cli, const struct nsp_complaints *complaints,
      bool warns)
{
    for (uint32_t i = 0; i < complaints->count; i++) {
        const struct nsp_complaint *c = &complaints->list[i];
        const char *source = c->diag.line > 0 ? c->source : NULL;

        if (!c->is_warning)
            nsp_diag_print(stderr, &c->diag, c->file, source, cli->color_err);
        else if (warns)
            nsp_diag_print_warning(stderr, &c->diag, c->file, source,
                                   cli->color_err);
    }
    if (complaints->cut)
        fprintf(stderr, "nsp: there is more; mend these first\n");
}

int
nsp_cli_report_complaints(struct nsp_cli *cli, int result,
                          const struct nsp_complaints *complaints, bool warns)
{
    int status = result == NSP_OK ? NSP_EXIT_OK : NSP_EXIT_USAGE;

    if (result == NSP_NO_MEMORY)
        return nsp_cli_fail_result(cli, result,
                                   &(struct nsp_diag){ .result = NSP_OK });
    if (!cli->json)
        print(cli, complaints, warns);
    else if (warns || status != NSP_EXIT_OK)
        write_json(complaints, warns);
    return status;
}

static int
load(struct nsp_cli *cli, const char *path, bool warns, bool places,
     struct nsp_policy_file **ret)
{
    const struct nsp_file_reader reader = { .interfaces = &nsp_cli_interfaces,
                                            .places = places };
    struct nsp_complaints complaints = { .errors_only = !warns };
    int result, status;

    nsp_cli_interfaces_fini(); /* They may be others than last time. */
    result = nsp_policy_file_load(path, &reader, ret, &complaints);
    status = nsp_cli_report_complaints(cli, result, &complaints, warns);
    nsp_complaints_fini(&complaints);
    return status;
}

int
nsp_cli_load_policy(struct nsp_cli *cli, const char *path, bool warns,
                    struct nsp_policy_file **ret)
{
    return load(cli, path, warns, false, ret);
}

int
nsp_cli_check_policy(struct nsp_cli *cli, const char *path)
{
    struct nsp_policy_file *file = NULL;
    int status = load(cli, path, true, true, &file);

    nsp_policy_file_destroy(file);
    return status;
}
