/* The reader of named sets on hostile text, and the sets it makes on hostile
 * addresses: the text's own bytes, asked for singly and as a burst. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "filter/set_file.h"

static void
check_diag(const struct nsp_diag *diag, size_t bytes)
{
    FUZZ_CHECK(diag->result == NSP_INVALID_FILTER);
    FUZZ_CHECK(diag->category[0] != '\0' && diag->text[0] != '\0');
    FUZZ_CHECK(diag->offset <= bytes);
    FUZZ_CHECK(diag->line >= 1 && diag->column >= 1);
    FUZZ_CHECK(diag->column <= bytes + 1);
    for (const char *c = diag->text; *c != '\0'; c++)
        FUZZ_CHECK(*c >= ' ' && *c < 0x7f);
}

static void
check_lookups(const struct nsp_prefix_set *set, const uint8_t *data,
              size_t bytes)
{
    uint32_t ipv4[64];
    const uint8_t *ipv6[64];
    uint64_t has_ipv4 = 0, has_ipv6 = 0;
    uint32_t count = 0;

    for (; count < 64 && count + 16 <= bytes; count++) {
        ipv6[count] = data + count;
        ipv4[count] = nsp_load_be32(data + count);
        has_ipv4 |= (uint64_t)nsp_prefix_set_has_ipv4(set, ipv4[count])
                    << count;
        has_ipv6 |= (uint64_t)nsp_prefix_set_has_ipv6(set, ipv6[count])
                    << count;
    }
    FUZZ_CHECK(nsp_prefix_set_has_ipv4_burst(set, ipv4, count) == has_ipv4);
    FUZZ_CHECK(nsp_prefix_set_has_ipv6_burst(set, ipv6, count) == has_ipv6);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct nsp_named_set *set = NULL;
    struct nsp_diag diag;
    int result =
        nsp_set_file_read((const char *)data, bytes, NULL, &set, &diag);

    if (result != NSP_OK) {
        FUZZ_CHECK(set == NULL);
        check_diag(&diag, bytes);
        return 0;
    }
    FUZZ_CHECK((set->kind == NSP_SET_PORTS) == (set->addresses == NULL));
    if (set->addresses)
        check_lookups(set->addresses, data, bytes);
    nsp_named_set_destroy(set);
    return 0;
}
