#include "config/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "config/policy_build.h"
#include "config/profiles.h"

/* A profile that has been read. */
struct nsp_profile_part {
    struct nsp_profile_part *next;
    struct nsp_text_source source;
    bool is_file;                      /* Whose text was read. */
    const struct nsp_doc_profile *doc; /* NULL: it could not be. */
};

const char *
nsp_profile_name(uint32_t index)
{
    return index < nsp_profile_count ? nsp_profiles[index].name : NULL;
}

bool
nsp_profile_is_file(const char *name)
{
    size_t bytes = strlen(name);

    return strchr(name, '/') != NULL ||
           (bytes > 5 && strcmp(name + bytes - 5, ".yaml") == 0);
}

/* --- Finding ----------------------------------------------------------------
 */

static const char *
find_text(struct nsp_policy_builder *b, const struct nsp_doc_profile_use *use)
{
    struct nsp_nearest nearest;
    char hint[128];

    nsp_nearest_init(&nearest, use->name);
    for (uint32_t i = 0; i < nsp_profile_count; i++) {
        if (strcmp(nsp_profiles[i].name, use->name) == 0)
            return nsp_profiles[i].text;
        nsp_nearest_try(&nearest, nsp_profiles[i].name);
    }
    if (nearest.best)
        snprintf(hint, sizeof hint, "did you mean %s?", nearest.best);
    else
        snprintf(hint, sizeof hint,
                 "'nsp profile list' shows them; a file has a '/' in its path "
                 "or ends in .yaml");
    nsp_keys_complain_at(&b->keys, &use->at, "name", "unknown-name", hint,
                         "there is no profile '%.64s'", use->name);
    return NULL;
}

/* Reads the text of 'part'. */
static void
read_part(struct nsp_policy_builder *b, struct nsp_profile_part *part)
{
    const struct nsp_text_source *before = b->keys.source;
    const struct nsp_yaml_node *root = NULL;
    struct nsp_doc_profile *doc;
    int result =
        nsp_yaml_read(&part->source, b->keys.store, b->keys.complaints, &root);

    if (result == NSP_NO_MEMORY)
        b->keys.failed = true;
    if (result != NSP_OK)
        return;
    doc = nsp_store_alloc(b->keys.store, sizeof *doc);
    if (!doc)
        return;
    b->keys.source = &part->source;
    nsp_keys_read(&b->keys, &nsp_profile_map, root, doc);
    b->keys.source = before;
    part->doc = doc;
}

/* Finds the text that 'use' names. */
static bool
open_part(struct nsp_policy_builder *b, const struct nsp_doc_profile_use *use,
          struct nsp_profile_part *part)
{
    const char *text;

    if (nsp_profile_is_file(use->name)) {
        part->is_file = true;
        return nsp_policy_read_file(b, &use->at, "name", use->name,
                                    &part->source);
    }
    text = find_text(b, use);
    if (text)
        part->source =
            (struct nsp_text_source){ use->name, text, strlen(text) };
    return text != NULL;
}

const struct nsp_doc_profile *
nsp_policy_find_profile(struct nsp_policy_builder *b,
                        const struct nsp_doc_profile_use *use)
{
    const char *path;
    struct nsp_profile_part *part;

    if (!use->at.node || !use->name)
        return NULL;
    path =
        nsp_profile_is_file(use->name)
            ? nsp_policy_resolve_path(b->keys.store, use->at.source, use->name)
            : use->name;
    if (!path)
        return NULL;
    for (part = b->profiles; part; part = part->next)
        if (strcmp(part->source.name, path) == 0)
            return part->doc;
    part = nsp_store_alloc(b->keys.store, sizeof *part);
    if (!part || !open_part(b, use, part))
        return NULL;
    part->next = b->profiles;
    b->profiles = part;
    read_part(b, part);
    return part->doc;
}

void
nsp_policy_release_profiles(struct nsp_policy_builder *b)
{
    for (struct nsp_profile_part *part = b->profiles; part; part = part->next)
        if (part->is_file)
            nsp_policy_release_file(&part->source);
}

/* --- One alone -------------------------------------------------------------
 */

static void
build_way(struct nsp_policy_builder *b, const struct nsp_doc_profile *doc,
          enum nsp_doc_profile_way way, struct nsp_profile_way *ret)
{
    struct nsp_doc_way joined = { .at = { .node = doc->at.node,
                                          .source = doc->at.source } };

    nsp_keys_set_fallbacks(&b->keys, &nsp_way_map, &joined);
    nsp_policy_join_profile(b, doc, way, &joined);
    nsp_policy_build_link(b, &nsp_way_map, &joined.at, &joined.link,
                          &ret->link);
    nsp_policy_build_effects(b, &joined.effects, &ret->effects);
}

static void
build(struct nsp_policy_builder *b, const struct nsp_doc_profile *doc,
      struct nsp_profile *ret)
{
    ret->description = doc->description;
    ret->source = doc->source;
    ret->note = doc->note;
    ret->verified = doc->verified;
    ret->rtt_ns = doc->rtt_ns;
    ret->doc = doc;
    build_way(b, doc, NSP_DOC_DOWN, &ret->down);
    build_way(b, doc, NSP_DOC_UP, &ret->up);
}

int
nsp_profile_load(const char *name, const struct nsp_file_reader *reader,
                 struct nsp_profile **ret, struct nsp_complaints *complaints)
{
    struct nsp_profile *profile = calloc(1, sizeof *profile);
    struct nsp_text_source source = { .name = "PROFILE", .text = name };
    struct nsp_yaml_node node = { .text = name };
    struct nsp_doc_profile_use use = { .at = { .node = &node }, .name = name };
    struct nsp_policy_builder b = { .files = reader };
    const struct nsp_doc_profile *doc;
    int result = NSP_OK;

    if (!profile)
        return NSP_NO_MEMORY;
    source.bytes = strlen(name);
    use.at.source = &source;
    b.keys.store = &profile->store;
    b.kept = &profile->store;
    b.keys.complaints = complaints;
    b.files = nsp_file_reader_or_default(reader);
    profile->name = nsp_store_text(&profile->store, name, source.bytes);
    doc = nsp_policy_find_profile(&b, &use);
    if (doc)
        build(&b, doc, profile);
    nsp_policy_release_profiles(&b);
    nsp_complaints_sort(complaints);
    if (b.keys.failed || profile->store.failed || complaints->failed)
        result = NSP_NO_MEMORY;
    else if (complaints->errors > 0)
        result = NSP_INVALID_PARAMETER;
    if (result == NSP_OK)
        *ret = profile;
    else
        nsp_profile_destroy(profile);
    return result;
}

struct nsp_profile *
nsp_profile_destroy(struct nsp_profile *profile)
{
    if (profile) {
        nsp_store_fini(&profile->store);
        free(profile);
    }
    return NULL;
}

int
nsp_profile_print(const struct nsp_profile *profile, FILE *to)
{
    nsp_keys_write(to, &nsp_profile_map, profile->doc, 0);
    return ferror(to) ? -EIO : 0;
}
