#define _GNU_SOURCE
#include "io/nfqueue/nfqueue_rules.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/membarrier.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <linux/netfilter/xt_bpf.h>
#include <linux/netfilter_ipv4.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netshaper/packet.h"

/* Linux 6.9; older headers lack it. */
#define TABLE_F_PERSIST 0x4u

#define CHAIN_PRIORITY (NF_IP_PRI_FILTER + 40)

/* xtables pads the data of a target to 8 bytes (XT_ALIGN). */
#define TARGET_INFO_BYTES 8u
_Static_assert(sizeof(struct xt_NFQ_info_v3) <= TARGET_INFO_BYTES,
               "the target's data fits its padded size");

#define NFT(message) ((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | (message)))

static const struct hook_chain {
    uint32_t hook; /* enum nsp_hook. */
    uint32_t number;
    const char *name;
} chains[] = {
    { NSP_HOOK_INPUT, NF_INET_LOCAL_IN, "input" },
    { NSP_HOOK_FORWARD, NF_INET_FORWARD, "forward" },
    { NSP_HOOK_OUTPUT, NF_INET_LOCAL_OUT, "output" },
};

/* --- Expressions ----------------------------------------------------------
 * Each is an element of a rule's list; a comparison that fails ends the rule.
 */

struct expression {
    struct nlattr *element, *data;
};

static struct expression
begin_expression(struct nlmsghdr *message, const char *name)
{
    struct expression expression;

    expression.element = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
    mnl_attr_put_strz(message, NFTA_EXPR_NAME, name);
    expression.data = mnl_attr_nest_start(message, NFTA_EXPR_DATA);
    return expression;
}

static void
end_expression(struct nlmsghdr *message, struct expression expression)
{
    mnl_attr_nest_end(message, expression.data);
    mnl_attr_nest_end(message, expression.element);
}

static void
put_be32(struct nlmsghdr *message, uint16_t type, uint32_t value)
{
    mnl_attr_put_u32(message, type, htonl(value));
}

/* A constant of the host's byte order, as nf_tables keeps them in registers. */
static void
put_constant(struct nlmsghdr *message, uint16_t type, uint32_t value)
{
    struct nlattr *nest = mnl_attr_nest_start(message, type);

    mnl_attr_put_u32(message, NFTA_DATA_VALUE, value);
    mnl_attr_nest_end(message, nest);
}

static void
put_load_meta(struct nlmsghdr *message, uint32_t key)
{
    struct expression meta = begin_expression(message, "meta");

    put_be32(message, NFTA_META_KEY, key);
    put_be32(message, NFTA_META_DREG, NFT_REG_1);
    end_expression(message, meta);
}

static void
put_mask(struct nlmsghdr *message, uint32_t mask)
{
    struct expression bitwise = begin_expression(message, "bitwise");

    put_be32(message, NFTA_BITWISE_SREG, NFT_REG_1);
    put_be32(message, NFTA_BITWISE_DREG, NFT_REG_1);
    put_be32(message, NFTA_BITWISE_LEN, sizeof mask);
    put_constant(message, NFTA_BITWISE_MASK, mask);
    put_constant(message, NFTA_BITWISE_XOR, 0);
    end_expression(message, bitwise);
}

/* Of 'bytes', as in a register that was loaded with as many. */
static void
put_equals_bytes(struct nlmsghdr *message, const void *value, uint16_t bytes)
{
    struct expression cmp = begin_expression(message, "cmp");
    struct nlattr *data;

    put_be32(message, NFTA_CMP_SREG, NFT_REG_1);
    put_be32(message, NFTA_CMP_OP, NFT_CMP_EQ);
    data = mnl_attr_nest_start(message, NFTA_CMP_DATA);
    mnl_attr_put(message, NFTA_DATA_VALUE, bytes, value);
    mnl_attr_nest_end(message, data);
    end_expression(message, cmp);
}

static void
put_equals(struct nlmsghdr *message, uint32_t value)
{
    put_equals_bytes(message, &value, sizeof value);
}

static void
put_verdict(struct nlmsghdr *message, uint32_t code)
{
    struct expression immediate = begin_expression(message, "immediate");
    struct nlattr *data, *verdict;

    put_be32(message, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    data = mnl_attr_nest_start(message, NFTA_IMMEDIATE_DATA);
    verdict = mnl_attr_nest_start(message, NFTA_DATA_VERDICT);
    put_be32(message, NFTA_VERDICT_CODE, code);
    mnl_attr_nest_end(message, verdict);
    mnl_attr_nest_end(message, data);
    end_expression(message, immediate);
}

static void
put_match(struct nlmsghdr *message, const struct xt_bpf_info_v1 *info)
{
    struct expression match = begin_expression(message, "match");

    mnl_attr_put_strz(message, NFTA_MATCH_NAME, "bpf");
    put_be32(message, NFTA_MATCH_REV, 1);
    mnl_attr_put(message, NFTA_MATCH_INFO, sizeof *info, info);
    end_expression(message, match);
}

static void
put_alive(struct nlmsghdr *message, int program_fd)
{
    const struct xt_bpf_info_v1 info = { .mode = XT_BPF_MODE_FD_ELF,
                                         .fd = program_fd };

    put_match(message, &info);
}

static_assert(sizeof(struct nsp_cbpf_insn) == sizeof(struct sock_filter) &&
                  NSP_CBPF_XT_INSNS_MAX == XT_BPF_MAX_NUM_INSTR,
              "programs are as the match has them");

static void
put_prefilter(struct nlmsghdr *message, const struct nsp_nfq_rules *rules,
              uint32_t hook)
{
    const struct nsp_nfq_prefilters *prefilters = rules->prefilters;
    struct xt_bpf_info_v1 info = { .mode = XT_BPF_MODE_BYTECODE, .fd = -1 };
    const struct nsp_nfq_prefilter *prefilter;

    if (!prefilters)
        return;
    prefilter = hook == NSP_HOOK_INPUT    ? &prefilters->input
                : hook == NSP_HOOK_OUTPUT ? &prefilters->output
                                          : &prefilters->forward;
    if (prefilter->count == 0)
        return;
    info.bpf_program_num_elem = (uint16_t)prefilter->count;
    memcpy(info.bpf_program, prefilter->insns,
           prefilter->count * sizeof prefilter->insns[0]);
    put_match(message, &info);
}

static void
put_queue_native(struct nlmsghdr *message, const struct nsp_nfq_rules *rules)
{
    struct expression queue = begin_expression(message, "queue");

    mnl_attr_put_u16(message, NFTA_QUEUE_NUM, htons(rules->first_queue));
    mnl_attr_put_u16(message, NFTA_QUEUE_TOTAL, htons(rules->queues));
    mnl_attr_put_u16(message, NFTA_QUEUE_FLAGS,
                     htons(rules->fail_closed ? 0 : NFT_QUEUE_FLAG_BYPASS));
    end_expression(message, queue);
}

static void
put_queue_compat(struct nlmsghdr *message, const struct nsp_nfq_rules *rules)
{
    struct xt_NFQ_info_v3 info = {
        .queuenum = rules->first_queue,
        .queues_total = rules->queues,
        .flags = rules->fail_closed ? 0 : NFQ_FLAG_BYPASS,
    };
    uint8_t padded[TARGET_INFO_BYTES] = { 0 };
    struct expression target = begin_expression(message, "target");

    memcpy(padded, &info, sizeof info);
    mnl_attr_put_strz(message, NFTA_TARGET_NAME, "NFQUEUE");
    put_be32(message, NFTA_TARGET_REV, 3);
    mnl_attr_put(message, NFTA_TARGET_INFO, sizeof padded, padded);
    end_expression(message, target);
}

/* --- Table, chains and rules ---------------------------------------------- */

static void
put_batch_mark(struct nsp_nl_batch *batch, uint16_t type)
{
    nsp_nl_end(batch,
               nsp_nl_begin(batch, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

void
nsp_nfq_put_batch_begin(struct nsp_nl_batch *batch)
{
    put_batch_mark(batch, NFNL_MSG_BATCH_BEGIN);
}

void
nsp_nfq_put_batch_end(struct nsp_nl_batch *batch)
{
    put_batch_mark(batch, NFNL_MSG_BATCH_END);
}

static void
put_table(struct nsp_nl_batch *batch, const char *name, uint32_t flags)
{
    struct nlmsghdr *message =
        nsp_nl_begin(batch, NFT(NFT_MSG_NEWTABLE),
                     NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, NFPROTO_INET, 0);

    mnl_attr_put_strz(message, NFTA_TABLE_NAME, name);
    put_be32(message, NFTA_TABLE_FLAGS, flags);
    nsp_nl_end(batch, message);
}

static void
put_delete_table(struct nsp_nl_batch *batch, const char *name)
{
    struct nlmsghdr *message =
        nsp_nl_begin(batch, NFT(NFT_MSG_DELTABLE), NLM_F_ACK, NFPROTO_INET, 0);

    mnl_attr_put_strz(message, NFTA_TABLE_NAME, name);
    nsp_nl_end(batch, message);
}

static void
put_chain(struct nsp_nl_batch *batch, const char *table,
          const struct hook_chain *chain)
{
    struct nlmsghdr *message =
        nsp_nl_begin(batch, NFT(NFT_MSG_NEWCHAIN),
                     NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, NFPROTO_INET, 0);
    struct nlattr *hook;

    mnl_attr_put_strz(message, NFTA_CHAIN_TABLE, table);
    mnl_attr_put_strz(message, NFTA_CHAIN_NAME, chain->name);
    hook = mnl_attr_nest_start(message, NFTA_CHAIN_HOOK);
    put_be32(message, NFTA_HOOK_HOOKNUM, chain->number);
    put_be32(message, NFTA_HOOK_PRIORITY, CHAIN_PRIORITY);
    mnl_attr_nest_end(message, hook);
    mnl_attr_put_strz(message, NFTA_CHAIN_TYPE, "filter");
    nsp_nl_end(batch, message);
}

struct open_rule {
    struct nlmsghdr *message;
    struct nlattr *expressions;
};

static struct open_rule
begin_rule(struct nsp_nl_batch *batch, const char *table, const char *chain)
{
    struct open_rule rule;

    rule.message =
        nsp_nl_begin(batch, NFT(NFT_MSG_NEWRULE),
                     NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, NFPROTO_INET, 0);
    mnl_attr_put_strz(rule.message, NFTA_RULE_TABLE, table);
    mnl_attr_put_strz(rule.message, NFTA_RULE_CHAIN, chain);
    rule.expressions = mnl_attr_nest_start(rule.message, NFTA_RULE_EXPRESSIONS);
    return rule;
}

static void
end_rule(struct nsp_nl_batch *batch, struct open_rule rule)
{
    mnl_attr_nest_end(rule.message, rule.expressions);
    nsp_nl_end(batch, rule.message);
}

/* Passes what leaves by an interface of 'type' (ARPHRD_*). */
static void
put_skip_output(struct nsp_nl_batch *batch, const char *table,
                const struct hook_chain *chain, uint16_t type)
{
    struct open_rule rule = begin_rule(batch, table, chain->name);

    put_load_meta(rule.message, NFT_META_OIFTYPE);
    put_equals_bytes(rule.message, &type, sizeof type);
    put_verdict(rule.message, NF_ACCEPT);
    end_rule(batch, rule);
}

static void
put_chain_rules(struct nsp_nl_batch *batch, const char *table,
                const struct hook_chain *chain,
                const struct nsp_nfq_rules *rules, enum nsp_nfq_divert divert)
{
    struct open_rule rule = begin_rule(batch, table, chain->name);

    put_load_meta(rule.message, NFT_META_MARK);
    put_mask(rule.message, NSP_LOOP_MARK);
    put_equals(rule.message, NSP_LOOP_MARK);
    put_verdict(rule.message, NF_ACCEPT);
    end_rule(batch, rule);

    if (chain->hook == NSP_HOOK_INPUT && rules->skip_input_ifindex != 0) {
        rule = begin_rule(batch, table, chain->name);
        put_load_meta(rule.message, NFT_META_IIF);
        put_equals(rule.message, rules->skip_input_ifindex);
        put_verdict(rule.message, NF_ACCEPT);
        end_rule(batch, rule);
    }
    if (chain->hook == NSP_HOOK_OUTPUT && rules->skip_ethernet_output) {
        put_skip_output(batch, table, chain, ARPHRD_ETHER);
        put_skip_output(batch, table, chain, ARPHRD_LOOPBACK);
    }

    rule = begin_rule(batch, table, chain->name);
    put_prefilter(rule.message, rules, chain->hook);
    if (rules->alive_fd)
        put_alive(rule.message, *rules->alive_fd);
    if (divert == NSP_NFQ_DIVERT_NATIVE)
        put_queue_native(rule.message, rules);
    else
        put_queue_compat(rule.message, rules);
    end_rule(batch, rule);

    if (rules->alive_fd && rules->fail_closed) {
        rule = begin_rule(batch, table, chain->name);
        put_prefilter(rule.message, rules, chain->hook);
        put_verdict(rule.message, NF_DROP);
        end_rule(batch, rule);
    }
}

static enum nsp_nfq_refused
refused_part(const struct nsp_nl_answer *answer)
{
    switch (answer->refused_type) {
    case NFT(NFT_MSG_NEWTABLE):
        return NSP_NFQ_REFUSED_TABLE;
    case NFT(NFT_MSG_NEWCHAIN):
        return NSP_NFQ_REFUSED_CHAIN;
    case NFT(NFT_MSG_NEWRULE):
        return NSP_NFQ_REFUSED_RULE;
    default:
        return NSP_NFQ_REFUSED_SUBSYSTEM;
    }
}

struct how {
    uint32_t table_flags;
    enum nsp_nfq_divert divert;
    bool replace; /* A table of that name. */
    bool commit;
};

/* nf_tables takes a batch whole. One without its end is checked in full and
 * then undone: that is how "nft --check" asks. */
static int
request_rules(struct nsp_nl *nl, const char *name,
              const struct nsp_nfq_rules *rules, const struct how *how,
              enum nsp_nfq_refused *reterr_refused)
{
    struct nsp_nl_answer answer = { 0 };
    struct nsp_nl_batch batch;
    int err;

    nsp_nl_batch_init(&batch, nl);
    nsp_nfq_put_batch_begin(&batch);
    if (how->replace)
        put_delete_table(&batch, name);
    put_table(&batch, name, how->table_flags);
    for (size_t i = 0; i < NSP_ARRAY_LEN(chains); i++) {
        if (!(rules->hooks & chains[i].hook))
            continue;
        put_chain(&batch, name, &chains[i]);
        put_chain_rules(&batch, name, &chains[i], rules, how->divert);
    }
    if (how->commit)
        nsp_nfq_put_batch_end(&batch);

    err = nsp_nl_request(&batch, &answer);
    if (err < 0)
        *reterr_refused = refused_part(&answer);
    return err;
}

/* Whether there is another way to ask for what the kernel refused. */
static bool
ask_otherwise(struct how *how, int err, enum nsp_nfq_refused refused)
{
    if (refused == NSP_NFQ_REFUSED_TABLE && err == -EEXIST && !how->replace) {
        /* Its process had the number of ours, and queues that now are. */
        how->replace = true;
        return true;
    }
    if (refused == NSP_NFQ_REFUSED_TABLE &&
        (err == -EOPNOTSUPP || err == -EINVAL) &&
        how->table_flags & TABLE_F_PERSIST) {
        /* Before that flag, tables without an owner were those that stay. */
        how->table_flags = 0;
        return true;
    }
    if (refused == NSP_NFQ_REFUSED_RULE && err == -ENOENT &&
        how->divert == NSP_NFQ_DIVERT_NATIVE) {
        how->divert = NSP_NFQ_DIVERT_COMPAT;
        return true;
    }
    return false;
}

int
nsp_nfq_rules_install(struct nsp_nl *nl, const char *name,
                      const struct nsp_nfq_rules *rules,
                      enum nsp_nfq_refused *reterr_refused)
{
    struct how how = {
        .table_flags =
            NSP_NFQ_TABLE_OWNED | (rules->fail_closed ? TABLE_F_PERSIST : 0),
        .divert = NSP_NFQ_DIVERT_NATIVE,
        .commit = true,
    };
    int err;

    do
        err = request_rules(nl, name, rules, &how, reterr_refused);
    while (err < 0 && ask_otherwise(&how, err, *reterr_refused));
    return err;
}

int
nsp_nfq_rules_check(struct nsp_nl *nl, const char *name,
                    const struct nsp_nfq_rules *rules,
                    enum nsp_nfq_divert divert,
                    enum nsp_nfq_refused *reterr_refused)
{
    const struct how how = { .table_flags = NSP_NFQ_TABLE_OWNED,
                             .divert = divert };

    return request_rules(nl, name, rules, &how, reterr_refused);
}

/* --- Removal -------------------------------------------------------------- */

/* A packet may be on its way through the rules just removed, and be queued
 * after that. Netfilter runs under RCU, and this is how a process waits until
 * every reader is done: some 10 ms. Where the call is missing or forbidden a
 * packet can be lost at close, as happened once or more in 2000 closings under
 * load. */
static void
wait_for_readers(void)
{
    (void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

int
nsp_nfq_rules_flush(struct nsp_nl *nl, const char *name)
{
    struct nsp_nl_batch batch;
    struct nlmsghdr *message;
    int err;

    nsp_nl_batch_init(&batch, nl);
    nsp_nfq_put_batch_begin(&batch);
    message =
        nsp_nl_begin(&batch, NFT(NFT_MSG_DELRULE), NLM_F_ACK, NFPROTO_INET, 0);
    mnl_attr_put_strz(message, NFTA_RULE_TABLE, name);
    nsp_nl_end(&batch, message);
    nsp_nfq_put_batch_end(&batch);
    err = nsp_nl_request(&batch, NULL);
    if (err == 0)
        wait_for_readers();
    return err;
}

int
nsp_nfq_rules_remove(struct nsp_nl *nl, const char *name)
{
    struct nsp_nl_batch batch;

    nsp_nl_batch_init(&batch, nl);
    nsp_nfq_put_batch_begin(&batch);
    put_delete_table(&batch, name);
    nsp_nfq_put_batch_end(&batch);
    return nsp_nl_request(&batch, NULL);
}
