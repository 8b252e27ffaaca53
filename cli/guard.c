#define _DEFAULT_SOURCE
#include "cli/guard.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/controllers.h"
#include "cli/guard_harm.h"
#include "cli/interfaces.h"
#include "cli/own_port.h"
#include "cli/packet_text.h"

/* What helps against being cut off. */
#define ANOTHER_RULE      "let that connection pass before the rule"
#define ANOTHER_INTERFACE "come in by another interface"

/* What would be cut, and how. */
struct finding {
    char packet[128], rule[NSP_NAME_MAX + 1];
    char whose[sizeof((struct nsp_controller *)0)->whose];
    const char *what;
    const char *port; /* A bridge would, which takes it; NULL: the rule. */
};

/* --- Packets of the connection --------------------------------------------
 */

/* The interface that has 'address'; 0 when none has. */
static unsigned
interface_of(const struct in6_addr *address, bool *ret_loopback)
{
    struct ifaddrs *list, *at;
    unsigned found = 0;

    if (getifaddrs(&list) < 0)
        return 0;
    for (at = list; at && found == 0; at = at->ifa_next)
        if (nsp_cli_is_address(at->ifa_addr, address)) {
            found = if_nametoindex(at->ifa_name);
            *ret_loopback = (at->ifa_flags & IFF_LOOPBACK) != 0;
        }
    freeifaddrs(list);
    return found;
}

static bool
is_loopback_name(const struct ifaddrs *list, const char *name)
{
    for (const struct ifaddrs *at = list; at; at = at->ifa_next)
        if (strcmp(at->ifa_name, name) == 0)
            return (at->ifa_flags & IFF_LOOPBACK) != 0;
    return false;
}

/* Whether packets that travel between hosts are taken nowhere. */
static bool
takes_loopback_alone(const struct nsp_guard *guard)
{
    struct ifaddrs *list;
    bool alone = guard->taken_count > 0;

    if (!alone || getifaddrs(&list) < 0)
        return false;
    for (uint32_t i = 0; i < guard->taken_count && alone; i++)
        alone = is_loopback_name(list, guard->taken[i]);
    freeifaddrs(list);
    return alone;
}

static bool
is_own_address(const struct in6_addr *address)
{
    bool loopback = false;

    return (IN6_IS_ADDR_V4MAPPED(address) &&
            address->s6_addr[12] == IN_LOOPBACKNET) ||
           interface_of(address, &loopback) != 0;
}

/* What rules may tell apart: what only acknowledges, a keystroke, full packets
 * on the wire with TCP timestamps and without, a superpacket. */
enum shape { SHAPE_ACK, SHAPE_SMALL, SHAPE_STAMPED, SHAPE_FULL, SHAPE_SUPER };
#define SHAPES 5u

#define WIRE_BYTES    1500u
#define STAMP_BYTES   12u
#define SUPER_BYTES   8688u /* Six such segments. */
#define HEADERS_IPV4  40u
#define HEADERS_IPV6  60u
#define SMALL_BYTES   100u
#define PACKETS_OF(n) ((n)*2u * SHAPES)

static uint32_t
payload_of(enum shape shape, bool is_ipv4)
{
    uint32_t full = WIRE_BYTES - (is_ipv4 ? HEADERS_IPV4 : HEADERS_IPV6);

    switch (shape) {
    case SHAPE_ACK:
        return 0;
    case SHAPE_SMALL:
        return SMALL_BYTES;
    case SHAPE_STAMPED:
        return full - STAMP_BYTES;
    case SHAPE_FULL:
        return full;
    case SHAPE_SUPER:
        return SUPER_BYTES;
    }
    return 0;
}

/* Makes a packet of 'c' that comes in or goes out. */
static bool
make_packet(const struct nsp_controller *c, bool inbound, enum shape shape,
            struct nsp_packet_text *ret)
{
    char ends[128], text[192];
    struct nsp_diag diag;

    snprintf(text, sizeof text, "tcp %s %s length %u %sack",
             nsp_controller_write(c, inbound, ends, sizeof ends),
             inbound ? "inbound" : "outbound",
             payload_of(shape, IN6_IS_ADDR_V4MAPPED(&c->local)),
             shape == SHAPE_SMALL || shape == SHAPE_SUPER ? "psh " : "");
    if (nsp_packet_text_read(text, ret, &diag) != NSP_OK)
        return false;
    ret->pkt.hook = inbound ? NSP_HOOK_INPUT : NSP_HOOK_OUTPUT;
    if (shape == SHAPE_SUPER)
        ret->pkt.flags |= NSP_PKT_SUPERPACKET;
    return true;
}

/* Makes those of 'c', each way. One that cannot be made, or that is not taken,
 * meets no hook. */
static void
make_packets(const struct nsp_guard *guard, const struct nsp_controller *c,
             struct nsp_packet_text ret[])
{
    bool taken = !takes_loopback_alone(guard) || is_own_address(&c->remote);
    bool loopback = false;
    unsigned ifindex = interface_of(&c->local, &loopback);

    for (uint32_t i = 0; i < PACKETS_OF(1); i++) {
        struct nsp_pkt *pkt = &ret[i].pkt;
        bool inbound = i < SHAPES;

        if (!taken ||
            !make_packet(c, inbound, (enum shape)(i % SHAPES), &ret[i])) {
            pkt->hook = 0;
            continue;
        }
        *(inbound ? &pkt->in_ifindex : &pkt->out_ifindex) = ifindex;
        if (loopback)
            pkt->flags |= NSP_PKT_LOOPBACK;
    }
}

/* --- Rules ----------------------------------------------------------------
 */

static bool
applies(const struct nsp_guard *guard, uint32_t index,
        const struct nsp_pkt *pkt)
{
    const struct nsp_rule *rule = &guard->spec->rules[index];
    const struct nsp_filter *filter =
        guard->filters ? guard->filters[index] : NULL;

    if (rule->disabled ||
        (rule->apply == NSP_APPLY_INBOUND && pkt->direction != NSP_INBOUND) ||
        (rule->apply == NSP_APPLY_OUTBOUND && pkt->direction != NSP_OUTBOUND))
        return false;
    return !filter || nsp_filter_match(filter, pkt, NULL);
}

/* Finds the rule that, with those before it, would cut the connection of 'pkt'
 * off. */
static bool
find_rule(const struct nsp_guard *guard, const struct nsp_pkt *pkt,
          struct finding *ret)
{
    struct nsp_harm harm;

    if ((guard->hooks & pkt->hook) == 0 ||
        (guard->start && !nsp_filter_match(guard->start, pkt, NULL)))
        return false;
    nsp_harm_init(&harm, pkt);
    for (uint32_t i = 0; i < guard->spec->rule_count; i++) {
        const struct nsp_rule *rule = &guard->spec->rules[i];

        if (!applies(guard, i, pkt))
            continue;
        ret->what = nsp_harm_add(&harm, guard->spec, rule);
        if (ret->what) {
            if (rule->name)
                snprintf(ret->rule, sizeof ret->rule, "%s", rule->name);
            else
                snprintf(ret->rule, sizeof ret->rule, "rule-%u", i + 1);
            return true;
        }
        if (!rule->go_on)
            return false;
    }
    return false;
}

static void
name_connection(const struct nsp_controller *c, bool inbound,
                struct finding *ret)
{
    snprintf(ret->whose, sizeof ret->whose, "%s", c->whose);
    nsp_controller_write(c, inbound, ret->packet, sizeof ret->packet);
}

/* Finds the connection that a bridge would take the interface of, whatever the
 * rules say. */
static bool
find_port(const struct nsp_guard *guard, const struct nsp_controller list[],
          uint32_t count, struct finding *ret)
{
    for (uint32_t i = 0; guard->ports && i < count; i++) {
        ret->port = nsp_own_port_find(&list[i], guard->ports);
        if (ret->port) {
            name_connection(&list[i], true, ret);
            return true;
        }
    }
    return false;
}

/* Finds what becomes of the packets by the policy as it is now. */
static bool
find_packet(const struct nsp_guard *guard, const struct nsp_controller list[],
            const struct nsp_packet_text packets[], uint32_t count,
            struct finding *ret)
{
    for (uint32_t i = 0; i < PACKETS_OF(count); i++)
        if (find_rule(guard, &packets[i].pkt, ret)) {
            name_connection(&list[i / PACKETS_OF(1)],
                            i % PACKETS_OF(1) < SHAPES, ret);
            return true;
        }
    return false;
}

/* And as it will be. */
static bool
find_state(const struct nsp_guard *guard, const struct nsp_controller list[],
           uint32_t count, struct finding *ret)
{
    struct nsp_packet_text *packets =
        malloc(PACKETS_OF(count) * sizeof *packets);
    bool found = false;

    if (!packets)
        return false;
    for (uint32_t i = 0; i < count; i++)
        make_packets(guard, &list[i], &packets[PACKETS_OF(i)]);
    if (guard->set_state) {
        for (uint32_t i = 0; !found && guard->set_state(guard->context, i); i++)
            found = find_packet(guard, list, packets, count, ret);
        guard->set_state(guard->context, 0);
    } else {
        found = find_packet(guard, list, packets, count, ret);
    }
    free(packets);
    return found;
}

static bool
find(const struct nsp_guard *guard, int pid, struct finding *ret)
{
    struct nsp_controller list[NSP_CONTROLLERS_MAX];
    uint32_t count = nsp_controllers_find(pid, list);

    *ret = (struct finding){ .port = NULL };
    return count > 0 && (find_port(guard, list, count, ret) ||
                         find_state(guard, list, count, ret));
}

/* --- The question --------------------------------------------------------- */

static void
describe(const struct finding *found, char *ret, size_t bytes)
{
    if (found->port)
        snprintf(ret, bytes,
                 "a bridge over %.15s would cut off your own connection, "
                 "%.111s (%.24s)",
                 found->port, found->packet, found->whose);
    else
        snprintf(ret, bytes,
                 "rule %.63s would %s your own connection, %.111s (%.24s)",
                 found->rule, found->what, found->packet, found->whose);
}

static int
refuse(struct nsp_cli *cli, const char *found, const char *outcome,
       const char *cure)
{
    struct nsp_diag diag = { .result = NSP_ABORTED, .category = "own-session" };

    snprintf(diag.text, sizeof diag.text, "%s", found);
    snprintf(diag.hint, sizeof diag.hint,
             "%s: %s, or say --yes; what was started with '--confirm 60s' "
             "takes it back unless confirmed",
             outcome, cure);
    return nsp_cli_fail(cli, &diag);
}

static bool
is_confirmed(void)
{
    char answer[16];

    fputs("nsp: go on? [y/N] ", stderr);
    return fgets(answer, sizeof answer, stdin) &&
           (answer[0] == 'y' || answer[0] == 'Y');
}

static int
put(struct nsp_cli *cli, const char *found, const char *outcome,
    const char *cure)
{
    if (cli->json || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return refuse(cli, found, outcome, cure);
    fprintf(stderr, "nsp: warning: %s\n", found);
    if (is_confirmed())
        return NSP_EXIT_OK;
    fprintf(stderr, "nsp: %s\n", outcome);
    return NSP_EXIT_FAILED;
}

bool
nsp_guard_find(const struct nsp_guard *guard, int pid, char *ret, size_t bytes)
{
    struct finding found;

    if (!find(guard, pid, &found))
        return false;
    describe(&found, ret, bytes);
    return true;
}

int
nsp_guard_put(struct nsp_cli *cli, const char *found, const char *outcome)
{
    return put(cli, found, outcome, ANOTHER_RULE);
}

int
nsp_guard_ask(struct nsp_cli *cli, const struct nsp_guard *guard)
{
    struct finding found;
    char text[256];

    if (guard->goes_on || !find(guard, (int)getpid(), &found))
        return NSP_EXIT_OK;
    describe(&found, text, sizeof text);
    if (!guard->comes_back)
        return put(cli, text, "nothing was started",
                   found.port ? ANOTHER_INTERFACE : ANOTHER_RULE);
    fprintf(stderr, "nsp: warning: %s\n", text);
    return NSP_EXIT_OK;
}

bool
nsp_guard_has_terminal(void)
{
    return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

int
nsp_guard_fail_unconfirmed(struct nsp_cli *cli)
{
    const struct nsp_diag diag = {
        .result = NSP_ABORTED,
        .category = "not-confirmed",
        .text = "not confirmed in time: the network is as it was before",
        .hint = "Enter, or 'nsp confirm' where there is an 'nsp run', keeps "
                "what was started with --confirm",
    };

    return nsp_cli_fail(cli, &diag);
}
