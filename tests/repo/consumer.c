/* A program outside the tree: what a user of the installed library compiles,
 * as C and as C++. */
#include <netshaper/engine.h>
#include <netshaper/filter.h>
#include <netshaper/version.h>

#include <stdio.h>
#include <string.h>

int
main(void)
{
    if (strcmp(nsp_version(), NSP_VERSION_TEXT) != 0 ||
        nsp_engine_destroy(NULL) != NULL)
        return 1;
    printf("netshaper %s, %s\n", nsp_version(), nsp_result_name(NSP_OK));
    return 0;
}
