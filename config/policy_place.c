/* What no device could do, whatever the machine. */
#include "config/policy_build.h"

struct nsp_engine_config
nsp_policy_file_engine(const struct nsp_policy_file *file)
{
    return (struct nsp_engine_config){
        .backend = file->bridge[0] ? "bridge"
                   : file->tap     ? "tap"
                                   : "host",
        .tap = { .interfaces = file->interfaces,
                 .interface_count = file->interface_count },
        .bridge = { .interfaces = { file->bridge[0], file->bridge[1] } },
        .hooks = file->hooks,
        .policy = file->spec,
    };
}

/* The refusal's category is the key that asks for too much, where there is one.
 */
void
nsp_policy_check_places(struct nsp_policy_builder *b)
{
    const struct nsp_engine_config cfg = nsp_policy_file_engine(b->file);
    const struct nsp_doc_rule *rules = b->doc->rules.items;
    struct nsp_placement places[NSP_PLACEMENTS_MAX];
    struct nsp_diag diag;
    uint32_t count, place;

    if (nsp_engine_place(&cfg, "true", places, &count, &diag) !=
            NSP_NOT_POSSIBLE ||
        diag.rule == 0)
        return;
    place = b->doc_of[diag.rule - 1];
    if (place < b->doc->rules.count)
        nsp_keys_complain_at(&b->keys, &rules[place].at, diag.category,
                             diag.category, diag.hint, "%s", diag.text);
}
