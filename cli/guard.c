#define _DEFAULT_SOURCE
#include "cli/guard.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/controllers.h"
#include "cli/interfaces.h"
#include "cli/own_port.h"
#include "cli/packet_text.h"

#define LOSS_PPM_MAX   (NSP_PPM_ONE / 4)
#define HOLD_NS_MAX    UINT64_C(2000000000)
#define RATE_BITPS_MIN 16000u
#define RATE_PPS_MIN   5u

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

/* --- What is too much ------------------------------------------------------
 */

/* The share that is lost in the long run, as far as it is written there. */
static uint32_t
loss_ppm(const struct nsp_loss_config *loss)
{
    switch (loss->kind) {
    case NSP_LOSS_CHANCE:
        return loss->chance.ppm;
    case NSP_LOSS_BURSTS:
        return loss->bursts.ppm;
    case NSP_LOSS_GILBERT:
        return loss->gilbert.p_ppm + loss->gilbert.r_ppm == 0
                   ? loss->gilbert.good_loss_ppm
                   : (uint32_t)(((uint64_t)loss->gilbert.bad_loss_ppm *
                                     loss->gilbert.p_ppm +
                                 (uint64_t)loss->gilbert.good_loss_ppm *
                                     loss->gilbert.r_ppm) /
                                (loss->gilbert.p_ppm + loss->gilbert.r_ppm));
    case NSP_LOSS_EVERY:
        return NSP_PPM_ONE / loss->every_pkts;
    default:
        return 0;
    }
}

static const struct nsp_effects *
effects_of(const struct nsp_policy_spec *spec, const struct nsp_rule *rule)
{
    for (uint32_t i = 0; rule->impairment && i < spec->impairment_count; i++)
        if (strcmp(spec->impairments[i].name, rule->impairment) == 0)
            return &spec->impairments[i].effects;
    return &rule->effects;
}

static uint64_t
rate_of(const struct nsp_policy_spec *spec, const struct nsp_rule *rule)
{
    for (uint32_t i = 0; rule->class_name && i < spec->class_count; i++)
        if (strcmp(spec->classes[i].name, rule->class_name) == 0)
            return spec->classes[i].link.rate_bitps;
    return rule->link.rate_bitps;
}

/* What 'rule' would do that nobody could work with, NULL when nothing. */
static const char *
harm_of(const struct nsp_policy_spec *spec, const struct nsp_rule *rule)
{
    const struct nsp_effects *effects = effects_of(spec, rule);
    uint64_t rate = rate_of(spec, rule);

    if (rule->action != NSP_ACTION_PASS)
        return rule->action == NSP_ACTION_DROP ? "drop" : "reject";
    if (loss_ppm(&effects->loss) >= LOSS_PPM_MAX)
        return "lose much of";
    if (effects->delay.mean_ns >= HOLD_NS_MAX)
        return "hold for seconds";
    if (rate != 0 && rate < RATE_BITPS_MIN)
        return "slow down to a crawl";
    if ((rule->limit.unit == NSP_LIMIT_BITPS &&
         rule->limit.rate < RATE_BITPS_MIN) ||
        (rule->limit.unit == NSP_LIMIT_PPS && rule->limit.rate < RATE_PPS_MIN))
        return "limit to a crawl";
    return NULL;
}

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

/* Makes a packet of 'c' that comes in or goes out, with a payload. */
static bool
make_packet(const struct nsp_controller *c, bool inbound,
            struct nsp_packet_text *ret)
{
    char ends[128], text[192];
    struct nsp_diag diag;
    bool loopback = false;

    snprintf(text, sizeof text, "tcp %s %s length 100 psh ack",
             nsp_controller_write(c, inbound, ends, sizeof ends),
             inbound ? "inbound" : "outbound");
    if (nsp_packet_text_read(text, ret, &diag) != NSP_OK)
        return false;
    ret->pkt.hook = inbound ? NSP_HOOK_INPUT : NSP_HOOK_OUTPUT;
    *(inbound ? &ret->pkt.in_ifindex : &ret->pkt.out_ifindex) =
        interface_of(&c->local, &loopback);
    if (loopback)
        ret->pkt.flags |= NSP_PKT_LOOPBACK;
    return true;
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

/* Finds the rule that would cut the connection of 'pkt' off. */
static bool
find_rule(const struct nsp_guard *guard, const struct nsp_pkt *pkt,
          struct finding *ret)
{
    if ((guard->hooks & pkt->hook) == 0 ||
        (guard->start && !nsp_filter_match(guard->start, pkt, NULL)))
        return false;
    for (uint32_t i = 0; i < guard->spec->rule_count; i++) {
        const struct nsp_rule *rule = &guard->spec->rules[i];

        if (!applies(guard, i, pkt))
            continue;
        ret->what = harm_of(guard->spec, rule);
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

static bool
find_packet(const struct nsp_guard *guard, const struct nsp_controller list[],
            uint32_t count, struct finding *ret)
{
    struct nsp_packet_text *packet = malloc(sizeof *packet);
    bool found = false;

    for (uint32_t i = 0; packet && i < 2 * count && !found; i++) {
        const struct nsp_controller *c = &list[i / 2];
        bool inbound = i % 2 == 0;

        found = make_packet(c, inbound, packet) &&
                find_rule(guard, &packet->pkt, ret);
        name_connection(c, inbound, ret);
    }
    free(packet);
    return found;
}

static bool
find(const struct nsp_guard *guard, int pid, struct finding *ret)
{
    struct nsp_controller list[NSP_CONTROLLERS_MAX];
    uint32_t count = nsp_controllers_find(pid, list);

    *ret = (struct finding){ .port = NULL };
    return count > 0 && (find_port(guard, list, count, ret) ||
                         find_packet(guard, list, count, ret));
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
