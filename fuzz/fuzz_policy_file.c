/* Policy files of any text: each is refused with places in it, or gives a
 * policy that the library takes and that prints back to itself. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "config/policy_file.h"
#include "impair/delay.h"
#include "impair/loss.h"
#include "policy/policy.h"

struct input {
    const uint8_t *data;
    size_t bytes;
};

/* Whatever is included is the same text; files of sets hold an address. */
static int
read_input(void *context, const char *path, char **ret_text, size_t *ret_bytes)
{
    static const char set[] = "10.0.0.0/8\n";
    const struct input *input = context;
    bool is_policy = strstr(path, "txt") == NULL;
    size_t bytes = is_policy ? input->bytes : sizeof set - 1;
    char *text = malloc(bytes + 1);

    if (!text)
        return 12; /* ENOMEM */
    if (bytes > 0)
        memcpy(text, is_policy ? (const void *)input->data : set, bytes);
    text[bytes] = '\0';
    *ret_text = text;
    *ret_bytes = bytes;
    return 0;
}

static void
check_complaints(const struct nsp_complaints *complaints, int result)
{
    FUZZ_CHECK((result == NSP_INVALID_PARAMETER) == (complaints->errors > 0));
    FUZZ_CHECK(complaints->count == complaints->errors + complaints->warnings);
    for (uint32_t i = 0; i < complaints->count; i++) {
        const struct nsp_complaint *c = &complaints->list[i];

        FUZZ_CHECK(c->file && c->source);
        FUZZ_CHECK(c->diag.text[0] && c->diag.category[0]);
        FUZZ_CHECK(c->diag.line == 0 || c->diag.offset + 1 == c->diag.column);
        FUZZ_CHECK(strchr(c->source, '\n') == NULL);
    }
}

static void
check_effects(const struct nsp_effects *effects)
{
    FUZZ_CHECK(nsp_loss_fault(&effects->loss) == NULL);
    FUZZ_CHECK(nsp_delay_fault(&effects->delay) == NULL);
}

static void
check_spec(const struct nsp_policy_file *file)
{
    FUZZ_CHECK(nsp_policy_check(&file->spec, NULL) == NSP_OK);
    for (uint32_t i = 0; i < file->spec.rule_count; i++) {
        check_effects(&file->spec.rules[i].effects);
        FUZZ_CHECK((file->filters[i] != NULL) ==
                   (file->spec.rules[i].match != NULL));
        FUZZ_CHECK((file->notes[i].capture_path != NULL) ==
                   file->spec.rules[i].capture);
    }
    for (uint32_t i = 0; i < file->spec.impairment_count; i++)
        check_effects(&file->spec.impairments[i].effects);
}

/* Goes through the beginning of a scenario. */
static void
check_scenario(struct nsp_policy_file *file)
{
    uint64_t now_ns = 0, next_ns = 1;

    for (int i = 0; file->has_scenario && i < 50; i++) {
        int result = nsp_policy_file_set_elapsed(file, now_ns, &next_ns);

        FUZZ_CHECK(result == NSP_OK && next_ns > 0);
        check_spec(file);
        if (next_ns == NSP_SCENARIO_NEVER)
            break;
        now_ns += next_ns;
    }
}

static char *
print(const struct nsp_policy_file *file, size_t *ret_bytes)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, ret_bytes);

    FUZZ_CHECK(to && nsp_policy_file_print(file, to) == 0);
    fclose(to);
    return text;
}

static void
check_print(const struct nsp_policy_file *file)
{
    struct nsp_complaints complaints = { .list = NULL };
    struct nsp_policy_file *again = NULL;
    size_t bytes = 0, again_bytes = 0;
    char *text = print(file, &bytes), *again_text;
    struct input input = { (const uint8_t *)text, bytes };
    const struct nsp_file_reader reader = { .read = read_input,
                                            .context = &input };
    int result = nsp_policy_file_load("p.yaml", &reader, &again, &complaints);

    FUZZ_CHECK(result == NSP_OK);
    FUZZ_CHECK(again->spec.rule_count == file->spec.rule_count);
    FUZZ_CHECK(again->hooks == file->hooks);
    again_text = print(again, &again_bytes);
    FUZZ_CHECK(strcmp(text, again_text) == 0);
    free(text);
    free(again_text);
    nsp_policy_file_destroy(again);
    nsp_complaints_fini(&complaints);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = { data, bytes };
    const struct nsp_file_reader reader = { .read = read_input,
                                            .context = &input };
    struct nsp_complaints complaints = { .list = NULL };
    struct nsp_policy_file *file = NULL;
    int result = nsp_policy_file_load("p.yaml", &reader, &file, &complaints);

    check_complaints(&complaints, result);
    FUZZ_CHECK((result == NSP_OK) == (file != NULL));
    if (file) {
        check_spec(file);
        check_scenario(file);
        check_print(file);
    }
    nsp_policy_file_destroy(file);
    nsp_complaints_fini(&complaints);
    return 0;
}
