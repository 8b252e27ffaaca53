#ifndef NSP_CONFIG_PROFILE_H
#define NSP_CONFIG_PROFILE_H
#include <stdio.h>

#include "config/policy_file.h"

/* Links as users have them, under a name: rates, delays and losses in both
 * directions. Some come with the program (config/profiles.c); others are files,
 * whose keys are in config/policy_keys.c. */
struct nsp_profile_way {
    struct nsp_link_rate link;
    struct nsp_effects effects;
};

struct nsp_doc_profile;

struct nsp_profile {
    const char *name;                        /* Or path, as it was asked for. */
    const char *description, *source, *note; /* NULL without. */
    bool verified;
    uint64_t rtt_ns; /* Split evenly into the delays; 0: one-way delays. */
    struct nsp_profile_way down, up;

    const struct nsp_doc_profile *doc;
    struct nsp_store store;
};

/* The names of those that come with the program: from 0 on, then NULL. */
const char *nsp_profile_name(uint32_t index);

/* Tells whether 'name' is that of a file: it has a '/' or ends in .yaml. */
bool nsp_profile_is_file(const char *name);

/* Reads the profile called 'name'. Returns NSP_OK, NSP_INVALID_PARAMETER with
 * the errors in 'complaints', or NSP_NO_MEMORY. As nsp_policy_file_load(). */
int nsp_profile_load(const char *name, const struct nsp_file_reader *reader,
                     struct nsp_profile **ret,
                     struct nsp_complaints *complaints) NSP_MUSTCHECK;

/* Frees 'profile', which may be NULL. Always returns NULL. */
struct nsp_profile *nsp_profile_destroy(struct nsp_profile *profile);

/* Prints it as a file that gives the same profile. Returns 0 or -EIO. */
int nsp_profile_print(const struct nsp_profile *profile, FILE *to);

/* Prints the keys of such files as a section of a manual page (scdoc). */
void nsp_profile_keys_print_manual(FILE *to);

#endif /* NSP_CONFIG_PROFILE_H */
