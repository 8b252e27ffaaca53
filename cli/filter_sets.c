#include "cli/filter_sets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netshaper/env.h"

#define HINT        "write --set NAME=10.0.0.0/8,192.0.2.1 or --set NAME=@FILE"
#define FIRST_BYTES 65536u
#define BYTES_MAX   (UINT32_C(1) << 30) /* Of a file: what a set takes. */

static int
fail_file(struct nsp_cli *cli, const char *path, const char *why)
{
    struct nsp_diag diag = { .result = NSP_INVALID_PARAMETER,
                             .category = "bad-input" };

    snprintf(diag.text, sizeof diag.text, "--set: %s: %s", path, why);
    snprintf(diag.hint, sizeof diag.hint, HINT);
    return nsp_cli_fail(cli, &diag);
}

/* Reads all of 'file' into fresh memory, terminated. Returns 0 or an errno. */
static int
read_all(FILE *file, char **ret, size_t *ret_bytes)
{
    size_t room = FIRST_BYTES, used = 0, got;
    char *text = malloc(room), *grown;

    while (text && (got = fread(text + used, 1, room - used - 1, file)) > 0) {
        used += got;
        if (used < room - 1)
            continue;
        room *= 2;
        grown = used < BYTES_MAX ? realloc(text, room) : NULL;
        if (!grown)
            free(text);
        text = grown;
    }
    if (!text)
        return used < BYTES_MAX ? ENOMEM : EFBIG;
    if (ferror(file)) {
        free(text);
        return EIO;
    }
    text[used] = '\0';
    *ret = text;
    *ret_bytes = used;
    return 0;
}

static int
read_file(struct nsp_cli *cli, const char *name, const char *path,
          struct nsp_filter_set **ret)
{
    FILE *file = fopen(path, "r");
    struct nsp_diag diag = { .result = NSP_OK };
    char *text = NULL;
    size_t bytes = 0;
    int err, status = NSP_EXIT_OK;

    if (!file)
        return fail_file(cli, path, strerror(errno));
    err = read_all(file, &text, &bytes);
    fclose(file);
    if (err != 0)
        return fail_file(cli, path, strerror(err));
    if (nsp_filter_set_read(name, text, bytes, nsp_large_page_allocator(), ret,
                            &diag) != NSP_OK)
        status = diag.line > 0 ? nsp_cli_fail_at(cli, &diag, path, text)
                               : nsp_cli_fail(cli, &diag);
    free(text);
    return status;
}

/* What is written in lines elsewhere is parted by commas here. */
static int
read_list(struct nsp_cli *cli, const char *name, const char *list,
          struct nsp_filter_set **ret)
{
    struct nsp_diag diag = { .result = NSP_OK };
    char *text = strdup(list);
    int status = NSP_EXIT_OK;

    if (!text)
        return fail_file(cli, name, strerror(ENOMEM));
    for (char *c = text; (c = strchr(c, ',')) != NULL; c++)
        *c = '\n';
    if (nsp_filter_set_read(name, text, strlen(text),
                            nsp_large_page_allocator(), ret, &diag) != NSP_OK) {
        if (diag.line > 0) {
            diag.line = 1;
            diag.column = diag.offset + 1;
            snprintf(diag.hint, sizeof diag.hint, HINT);
            status = nsp_cli_fail_at(cli, &diag, "--set", list);
        } else {
            status = nsp_cli_fail(cli, &diag);
        }
    }
    free(text);
    return status;
}

int
nsp_filter_sets_take(struct nsp_cli *cli, struct nsp_filter_sets *sets,
                     const char *value)
{
    const char *equals = strchr(value, '=');
    char name[NSP_FILTER_SET_NAME_MAX + 2];
    int status;

    if (!equals)
        return nsp_cli_usage(cli, HINT, "--set: no '=' in '%s'", value);
    if (sets->count == NSP_CLI_SETS_MAX)
        return nsp_cli_usage(cli, NULL, "--set: more than %u sets",
                             NSP_CLI_SETS_MAX);
    snprintf(name, sizeof name, "%.*s", (int)(equals - value), value);
    for (uint32_t i = 0; i < sets->count; i++) {
        if (strcmp(nsp_filter_set_name(sets->sets[i]), name) == 0)
            return nsp_cli_usage(cli, "name each set once",
                                 "--set: a second set called '%s'", name);
    }
    status = equals[1] == '@'
                 ? read_file(cli, name, equals + 2, &sets->sets[sets->count])
                 : read_list(cli, name, equals + 1, &sets->sets[sets->count]);
    if (status == NSP_EXIT_OK)
        sets->count++;
    return status;
}

void
nsp_filter_sets_fini(struct nsp_filter_sets *sets)
{
    while (sets->count > 0)
        nsp_filter_set_unref(sets->sets[--sets->count]);
}
