#ifndef NSP_CONFIG_PROFILES_H
#define NSP_CONFIG_PROFILES_H
#include <stdint.h>

/* The profiles that come with the program, in the order in which they are
 * listed, each as the text of a file: config/profile.h. */
struct nsp_profile_text {
    const char *name, *text;
};

extern const struct nsp_profile_text nsp_profiles[];
extern const uint32_t nsp_profile_count;

#endif /* NSP_CONFIG_PROFILES_H */
