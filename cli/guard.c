#define _DEFAULT_SOURCE
#include "cli/guard.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/controllers.h"
#include "cli/packet_text.h"

#define LOSS_PPM_MAX   (NSP_PPM_ONE / 4)
#define HOLD_NS_MAX    UINT64_C(2000000000)
#define RATE_BITPS_MIN 16000u
#define RATE_PPS_MIN   5u

/* What would be cut, and how. */
struct finding {
    char packet[128], rule[NSP_NAME_MAX + 1];
    const char *whose, *what;
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
    for (at = list; at && found == 0; at = at->ifa_next) {
        const struct sockaddr_in6 *six = (const void *)at->ifa_addr;
        const struct sockaddr_in *four = (const void *)at->ifa_addr;

        if (!at->ifa_addr)
            continue;
        if ((at->ifa_addr->sa_family == AF_INET6 &&
             memcmp(&six->sin6_addr, address, sizeof *address) == 0) ||
            (at->ifa_addr->sa_family == AF_INET &&
             IN6_IS_ADDR_V4MAPPED(address) &&
             memcmp(&four->sin_addr, address->s6_addr + 12, 4) == 0)) {
            found = if_nametoindex(at->ifa_name);
            *ret_loopback = (at->ifa_flags & IFF_LOOPBACK) != 0;
        }
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

static bool
find(const struct nsp_guard *guard, const struct nsp_controller list[],
     uint32_t count, struct finding *ret)
{
    struct nsp_packet_text *packet = malloc(sizeof *packet);
    bool found = false;

    for (uint32_t i = 0; packet && i < 2 * count && !found; i++) {
        const struct nsp_controller *c = &list[i / 2];
        bool inbound = i % 2 == 0;

        found = make_packet(c, inbound, packet) &&
                find_rule(guard, &packet->pkt, ret);
        ret->whose = c->whose;
        nsp_controller_write(c, inbound, ret->packet, sizeof ret->packet);
    }
    free(packet);
    return found;
}

/* --- The question --------------------------------------------------------- */

static void
describe(const struct finding *found, char *ret, size_t bytes)
{
    snprintf(ret, bytes, "rule %.63s would %s your own connection, %.111s (%s)",
             found->rule, found->what, found->packet, found->whose);
}

static int
refuse(struct nsp_cli *cli, const char *found, const char *outcome)
{
    struct nsp_diag diag = { .result = NSP_ABORTED, .category = "own-session" };

    snprintf(diag.text, sizeof diag.text, "%s", found);
    snprintf(diag.hint, sizeof diag.hint,
             "%s: let that connection pass before the rule, or say --yes; what "
             "was started with '--confirm 60s' takes it back unless confirmed",
             outcome);
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

bool
nsp_guard_find(const struct nsp_guard *guard, int pid, char *ret, size_t bytes)
{
    struct nsp_controller list[NSP_CONTROLLERS_MAX];
    struct finding found = { .whose = NULL };
    uint32_t count = nsp_controllers_find(pid, list);

    if (count == 0 || !find(guard, list, count, &found))
        return false;
    describe(&found, ret, bytes);
    return true;
}

int
nsp_guard_put(struct nsp_cli *cli, const char *found, const char *outcome)
{
    if (cli->json || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return refuse(cli, found, outcome);
    fprintf(stderr, "nsp: warning: %s\n", found);
    if (is_confirmed())
        return NSP_EXIT_OK;
    fprintf(stderr, "nsp: %s\n", outcome);
    return NSP_EXIT_FAILED;
}

int
nsp_guard_ask(struct nsp_cli *cli, const struct nsp_guard *guard)
{
    char found[256];

    if (guard->goes_on ||
        !nsp_guard_find(guard, (int)getpid(), found, sizeof found))
        return NSP_EXIT_OK;
    if (!guard->comes_back)
        return nsp_guard_put(cli, found, "nothing was started");
    fprintf(stderr, "nsp: warning: %s\n", found);
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
