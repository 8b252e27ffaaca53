/* Prints the source of nsp-policy(5): the file named, with a list of keys for
 * its line @KEYS@. */
#include <stdio.h>
#include <string.h>

#include "config/policy_file.h"

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
        else
            fputs(line, stdout);
    }
    fclose(page);
    return ferror(stdout) ? 1 : 0;
}
