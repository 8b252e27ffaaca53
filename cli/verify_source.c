#include "cli/verify_source.h"

#include <stdlib.h>

#include "cli/interfaces.h"
#include "cli/policy_load.h"

static uint32_t
list_interfaces(uint32_t ifindexes[NSP_VERIFY_INTERFACES_MAX])
{
    uint32_t ifindex, count = 0;

    while (count < NSP_VERIFY_INTERFACES_MAX &&
           nsp_cli_interfaces.get(nsp_cli_interfaces.context, count, &ifindex))
        ifindexes[count++] = ifindex;
    return count;
}

int
nsp_verify_source_open_policy(struct nsp_cli *cli, const char *path,
                              struct nsp_verify_source *ret)
{
    int status;

    *ret = (struct nsp_verify_source){ .name = path };
    status = nsp_cli_load_policy(cli, path, false, &ret->file);
    if (status != NSP_EXIT_OK)
        return status;
    ret->off = calloc((size_t)ret->file->spec.rule_count + 1, sizeof *ret->off);
    if (!ret->off)
        return nsp_cli_fail_result(cli, NSP_NO_MEMORY, &(struct nsp_diag){ 0 });
    for (uint32_t i = 0; i < ret->file->spec.rule_count; i++)
        ret->off[i] = !ret->file->notes[i].enabled;
    ret->search = (struct nsp_search){
        .spec = &ret->file->spec,
        .filters = ret->file->filters,
        .off = ret->off,
        .hooks = ret->file->hooks,
        .ifindexes = ret->ifindexes,
        .ifindex_count = list_interfaces(ret->ifindexes),
    };
    return NSP_EXIT_OK;
}

/* Forwarded packets have no direction, so the ways differ by their port. */
static int
make_ways(struct nsp_verify_source *source, struct nsp_diag *reterr)
{
    static const char *const matches[] = { "udp.DstPort == 5001",
                                           "udp.DstPort == 5002" };
    static const char *const names[] = { "down", "up" };
    const struct nsp_profile_way *ways[] = { &source->profile->down,
                                             &source->profile->up };
    int result = NSP_OK;

    for (int i = 0; i < 2 && result == NSP_OK; i++) {
        source->ways[i] = (struct nsp_rule){ .name = names[i],
                                             .match = matches[i],
                                             .link = ways[i]->link,
                                             .effects = ways[i]->effects };
        result = nsp_filter_compile(matches[i], NSP_LAYER_NETWORK_FORWARD, NULL,
                                    &source->way_filters[i], reterr);
    }
    return result;
}

int
nsp_verify_source_open_profile(struct nsp_cli *cli, const char *name,
                               struct nsp_verify_source *ret)
{
    struct nsp_complaints complaints = { .errors_only = true };
    struct nsp_diag diag = { .result = NSP_OK };
    int result, status;

    *ret = (struct nsp_verify_source){ .name = name };
    result = nsp_profile_load(name, NULL, &ret->profile, &complaints);
    status = nsp_cli_report_complaints(cli, result, &complaints, false);
    nsp_complaints_fini(&complaints);
    if (status != NSP_EXIT_OK)
        return status;
    result = make_ways(ret, &diag);
    if (result != NSP_OK)
        return nsp_cli_fail_result(cli, result, &diag);
    ret->way_spec =
        (struct nsp_policy_spec){ .rules = ret->ways, .rule_count = 2 };
    ret->search = (struct nsp_search){ .spec = &ret->way_spec,
                                       .filters = ret->way_filters,
                                       .hooks = NSP_HOOK_FORWARD };
    return NSP_EXIT_OK;
}

void
nsp_verify_source_close(struct nsp_verify_source *source)
{
    for (int i = 0; i < 2; i++)
        nsp_filter_destroy(source->way_filters[i]);
    nsp_profile_destroy(source->profile);
    free(source->off);
    nsp_policy_file_destroy(source->file);
}

const char *
nsp_verify_source_rule_name(const struct nsp_verify_source *source,
                            uint32_t rule, char ret[64])
{
    const char *name = source->search.spec->rules[rule].name;

    if (name)
        return name;
    snprintf(ret, 64, "rule-%u", (unsigned)(rule + 1));
    return ret;
}
