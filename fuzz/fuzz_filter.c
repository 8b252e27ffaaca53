/* The filter compiler on hostile text, and what it compiles on hostile packets.
 *
 * Input: one byte of layer and direction, up to 64 bytes of packet preceded by
 * their number, then the text. What compiles is matched singly and as a burst,
 * printed, and compiled again from its print. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "netshaper/filter.h"
#include "netshaper/filter_set.h"
#include "netshaper/packet.h"

#define PACKET_BYTES_MAX 64u
#define PREFIX_BYTES     2u

static struct nsp_filter_set *sets[3];

static const char *
get_interface(void *context, uint32_t i, uint32_t *ret_ifindex)
{
    static const char *const names[] = { "lo", "eth0", "eth1" };

    (void)context;
    *ret_ifindex = i;
    return i < sizeof names / sizeof names[0] ? names[i] : NULL;
}

static const struct nsp_filter_interfaces interfaces = { .get = get_interface };
static struct nsp_filter_options options = { .sets = sets,
                                             .interfaces = &interfaces };

/* Once: the sets live as long as the program. */
static void
read_sets(void)
{
    static const char *const texts[3][2] = {
        { "a", "192.0.2.0/24\n10.0.0.1-10.9.9.9\n2001:db8::/32\n" },
        { "p", "80\n443\n8000-8100\n" },
        { "none", "" },
    };

    for (; options.set_count < 3; options.set_count++)
        FUZZ_CHECK(nsp_filter_set_read(
                       texts[options.set_count][0], texts[options.set_count][1],
                       strlen(texts[options.set_count][1]), NULL,
                       &sets[options.set_count], NULL) == NSP_OK);
}

static void
check_diag(const struct nsp_diag *diag, const char *text)
{
    FUZZ_CHECK(diag->result == NSP_INVALID_FILTER);
    FUZZ_CHECK(diag->category[0] != '\0' && diag->text[0] != '\0');
    FUZZ_CHECK(diag->offset <= strlen(text));
    FUZZ_CHECK(diag->line >= 1 && diag->column >= 1);
    for (const char *c = diag->text; *c != '\0'; c++)
        FUZZ_CHECK(*c >= ' ' && *c < 0x7f);
}

/* Matches 'pkt', and lets the promises of nsp_filter_get_needs() be checked. */
static bool
check_match(const struct nsp_filter *filter, struct nsp_pkt *pkt)
{
    struct nsp_pkt *const burst[] = { pkt, pkt, pkt };
    struct nsp_filter_needs needs;
    bool matched = nsp_filter_match(filter, pkt, NULL);

    FUZZ_CHECK(nsp_filter_match_burst(filter, burst, 3, NULL) ==
               (matched ? 7 : 0));
    nsp_filter_get_needs(filter, &needs);
    if (matched) {
        FUZZ_CHECK(!needs.never);
        FUZZ_CHECK(needs.inbound || pkt->direction != NSP_INBOUND);
        FUZZ_CHECK(needs.outbound || pkt->direction != NSP_OUTBOUND);
        FUZZ_CHECK(needs.ipv4 || pkt->l3 != NSP_L3_IPV4);
        FUZZ_CHECK(needs.ipv6 || pkt->l3 != NSP_L3_IPV6);
    }
    return matched;
}

static void
check_format(const char *text, enum nsp_layer layer, struct nsp_pkt *pkt,
             bool matched)
{
    struct nsp_filter *filter;
    struct nsp_diag diag;
    char *printed, *again, *explained;
    int r = nsp_filter_format(text, layer, &options, NULL, &printed, &diag);

    if (r == NSP_INVALID_FILTER && strcmp(diag.category, "too-long") == 0)
        return;
    FUZZ_CHECK(r == NSP_OK);
    FUZZ_CHECK(nsp_filter_compile_with(printed, layer, &options, NULL, &filter,
                                       &diag) == NSP_OK);
    FUZZ_CHECK(check_match(filter, pkt) == matched);
    FUZZ_CHECK(nsp_filter_format(printed, layer, &options, NULL, &again,
                                 NULL) == NSP_OK);
    FUZZ_CHECK(strcmp(printed, again) == 0);
    FUZZ_CHECK(nsp_filter_explain(text, layer, &options, NULL, &explained,
                                  NULL) == NSP_OK);
    free(explained);
    nsp_filter_destroy(filter);
    free(printed);
    free(again);
}

/* An object is written again as one that matches the same. */
static void
check_object(const char *object, enum nsp_layer layer, struct nsp_pkt *pkt,
             bool matched)
{
    struct nsp_filter *filter;
    char *again;

    FUZZ_CHECK(nsp_filter_object(object, layer, NULL, NULL, &again, NULL) ==
               NSP_OK);
    if (strlen(again) > 200000) {
        free(again);
        return;
    }
    FUZZ_CHECK(nsp_filter_compile(again, layer, NULL, &filter, NULL) == NSP_OK);
    FUZZ_CHECK(check_match(filter, pkt) == matched);
    nsp_filter_destroy(filter);
    free(again);
}

static void
check_text(const char *text, enum nsp_layer layer, struct nsp_pkt *pkt)
{
    struct nsp_filter *filter;
    struct nsp_diag diag;

    if (nsp_filter_compile_with(text, layer, &options, NULL, &filter, &diag) !=
        NSP_OK) {
        check_diag(&diag, text);
        return;
    }
    if (strncmp(text, "@WinDiv_", 8) == 0)
        check_object(text, layer, pkt, check_match(filter, pkt));
    else
        check_format(text, layer, pkt, check_match(filter, pkt));
    nsp_filter_destroy(filter);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct nsp_pkt pkt = { 0 };
    size_t text_bytes;
    char *text;

    read_sets();
    if (bytes < PREFIX_BYTES)
        return 0;
    pkt.cap_bytes = data[1] % (PACKET_BYTES_MAX + 1);
    if (bytes - PREFIX_BYTES < pkt.cap_bytes)
        return 0;
    pkt.wire_bytes = pkt.cap_bytes + data[0] / 32;
    pkt.direction = data[0] / 8 % 3;
    text_bytes = bytes - PREFIX_BYTES - pkt.cap_bytes;

    pkt.data = malloc(pkt.cap_bytes + 1);
    text = malloc(text_bytes + 1);
    FUZZ_CHECK(pkt.data != NULL && text != NULL);
    memcpy(pkt.data, data + PREFIX_BYTES, pkt.cap_bytes);
    memcpy(text, data + PREFIX_BYTES + pkt.cap_bytes, text_bytes);
    text[text_bytes] = '\0';

    nsp_pkt_parse(&pkt);
    check_text(text, (enum nsp_layer)(data[0] % 8 % NSP_LAYER_COUNT), &pkt);
    free(pkt.data);
    free(text);
    return 0;
}
