/* Losses, by whatever model. */
#include <string.h>

#include "config/policy_build.h"

#define ONE ((uint64_t)NSP_PPM_ONE)

static const char *const model_names[NSP_DOC_MODELS] = {
    [NSP_DOC_RANDOM] = "random",
    [NSP_DOC_CORRELATED] = "correlated",
    [NSP_DOC_GILBERT] = "gilbert-elliott",
    [NSP_DOC_FOUR_STATE] = "four-state",
    [NSP_DOC_PATTERN] = "pattern",
    [NSP_DOC_CONSECUTIVE] = "consecutive",
    [NSP_DOC_NTH] = "nth",
    [NSP_DOC_FIRST_N] = "first-n",
    [NSP_DOC_TIMED] = "timed",
};

/* --- Which keys a model has ---------------------------------------------- */

static bool
is_bursts(const struct nsp_doc_loss *doc)
{
    return doc->model == NSP_DOC_GILBERT &&
           nsp_yaml_find(doc->at.node, "burst") != NULL;
}

static bool
has_key(const char *const keys[], size_t most, const char *name)
{
    for (size_t i = 0; i < most && keys[i]; i++)
        if (strcmp(keys[i], name) == 0)
            return true;
    return false;
}

static bool
is_of_all(const char *key)
{
    return strcmp(key, "model") == 0 || strcmp(key, "mark-ce") == 0;
}

static bool
check_model_keys(struct nsp_policy_builder *b, const struct nsp_doc_loss *doc)
{
    const struct nsp_doc_model_keys *keys =
        is_bursts(doc) ? &nsp_doc_bursts : &nsp_doc_models[doc->model];
    const char *model = model_names[doc->model];
    bool good = true;

    for (const struct nsp_key *key = nsp_loss_map.keys; key->name; key++) {
        bool given = nsp_keys_given(&nsp_loss_map, &doc->at, key->name);
        bool needed = has_key(keys->needs, 6, key->name);

        if (given && !needed && !is_of_all(key->name) &&
            !has_key(keys->may, 3, key->name)) {
            nsp_keys_complain_at(
                &b->keys, &doc->at, key->name, "unknown-key",
                is_bursts(doc) ? "'p' and 'burst' say it all; leave "
                                 "'burst' out for 'p', 'r', '1-h', '1-k'"
                               : "leave it out, or choose another model",
                "the loss model %s has no key '%s'", model, key->name);
            good = false;
        }
        if (needed && !nsp_yaml_find(doc->at.node, key->name) && !given) {
            nsp_keys_complain_at(&b->keys, &doc->at, NULL, "missing-key",
                                 key->doc, "the loss model %s needs '%s'",
                                 model, key->name);
            good = false;
        }
        /* What could not be read has been complained of. */
        good &= !needed || given;
    }
    return good;
}

/* --- Losses -------------------------------------------------------------- */

static void
complain_loss(struct nsp_policy_builder *b, const struct nsp_doc_loss *doc,
              const char *key, const char *text, const char *hint)
{
    nsp_keys_complain_at(&b->keys, &doc->at, key, "out-of-range", hint, "%s",
                         text);
}

static void
build_gilbert(struct nsp_policy_builder *b, const struct nsp_doc_loss *doc,
              struct nsp_loss_config *ret)
{
    if (is_bursts(doc)) {
        ret->kind = NSP_LOSS_BURSTS;
        ret->bursts.ppm = (uint32_t)doc->p;
        ret->bursts.burst_milli = (uint32_t)doc->burst_milli;
        if (doc->p * 1000 > doc->burst_milli * (ONE - doc->p))
            complain_loss(b, doc, "p",
                          "so many losses cannot come in so short bursts",
                          "'p' is at most burst / (burst + 1): ask for longer "
                          "bursts");
        return;
    }
    ret->kind = NSP_LOSS_GILBERT;
    ret->gilbert.p_ppm = (uint32_t)doc->p;
    ret->gilbert.r_ppm = (uint32_t)doc->r;
    ret->gilbert.bad_loss_ppm = (uint32_t)doc->bad_loss;
    ret->gilbert.good_loss_ppm = (uint32_t)doc->good_loss;
    if (doc->r == 0 && doc->p != 0)
        complain_loss(b, doc, "r", "with 'r' 0% the bad state never ends",
                      "1 / r is how many packets it lasts, on average");
}

static void
build_four_state(struct nsp_policy_builder *b, const struct nsp_doc_loss *doc,
                 struct nsp_loss_config *ret)
{
    ret->kind = NSP_LOSS_FOUR_STATES;
    ret->four_states.p13_ppm = (uint32_t)doc->p13;
    ret->four_states.p31_ppm = (uint32_t)doc->p31;
    ret->four_states.p32_ppm = (uint32_t)doc->p32;
    ret->four_states.p23_ppm = (uint32_t)doc->p23;
    ret->four_states.p14_ppm = (uint32_t)doc->p14;
    if (doc->p13 + doc->p14 > ONE)
        complain_loss(b, doc, "p14", "'p13' and 'p14' are more than 100%",
                      "they leave the same state");
    if (doc->p31 + doc->p32 > ONE)
        complain_loss(b, doc, "p32", "'p31' and 'p32' are more than 100%",
                      "they leave the same state");
    if (doc->p13 != 0 && doc->p31 == 0)
        complain_loss(b, doc, "p31", "with 'p31' 0% a burst never ends",
                      "write more than 0%");
    if (doc->p13 != 0 && doc->p32 != 0 && doc->p23 == 0)
        complain_loss(b, doc, "p23", "with 'p23' 0% a burst never ends",
                      "write more than 0%");
}

/* The pattern as written out; NULL without memory, or where it is too long. */
static const uint8_t *
read_pattern(struct nsp_policy_builder *b, const struct nsp_doc_loss *doc,
             uint32_t *ret_pkts)
{
    size_t pkts = strlen(doc->pattern);
    uint8_t *lost;

    if (pkts > NSP_LOSS_PATTERN_MAX) {
        complain_loss(b, doc, "pattern",
                      "'pattern' is longer than 1048576 packets", "shorten it");
        return NULL;
    }
    lost = nsp_store_alloc(b->keys.store, pkts);
    for (size_t i = 0; lost && i < pkts; i++)
        lost[i] = doc->pattern[i] == '1';
    *ret_pkts = (uint32_t)pkts;
    return lost;
}

static void
build_pattern(struct nsp_policy_builder *b, const struct nsp_doc_loss *doc,
              struct nsp_loss_config *ret)
{
    bool pattern = nsp_yaml_find(doc->at.node, "pattern") != NULL;
    bool file = nsp_yaml_find(doc->at.node, "file") != NULL;
    const uint8_t *lost;
    uint32_t pkts = 0;

    if (pattern == file) {
        nsp_keys_complain_at(&b->keys, &doc->at, file ? "file" : NULL,
                             file ? "contradiction" : "missing-key",
                             file ? "leave one of them out"
                                  : "write 'pattern: 00010' or a 'file'",
                             file ? "'pattern' and 'file' exclude each other"
                                  : "the loss model pattern needs 'pattern' or "
                                    "'file'");
        return;
    }
    if (!doc->pattern && !doc->file)
        return; /* Complained of. */
    lost = pattern ? read_pattern(b, doc, &pkts)
                   : nsp_policy_read_losses(b, &doc->at, doc->file, &pkts);
    if (!lost)
        return;
    ret->kind = NSP_LOSS_PATTERN;
    ret->pattern.lost = lost;
    ret->pattern.pkts = pkts;
}

static void
build_consecutive(struct nsp_policy_builder *b, const struct nsp_doc_loss *doc,
                  struct nsp_loss_config *ret)
{
    const uint64_t *chances = doc->chances.items;
    uint32_t *ppm;

    if (doc->chances.count == 0) {
        complain_loss(b, doc, "chances", "'chances' is an empty list",
                      "write at least one percentage");
        return;
    }
    ppm = nsp_store_alloc(b->keys.store, doc->chances.count * sizeof *ppm);
    if (!ppm)
        return;
    for (uint32_t i = 0; i < doc->chances.count; i++)
        ppm[i] = (uint32_t)chances[i];
    ret->kind = NSP_LOSS_CONSECUTIVE;
    ret->consecutive.ppm = ppm;
    ret->consecutive.count = doc->chances.count;
}

void
nsp_policy_build_loss(struct nsp_policy_builder *b,
                      const struct nsp_doc_loss *doc,
                      struct nsp_loss_config *ret)
{
    if (!doc->at.node)
        return;
    ret->mark_ce = doc->mark_ce;
    if (nsp_yaml_find(doc->at.node, "model") &&
        !nsp_keys_given(&nsp_loss_map, &doc->at, "model"))
        return; /* Complained of, and what it needs is not known. */
    if (!check_model_keys(b, doc))
        return;
    switch ((enum nsp_doc_model)doc->model) {
    case NSP_DOC_GILBERT:
        build_gilbert(b, doc, ret);
        return;
    case NSP_DOC_FOUR_STATE:
        build_four_state(b, doc, ret);
        return;
    case NSP_DOC_PATTERN:
        build_pattern(b, doc, ret);
        return;
    case NSP_DOC_CONSECUTIVE:
        build_consecutive(b, doc, ret);
        return;
    case NSP_DOC_NTH:
        ret->kind = NSP_LOSS_EVERY;
        ret->every_pkts = (uint32_t)doc->n;
        return;
    case NSP_DOC_FIRST_N:
        ret->kind = NSP_LOSS_FIRST;
        ret->first_pkts = (uint32_t)doc->n;
        return;
    case NSP_DOC_TIMED:
        ret->kind = NSP_LOSS_TIMED;
        ret->timed.enter_ppm = (uint32_t)doc->enter;
        ret->timed.loss_ppm = (uint32_t)doc->loss;
        ret->timed.bad_ns = doc->time_ns;
        return;
    default:
        ret->kind = NSP_LOSS_CHANCE;
        ret->chance.ppm = (uint32_t)doc->chance;
        ret->chance.correlation_ppm = (uint32_t)doc->correlation;
    }
}

void
nsp_policy_build_loss_pattern(struct nsp_policy_builder *b,
                              const struct nsp_doc_effects *doc,
                              struct nsp_loss_config *ret)
{
    const struct nsp_doc_loss pattern = { .at = doc->loss.at,
                                          .pattern = doc->loss_pattern };
    uint32_t pkts = 0;
    const uint8_t *lost = read_pattern(b, &pattern, &pkts);

    if (!lost)
        return;
    ret->kind = NSP_LOSS_PATTERN;
    ret->pattern.lost = lost;
    ret->pattern.pkts = pkts;
}
