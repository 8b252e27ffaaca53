#ifndef NSP_CONFIG_POLICY_BUILD_H
#define NSP_CONFIG_POLICY_BUILD_H
#include "config/policy_doc.h"
#include "config/policy_file.h"

/* What a step of a scenario changes: a rule by its name, or by that of its
 * impairment. */
enum nsp_step_target { NSP_STEP_RULE, NSP_STEP_CLASS, NSP_STEP_IMPAIRMENT };
struct nsp_stepped {
    enum nsp_step_target target;
    uint32_t place; /* In 'doc'. */
    uint32_t index; /* In 'file': of a rule, the first of its ways. */
};

/* From what is written to what the engine takes. Everything wrong is complained
 * of; what is built is of use only where there are no errors. */
struct nsp_policy_builder {
    struct nsp_key_reader keys; /* For complaints and memory. */
    struct nsp_store *kept;     /* Of what stays over a rebuild. */
    const struct nsp_file_reader *files;
    const struct nsp_policy_doc *doc;
    struct nsp_policy_file *file;
    uint32_t *doc_of; /* Of each rule of 'file', which of 'doc': one with two
                       * directions becomes two. */
    struct nsp_profile_part *profiles; /* Read so far. */
    struct nsp_number_list *numbers;   /* The same of files of numbers. */
    struct nsp_class *classes;         /* Those of the spec. */
    struct nsp_impairment *impairments;
    uint64_t elapsed_ns;         /* Of the scenario; less than 'loop'. */
    struct nsp_stepped *stepped; /* All that its steps change. */
    uint32_t stepped_count;
};

/* 'reader', or the file system's where it has no function of its own. */
const struct nsp_file_reader *nsp_file_reader_or_default(
    const struct nsp_file_reader *reader);

/* The path 'path' as one opens it that is written in 'source'. NULL without
 * memory. */
const char *nsp_policy_resolve_path(struct nsp_store *store,
                                    const struct nsp_text_source *source,
                                    const char *path);

/* The text of the file 'path' that is the value of 'key' in 'object'; released
 * by the caller. Complains, and returns false, where it cannot be read. */
bool nsp_policy_read_file(struct nsp_policy_builder *b,
                          const struct nsp_object *object, const char *key,
                          const char *path, struct nsp_text_source *ret);
void nsp_policy_release_file(struct nsp_text_source *source);

/* Passes on what a reader said of byte 'offset' of 'source'. */
void nsp_policy_complain_in(struct nsp_policy_builder *b,
                            const struct nsp_text_source *source, size_t offset,
                            const struct nsp_diag *diag);

/* What is in the file that 'object' has as its 'file'; NULL where it cannot be
 * read, which has been complained of. */
const int16_t *nsp_policy_read_distribution(struct nsp_policy_builder *b,
                                            const struct nsp_object *object,
                                            const char *path,
                                            uint32_t *ret_count);
const uint64_t *nsp_policy_read_delays(struct nsp_policy_builder *b,
                                       const struct nsp_object *object,
                                       const char *path, uint32_t *ret_count);
const uint64_t *nsp_policy_read_opportunities(struct nsp_policy_builder *b,
                                              const struct nsp_doc_rate *doc,
                                              uint32_t *ret_count);
const uint8_t *nsp_policy_read_losses(struct nsp_policy_builder *b,
                                      const struct nsp_object *object,
                                      const char *path, uint32_t *ret_count);

/* Complains of the first rule that asks for what no device could do. */
void nsp_policy_check_places(struct nsp_policy_builder *b);

/* Builds all of it. */
void nsp_policy_build(struct nsp_policy_builder *b);

/* Its parts. */
void nsp_policy_build_intercept(struct nsp_policy_builder *b);
void nsp_policy_check_rule(struct nsp_policy_builder *b,
                           const struct nsp_doc_rule *doc);
/* That a rule with two directions may be where packets have none. */
void nsp_policy_check_forwarded(struct nsp_policy_builder *b,
                                const struct nsp_doc_rule *doc);
void nsp_policy_build_names(struct nsp_policy_builder *b);
void nsp_policy_build_sets(struct nsp_policy_builder *b);
void nsp_policy_build_link(struct nsp_policy_builder *b,
                           const struct nsp_map *map,
                           const struct nsp_object *object,
                           const struct nsp_doc_link *doc,
                           struct nsp_link_rate *ret);
void nsp_policy_build_effects(struct nsp_policy_builder *b,
                              const struct nsp_doc_effects *doc,
                              struct nsp_effects *ret);

/* Parts of links and effects. */
void nsp_policy_build_rate(struct nsp_policy_builder *b,
                           const struct nsp_doc_rate *doc,
                           struct nsp_link_rate *ret);
void nsp_policy_build_loss(struct nsp_policy_builder *b,
                           const struct nsp_doc_loss *doc,
                           struct nsp_loss_config *ret);
void nsp_policy_build_loss_pattern(struct nsp_policy_builder *b,
                                   const struct nsp_doc_effects *doc,
                                   struct nsp_loss_config *ret);
void nsp_policy_build_delay(struct nsp_policy_builder *b,
                            const struct nsp_doc_delay *doc,
                            struct nsp_delay_config *ret);
void nsp_policy_build_jitter(struct nsp_policy_builder *b,
                             const struct nsp_doc_effects *doc,
                             struct nsp_delay_config *ret);

/* What 'use' names; NULL where nothing is named, or it cannot be read, which
 * has been complained of. It lives as long as the builder's store, what it
 * complains of until nsp_policy_release_profiles(). */
const struct nsp_doc_profile *nsp_policy_find_profile(
    struct nsp_policy_builder *b, const struct nsp_doc_profile_use *use);
void nsp_policy_release_profiles(struct nsp_policy_builder *b);

/* Puts what 'from', of the map 'map', says of a direction over what 'to' says.
 */
void nsp_policy_join_way(const struct nsp_map *map,
                         const struct nsp_object *from, struct nsp_doc_way *to);

/* The same of direction 'way' of a profile. */
void nsp_policy_join_profile(struct nsp_policy_builder *b,
                             const struct nsp_doc_profile *profile,
                             enum nsp_doc_profile_way way,
                             struct nsp_doc_way *to);

/* What a rule does to packets of each direction, or of both alike. */
struct nsp_policy_ways {
    uint32_t count;         /* 1: of all; 2: inbound, outbound. */
    const char *impairment; /* By name; the effects are then empty. */
    struct nsp_doc_way docs[2];
};
void nsp_policy_build_ways(struct nsp_policy_builder *b,
                           const struct nsp_doc_rule *doc,
                           struct nsp_policy_ways *ret);

/* Warns of what is allowed and of no use: rules that never match, empty sets,
 * names that nobody uses, rates that do not add up. */
void nsp_policy_warn(struct nsp_policy_builder *b);

#endif /* NSP_CONFIG_POLICY_BUILD_H */
