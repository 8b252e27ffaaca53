#define _GNU_SOURCE
#include "os/linux/tc_hook.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/linux/bpf_call.h"
#include "os/linux/route_netlink.h"
#include "os/linux/tap_link.h"

/* The place of our filter among those of clsact: behind the low numbers that
 * people and other programs choose. */
#define FILTER_PRIORITY 20051u
#define FILTER_HANDLE   1u

/* What a filter is called. Behind it is the number of its owner, or of the
 * interface to which it sends. */
#define FILTER_NAME       "netshaper"
#define OWNER_MARK        " "
#define PEER_MARK         " to "
#define FILTER_NAME_BYTES (sizeof FILTER_NAME PEER_MARK "4294967295")

#define REQUEST_BYTES 512u

struct request {
    _Alignas(struct nlmsghdr) uint8_t bytes[REQUEST_BYTES];
};

static struct nlmsghdr *
begin(struct request *request, uint16_t type, uint16_t flags,
      const struct nsp_tc_hook *hook, struct tcmsg **ret)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(request->bytes);

    message->nlmsg_type = type;
    message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    *ret = mnl_nlmsg_put_extra_header(message, sizeof **ret);
    (*ret)->tcm_family = AF_UNSPEC;
    (*ret)->tcm_ifindex = (int)hook->ifindex;
    return message;
}

static uint32_t
parent_of(bool ingress)
{
    return TC_H_MAKE(TC_H_CLSACT, ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

static int
ask_qdisc(const struct nsp_tc_hook *hook, uint16_t type, uint16_t flags)
{
    struct request request;
    struct tcmsg *tc;
    struct nlmsghdr *message = begin(&request, type, flags, hook, &tc);

    tc->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
    tc->tcm_parent = TC_H_CLSACT;
    mnl_attr_put_strz(message, TCA_KIND, "clsact");
    return nsp_rtnetlink_ask(message, NULL, NULL);
}

static void
name_filter(const struct nsp_tc_hook *hook, char ret[FILTER_NAME_BYTES])
{
    if (hook->peer_ifindex != 0)
        snprintf(ret, FILTER_NAME_BYTES, FILTER_NAME PEER_MARK "%u",
                 hook->peer_ifindex);
    else if (hook->owner == NSP_TC_NO_OWNER)
        snprintf(ret, FILTER_NAME_BYTES, FILTER_NAME);
    else
        snprintf(ret, FILTER_NAME_BYTES, FILTER_NAME OWNER_MARK "%u",
                 hook->owner);
}

static int
ask_filter(const struct nsp_tc_hook *hook, uint16_t type, uint16_t flags,
           int program_fd)
{
    struct request request;
    struct tcmsg *tc;
    struct nlmsghdr *message = begin(&request, type, flags, hook, &tc);

    tc->tcm_handle = FILTER_HANDLE;
    tc->tcm_parent = parent_of(hook->ingress);
    tc->tcm_info = TC_H_MAKE(FILTER_PRIORITY << 16, htons(ETH_P_ALL));
    mnl_attr_put_strz(message, TCA_KIND, "bpf");
    if (program_fd >= 0) {
        struct nlattr *options = mnl_attr_nest_start(message, TCA_OPTIONS);
        char name[FILTER_NAME_BYTES];

        name_filter(hook, name);
        mnl_attr_put_u32(message, TCA_BPF_FD, (uint32_t)program_fd);
        mnl_attr_put_strz(message, TCA_BPF_NAME, name);
        mnl_attr_put_u32(message, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
        mnl_attr_nest_end(message, options);
    }
    return nsp_rtnetlink_ask(message, NULL, NULL);
}

struct census {
    bool ours, others;
    uint32_t owner, peer_ifindex; /* Of ours. */
};

/* The number behind 'mark' in a filter's name; 0 if that is not there. */
static uint32_t
read_number(const char *name, const char *mark)
{
    size_t bytes = strlen(mark);

    return strncmp(name, mark, bytes) == 0
               ? (uint32_t)strtoul(name + bytes, NULL, 10)
               : 0;
}

static int
take_option(const struct nlattr *attribute, void *opaque)
{
    struct census *census = opaque;

    if (mnl_attr_get_type(attribute) == TCA_BPF_NAME &&
        mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0) {
        const char *name = mnl_attr_get_str(attribute);

        census->peer_ifindex = read_number(name, FILTER_NAME PEER_MARK);
        if (census->peer_ifindex == 0)
            census->owner = read_number(name, FILTER_NAME OWNER_MARK);
    }
    return MNL_CB_OK;
}

static int
take_attribute(const struct nlattr *attribute, void *opaque)
{
    if (mnl_attr_get_type(attribute) == TCA_OPTIONS)
        (void)mnl_attr_parse_nested(attribute, take_option, opaque);
    return MNL_CB_OK;
}

static int
take_filter(const struct nlmsghdr *message, void *opaque)
{
    const struct tcmsg *tc = mnl_nlmsg_get_payload(message);
    struct census *census = opaque;

    if (TC_H_MAJ(tc->tcm_info) >> 16 != FILTER_PRIORITY) {
        census->others = true;
        return MNL_CB_OK;
    }
    census->ours = true;
    (void)mnl_attr_parse(message, sizeof *tc, take_attribute, census);
    return MNL_CB_OK;
}

/* Adds the filters of one way. Returns 0 or a negative errno. */
static int
look(const struct nsp_tc_hook *hook, bool ingress, struct census *census)
{
    struct request request;
    struct tcmsg *tc;
    struct nlmsghdr *message =
        begin(&request, RTM_GETTFILTER, NLM_F_DUMP, hook, &tc);

    tc->tcm_parent = parent_of(ingress);
    return nsp_rtnetlink_ask(message, take_filter, census);
}

static int
look_both_ways(const struct nsp_tc_hook *hook, struct census *census)
{
    int err = look(hook, true, census);

    return err < 0 ? err : look(hook, false, census);
}

/* Tells whether the qdisc has nothing but a filter of ours: then it was made
 * for that, by a process that was killed. */
static bool
is_left_behind(const struct nsp_tc_hook *hook)
{
    struct census census = { 0 };

    return look_both_ways(hook, &census) == 0 && census.ours && !census.others;
}

/* The TAP goes with the process, and its number is not given again. */
static bool
is_alive(uint32_t owner)
{
    char name[IF_NAMESIZE];

    return owner != NSP_TC_NO_OWNER && if_indextoname(owner, name) &&
           nsp_tap_link_is_ours(name);
}

bool
nsp_tc_hook_is_left(uint32_t ifindex, bool ingress)
{
    const struct nsp_tc_hook hook = { .ifindex = ifindex };
    struct census census = { 0 };

    return look(&hook, ingress, &census) == 0 && census.ours &&
           !is_alive(census.owner);
}

bool
nsp_tc_hook_is_taken(uint32_t ifindex)
{
    const struct nsp_tc_hook hook = { .ifindex = ifindex };
    struct census in = { 0 }, out = { 0 };

    return look(&hook, true, &in) == 0 && look(&hook, false, &out) == 0 &&
           (is_alive(in.owner) || is_alive(out.owner));
}

static bool
is_own(const struct nsp_tc_hook *hook)
{
    struct census census = { 0 };

    return look(hook, hook->ingress, &census) == 0 && census.ours &&
           census.owner == hook->owner;
}

/* Puts a filter where none is, or in the place of one that nobody needs. */
static int
add_filter(const struct nsp_tc_hook *hook, int program_fd)
{
    struct census census = { 0 };
    uint16_t existing = NLM_F_EXCL;
    int err = look(hook, hook->ingress, &census);

    if (err < 0)
        return err;
    if (census.ours) {
        if (census.owner != hook->owner && is_alive(census.owner))
            return -EBUSY;
        existing = NLM_F_REPLACE;
    }
    err = ask_filter(hook, RTM_NEWTFILTER, NLM_F_CREATE | existing, program_fd);
    return err == -EEXIST ? -EBUSY : err; /* Somebody was faster. */
}

/* With what others have in it, it is no longer ours alone. */
static void
remove_qdisc(const struct nsp_tc_hook *hook)
{
    struct census census = { 0 };

    if (look_both_ways(hook, &census) == 0 && !census.ours && !census.others)
        (void)!ask_qdisc(hook, RTM_DELQDISC, 0);
}

void
nsp_tc_hook_clear_left(uint32_t ifindex)
{
    struct nsp_tc_hook hook = { .ifindex = ifindex };
    bool cleared = false;

    for (int ingress = 0; ingress < 2; ingress++) {
        struct census census = { 0 };

        hook.ingress = ingress;
        if (look(&hook, hook.ingress, &census) == 0 &&
            census.owner != NSP_TC_NO_OWNER && !is_alive(census.owner))
            cleared |= ask_filter(&hook, RTM_DELTFILTER, 0, -1) == 0;
    }
    if (cleared)
        remove_qdisc(&hook);
}

static int
attach_clsact(struct nsp_tc_hook *hook, int program_fd)
{
    int err = ask_qdisc(hook, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);

    if (err < 0 && err != -EEXIST)
        return err;
    hook->made_qdisc = err == 0 || is_left_behind(hook);
    err = add_filter(hook, program_fd);
    if (err < 0 && hook->made_qdisc)
        remove_qdisc(hook);
    return err;
}

int
nsp_tc_hook_attach(struct nsp_tc_hook *hook, enum nsp_tc_method method,
                   int program_fd, uint32_t ifindex, bool ingress,
                   uint32_t owner)
{
    int fd, err = 0;

    *hook = (struct nsp_tc_hook){
        .ifindex = ifindex,
        .ingress = ingress,
        .clsact = method == NSP_TC_CLSACT,
        .owner = owner,
        .link_fd = -1,
    };
    if (hook->clsact) {
        err = attach_clsact(hook, program_fd);
    } else {
        fd = nsp_bpf_tcx_attach(program_fd, ifindex,
                                ingress ? NSP_BPF_TCX_INGRESS
                                        : NSP_BPF_TCX_EGRESS);
        if (fd < 0)
            err = fd;
        hook->link_fd = fd;
    }
    hook->attached = err == 0;
    return err;
}

int
nsp_tc_hook_join(struct nsp_tc_hook *hook, int program_fd, uint32_t ifindex,
                 uint32_t peer_ifindex)
{
    int err;

    *hook = (struct nsp_tc_hook){
        .ifindex = ifindex,
        .ingress = true,
        .clsact = true,
        .owner = NSP_TC_NO_OWNER,
        .peer_ifindex = peer_ifindex,
        .link_fd = -1,
    };
    err = attach_clsact(hook, program_fd);
    hook->attached = err == 0;
    return err;
}

bool
nsp_tc_hook_find_joined(struct nsp_tc_hook *ret, uint32_t ifindex)
{
    struct nsp_tc_hook hook = {
        .ifindex = ifindex,
        .attached = true,
        .ingress = true,
        .clsact = true,
        .owner = NSP_TC_NO_OWNER,
        .link_fd = -1,
    };
    struct census census = { 0 };

    if (look(&hook, true, &census) < 0 || census.peer_ifindex == 0)
        return false;
    hook.peer_ifindex = census.peer_ifindex;
    hook.made_qdisc = is_left_behind(&hook);
    *ret = hook;
    return true;
}

int
nsp_tc_hook_replace(struct nsp_tc_hook *hook, int program_fd)
{
    if (!hook->clsact)
        return nsp_bpf_link_update(hook->link_fd, program_fd);
    if (!is_own(hook))
        return -ENOENT;
    return ask_filter(hook, RTM_NEWTFILTER, NLM_F_REPLACE, program_fd);
}

/* Errors mean that the interface has gone, and the program with it, or that
 * somebody took that off. */
void
nsp_tc_hook_detach(struct nsp_tc_hook *hook)
{
    if (!hook->attached)
        return;
    hook->attached = false;
    if (!hook->clsact) {
        close(hook->link_fd);
        return;
    }
    if (is_own(hook))
        (void)!ask_filter(hook, RTM_DELTFILTER, 0, -1);
    if (hook->made_qdisc)
        remove_qdisc(hook);
}
