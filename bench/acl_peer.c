#include "bench/acl_peer.h"

#include <rte_acl.h>
#include <rte_eal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FIELDS_MAX 11 /* Of IPv6: protocol, four words twice, two ports. */

RTE_ACL_RULE_DEF(full_rule, FIELDS_MAX);

struct acl_peer {
    struct rte_acl_ctx *context;
};

bool
acl_peer_start(void)
{
    char *arguments[] = { "bench",       "--no-huge",
                          "--no-pci",    "-l",
                          "0",           "-m",
                          "1024",        "--log-level",
                          "error",       "--no-telemetry",

                          "--no-shconf", "--force-max-simd-bitwidth",
                          "512" };
    static int state; /* 0 not tried, 1 started, -1 failed. */

    if (state == 0)
        state = rte_eal_init((int)(sizeof arguments / sizeof arguments[0]),
                             arguments) < 0
                    ? -1
                    : 1;
    return state > 0;
}

/* Fields as librte_acl wants them: the first of one byte, then groups of four
 * bytes. Returns how many. */
static unsigned
define_fields(bool ipv6, struct rte_acl_field_def defs[])
{
    unsigned words = ipv6 ? 4 : 1, n = 0;
    unsigned addresses = ipv6 ? 8 : 12, ports = ipv6 ? 40 : 20;

    defs[n++] = (struct rte_acl_field_def){ RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, 0,
                                            ipv6 ? 6 : 9 };
    for (unsigned i = 0; i < 2 * words; i++, n++)
        defs[n] =
            (struct rte_acl_field_def){ RTE_ACL_FIELD_TYPE_MASK, 4, (uint8_t)n,
                                        (uint8_t)n, addresses + 4 * i };
    for (unsigned i = 0; i < 2; i++, n++)
        defs[n] =
            (struct rte_acl_field_def){ RTE_ACL_FIELD_TYPE_RANGE, 2, (uint8_t)n,
                                        (uint8_t)(1 + 2 * words),
                                        ports + 2 * i };
    return n;
}

static unsigned
set_address(struct full_rule *rule, unsigned n, const uint32_t words[],
            unsigned bits, unsigned count)
{
    for (unsigned i = 0; i < count; i++, n++) {
        unsigned here = bits > 32 * i ? bits - 32 * i : 0;

        rule->field[n].value.u32 = words[i];
        rule->field[n].mask_range.u32 = here > 32 ? 32 : here;
    }
    return n;
}

static int
add(struct rte_acl_ctx *context, const struct acl_rule *from, bool ipv6,
    uint32_t index, uint32_t count)
{
    struct full_rule rule = { .data = { .category_mask = 1 } };
    unsigned n = 1, words = ipv6 ? 4 : 1;

    rule.data.priority = (int32_t)(count - index);
    rule.data.userdata = index + 1;
    rule.field[0].value.u8 = from->protocol;
    rule.field[0].mask_range.u8 = from->protocol ? 0xff : 0;
    n = set_address(&rule, n, from->src, from->src_bits, words);
    n = set_address(&rule, n, from->dst, from->dst_bits, words);
    rule.field[n].value.u16 = from->src_port[0];
    rule.field[n++].mask_range.u16 = from->src_port[1];
    rule.field[n].value.u16 = from->dst_port[0];
    rule.field[n].mask_range.u16 = from->dst_port[1];
    return rte_acl_add_rules(context, (struct rte_acl_rule *)&rule, 1);
}

static double
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static bool
fill(struct rte_acl_ctx *context, const struct acl_rule rules[], uint32_t count,
     bool ipv6, double *ret_build_ms)
{
    struct rte_acl_config config = { .num_categories = 1 };
    double since;

    config.num_fields = define_fields(ipv6, config.defs);
    for (uint32_t i = 0; i < count; i++) {
        if (add(context, &rules[i], ipv6, i, count) != 0)
            return false;
    }
    since = now_ms();
    if (rte_acl_build(context, &config) != 0)
        return false;
    *ret_build_ms = now_ms() - since;
    return true;
}

struct acl_peer *
acl_peer_create(const struct acl_rule rules[], uint32_t count, bool ipv6,
                double *ret_build_ms)
{
    static unsigned serial;
    char name[32];
    struct rte_acl_param param = {
        .name = name,
        .rule_size = RTE_ACL_RULE_SZ(ipv6 ? 11 : 5),
        .max_rule_num = count,
    };
    struct acl_peer *peer = calloc(1, sizeof *peer);

    snprintf(name, sizeof name, "bench%u", serial++);
    if (!peer)
        return NULL;
    peer->context = rte_acl_create(&param);
    if (!peer->context ||
        !fill(peer->context, rules, count, ipv6, ret_build_ms)) {
        acl_peer_destroy(peer);
        return NULL;
    }
    return peer;
}

void
acl_peer_destroy(struct acl_peer *peer)
{
    if (!peer)
        return;
    rte_acl_free(peer->context);
    free(peer);
}

bool
acl_peer_use(struct acl_peer *peer, enum acl_method method)
{
    static const enum rte_acl_classify_alg methods[] = {
        [ACL_SCALAR] = RTE_ACL_CLASSIFY_SCALAR,
        [ACL_AVX2] = RTE_ACL_CLASSIFY_AVX2,
        [ACL_AVX512] = RTE_ACL_CLASSIFY_AVX512X32,
    };

    return rte_acl_set_ctx_classify(peer->context, methods[method]) == 0;
}

void
acl_peer_classify(struct acl_peer *peer, const uint8_t *headers[], uint32_t n,
                  uint32_t ret[])
{
    rte_acl_classify(peer->context, headers, ret, n, 1);
}
