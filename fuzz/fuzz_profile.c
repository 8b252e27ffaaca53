/* Profiles of links of any text: each is refused with places in it, or gives
 * links and effects that the library takes, and prints back to itself. */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "config/profile.h"
#include "impair/delay.h"
#include "impair/loss.h"

struct input {
    const char *text;
    size_t bytes;
};

/* What a profile names itself holds what distributions, delays and patterns may
 * all have. */
static int
read_input(void *context, const char *path, char **ret_text, size_t *ret_bytes)
{
    static const char numbers[] = "0\n0\n";
    const struct input *input = context;
    bool is_profile = strcmp(path, "p.yaml") == 0;
    size_t bytes = is_profile ? input->bytes : sizeof numbers - 1;
    char *text = malloc(bytes + 1);

    if (!text)
        return 12; /* ENOMEM */
    if (bytes > 0)
        memcpy(text, is_profile ? input->text : numbers, bytes);
    text[bytes] = '\0';
    *ret_text = text;
    *ret_bytes = bytes;
    return 0;
}

static struct nsp_profile *
load(const struct input *input)
{
    const struct nsp_file_reader reader = { .read = read_input,
                                            .context =
                                                (void *)(uintptr_t)input };
    struct nsp_complaints complaints = { .list = NULL };
    struct nsp_profile *profile = NULL;
    int result = nsp_profile_load("p.yaml", &reader, &profile, &complaints);

    FUZZ_CHECK((result == NSP_OK) == (profile != NULL));
    FUZZ_CHECK((result == NSP_INVALID_PARAMETER) == (complaints.errors > 0));
    for (uint32_t i = 0; i < complaints.count; i++) {
        const struct nsp_complaint *c = &complaints.list[i];

        FUZZ_CHECK(c->diag.text[0] && c->diag.category[0]);
        FUZZ_CHECK(c->diag.line == 0 || c->diag.offset + 1 == c->diag.column);
    }
    nsp_complaints_fini(&complaints);
    return profile;
}

static void
check_way(const struct nsp_profile_way *way)
{
    FUZZ_CHECK(nsp_loss_fault(&way->effects.loss) == NULL);
    FUZZ_CHECK(nsp_delay_fault(&way->effects.delay) == NULL);
    FUZZ_CHECK(way->link.rate_bitps <= NSP_RATE_BITPS_MAX);
    FUZZ_CHECK(way->link.rate_bitps != 0 || way->link.queue_limit == 0);
}

static char *
print(const struct nsp_profile *profile, size_t *ret_bytes)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, ret_bytes);

    FUZZ_CHECK(to && nsp_profile_print(profile, to) == 0);
    fclose(to);
    return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = { (const char *)data, bytes };
    struct nsp_profile *profile = load(&input), *again;
    char *text, *again_text;

    if (!profile)
        return 0;
    check_way(&profile->down);
    check_way(&profile->up);
    text = print(profile, &input.bytes);
    input.text = text;
    /* One that says nothing is printed as nothing. */
    again = input.bytes > 0 ? load(&input) : NULL;
    FUZZ_CHECK(again || input.bytes == 0);
    if (again) {
        again_text = print(again, &bytes);
        FUZZ_CHECK(strcmp(text, again_text) == 0);
        free(again_text);
    }
    free(text);
    nsp_profile_destroy(profile);
    nsp_profile_destroy(again);
    return 0;
}
