/* Runs a fuzz target over files, without libFuzzer:
 *
 *     replay_pkt_parse FILE|DIRECTORY...
 *
 * A directory stands for the files in it. Exits 0 when every input was read and
 * survived; a target that finds fault aborts. No input at all is a failure: it
 * would test nothing. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"

#define INPUT_BYTES_MAX (1l << 20)
#define PATH_BYTES_MAX  4096

static bool
fail(const char *path, const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    return false;
}

/* Reads all of 'file' into a block of exactly its size. */
static bool
run_open_file(const char *path, FILE *file)
{
    uint8_t *data;
    long bytes;
    bool whole;

    if (fseek(file, 0, SEEK_END) != 0 || (bytes = ftell(file)) < 0 ||
        fseek(file, 0, SEEK_SET) != 0)
        return fail(path, strerror(errno));
    if (bytes > INPUT_BYTES_MAX)
        return fail(path, "larger than 1 MiB");

    data = malloc(bytes > 0 ? (size_t)bytes : 1);
    if (!data)
        return fail(path, strerror(ENOMEM));
    whole = fread(data, 1, (size_t)bytes, file) == (size_t)bytes;
    if (whole)
        LLVMFuzzerTestOneInput(data, (size_t)bytes);
    free(data);
    return whole || fail(path, "cut short while being read");
}

static bool
run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    bool ok;

    if (!file)
        return fail(path, strerror(errno));
    ok = run_open_file(path, file);
    fclose(file);
    return ok;
}

static bool
run_directory(const char *path, unsigned *count)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    bool ok = true;

    if (!directory)
        return fail(path, strerror(errno));
    while ((entry = readdir(directory)) != NULL) {
        char file[PATH_BYTES_MAX];

        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(file, sizeof file, "%s/%s", path, entry->d_name) >=
            (int)sizeof file) {
            ok = fail(path, "path too long");
            continue;
        }
        ok &= run_file(file);
        ++*count;
    }
    closedir(directory);
    return ok;
}

int
main(int argc, char **argv)
{
    unsigned count = 0;
    bool ok = true;

    for (int i = 1; i < argc; i++) {
        struct stat status;

        if (stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode)) {
            ok &= run_directory(argv[i], &count);
        } else {
            ok &= run_file(argv[i]);
            count++;
        }
    }
    printf("%u inputs replayed\n", count);
    return ok && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
