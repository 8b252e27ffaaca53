/* Prints the source of a manual page: the file named, with a list of the keys
 * of policy files for its line @KEYS@, one of those of profiles for
 * @PROFILE_KEYS@, and the profiles that there are for @PROFILES@. */
#include <stdio.h>
#include <string.h>

#include "config/policy_file.h"
#include "config/profile.h"

/* A paragraph for each. */
static void
print_profiles(void)
{
    const char *name;

    for (uint32_t i = 0; (name = nsp_profile_name(i)) != NULL; i++) {
        struct nsp_complaints complaints = { .list = NULL };
        struct nsp_profile *profile = NULL;

        if (nsp_profile_load(name, NULL, &profile, &complaints) == NSP_OK)
            printf("*%s*\n\t%s. Source: %s%s%s%s.\n\n", name,
                   profile->description, profile->source,
                   profile->note ? "; " : "",
                   profile->note ? profile->note : "",
                   profile->verified ? "" : ". Not verified");
        nsp_profile_destroy(profile);
        nsp_complaints_fini(&complaints);
    }
}

int
main(int argc, char *argv[])
{
    FILE *page = argc == 2 ? fopen(argv[1], "r") : NULL;
    char line[1024];

    if (!page) {
        fprintf(stderr, "usage: policy_keys PAGE\n");
        return 2;
    }
    while (fgets(line, sizeof line, page)) {
        if (strcmp(line, "@KEYS@\n") == 0)
            nsp_policy_keys_print_manual(stdout);
        else if (strcmp(line, "@PROFILE_KEYS@\n") == 0)
            nsp_profile_keys_print_manual(stdout);
        else if (strcmp(line, "@PROFILES@\n") == 0)
            print_profiles();
        else
            fputs(line, stdout);
    }
    fclose(page);
    return ferror(stdout) ? 1 : 0;
}
