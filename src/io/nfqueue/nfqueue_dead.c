#define _GNU_SOURCE
#include "io/nfqueue/nfqueue_dead.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdlib.h>
#include <string.h>

#include "io/nfqueue/nfqueue_queue.h"

#define NFT(message) ((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | (message)))

struct search {
    const char *own_table;
    struct nsp_nfq_dead *found;
    uint32_t count, max;
};

/* The number at '*text', after which 'end' comes; -1 where there is none. */
static long
take_number(const char **text, char end)
{
    char *rest;
    long number;

    if (**text < '0' || **text > '9')
        return -1;
    errno = 0;
    number = strtol(*text, &rest, 10);
    if (errno != 0 || *rest != end)
        return -1;
    *text = rest + (end != '\0');
    return number;
}

/* The first queue in a table's name: NSP_NFQ_TABLE_PREFIX PID "-" QUEUE; -1
 * where no engine has named it. */
static long
queue_of(const char *table)
{
    const size_t prefix = strlen(NSP_NFQ_TABLE_PREFIX);
    const char *rest = table + prefix;
    long queue;

    if (strlen(table) >= NSP_NFQ_TABLE_BYTES ||
        strncmp(table, NSP_NFQ_TABLE_PREFIX, prefix) != 0 ||
        take_number(&rest, '-') < 0)
        return -1;
    queue = take_number(&rest, '\0');
    return queue > UINT16_MAX ? -1 : queue;
}

static int
note_attribute(const struct nlattr *attribute, void *context)
{
    const struct nlattr **attributes = context;

    if (mnl_attr_type_valid(attribute, NFTA_TABLE_MAX) > 0)
        attributes[mnl_attr_get_type(attribute)] = attribute;
    return MNL_CB_OK;
}

/* Notes a table of ours without an owner. */
static void
note_table(void *context, const struct nlmsghdr *message)
{
    const struct nlattr *attributes[NFTA_TABLE_MAX + 1] = { NULL };
    struct search *search = context;
    struct nsp_nfq_dead *dead = &search->found[search->count];
    const char *name;
    long queue;

    if (search->count == search->max ||
        mnl_attr_parse(message, sizeof(struct nfgenmsg), note_attribute,
                       attributes) < 0 ||
        !attributes[NFTA_TABLE_NAME] || !attributes[NFTA_TABLE_HANDLE] ||
        !attributes[NFTA_TABLE_FLAGS] ||
        ntohl(mnl_attr_get_u32(attributes[NFTA_TABLE_FLAGS])) &
            NSP_NFQ_TABLE_OWNED)
        return;
    name = mnl_attr_get_str(attributes[NFTA_TABLE_NAME]);
    queue = queue_of(name);
    if (queue < 0 ||
        (search->own_table && strcmp(name, search->own_table) == 0))
        return;
    strcpy(dead->table, name);
    dead->handle = mnl_attr_get_u64(attributes[NFTA_TABLE_HANDLE]);
    dead->first_queue = (uint16_t)queue;
    search->count++;
}

/* Letting go of a queue that is not ours changes nothing: the kernel tells one
 * that somebody else has from one that nobody has. */
static bool
has_listener(struct nsp_nl *nl, uint16_t queue)
{
    return nsp_nfq_request_command(nl, queue, NFQNL_CFG_CMD_UNBIND) != -ENODEV;
}

int
nsp_nfq_dead_find(struct nsp_nl *nl, const char *own_table, uint16_t own_first,
                  uint32_t own_count, struct nsp_nfq_dead ret[], uint32_t max)
{
    struct search search = { .own_table = own_table, .found = ret, .max = max };
    struct nsp_nl_batch batch;
    uint32_t dead = 0;
    int err;

    /* Tables first, then queues: one made in between has its queues already. */
    nsp_nl_batch_init(&batch, nl);
    nsp_nl_end(&batch, nsp_nl_begin(&batch, NFT(NFT_MSG_GETTABLE), NLM_F_DUMP,
                                    NFPROTO_INET, 0));
    err = nsp_nl_dump(&batch, note_table, &search);
    if (err < 0)
        return err;
    for (uint32_t i = 0; i < search.count; i++) {
        bool own = (uint32_t)(ret[i].first_queue - own_first) < own_count;

        if (own || !has_listener(nl, ret[i].first_queue))
            ret[dead++] = ret[i];
    }
    return (int)dead;
}

int
nsp_nfq_dead_remove(struct nsp_nl *nl, const struct nsp_nfq_dead *dead)
{
    struct nsp_nl_batch batch;
    struct nlmsghdr *message;

    nsp_nl_batch_init(&batch, nl);
    nsp_nfq_put_batch_begin(&batch);
    message =
        nsp_nl_begin(&batch, NFT(NFT_MSG_DELTABLE), NLM_F_ACK, NFPROTO_INET, 0);
    mnl_attr_put_u64(message, NFTA_TABLE_HANDLE, dead->handle);
    nsp_nl_end(&batch, message);
    nsp_nfq_put_batch_end(&batch);
    return nsp_nl_request(&batch, NULL);
}
