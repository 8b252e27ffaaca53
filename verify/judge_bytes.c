/* Effects on what is in packets, and what answers them. */
#include "verify/subject.h"

#include <stdlib.h>
#include <string.h>

#include "verify/hits.h"

#define GAP_NS 1000

enum { TCP = 6, SYN = 0x02, RST = 0x04, ACK = 0x10 };

/* Finds a packet that 'wants' takes and runs a trial of it. Returns NSP_OK with
 * '*ret' to be finished, NSP_NOT_FOUND having said so in 'checks', or what the
 * trial says. */
static int
run_on(struct nsp_subject *subject, const char *effect, uint16_t payload_bytes,
       bool (*wants)(const struct nsp_test_fields *), struct nsp_checks *checks,
       struct nsp_trial *ret, struct nsp_diag *reterr)
{
    struct nsp_search search = *subject->search;
    const char *why;

    search.wants = wants;
    search.payload_bytes = payload_bytes;
    if (!nsp_search_packet(&search, subject->index, &subject->packet, &why)) {
        nsp_checks_add_not_tested(checks, effect, "all", why);
        return NSP_NOT_FOUND;
    }
    return nsp_subject_run(subject, &subject->packet, GAP_NS, subject->pkts,
                           ret, reterr);
}

/* Judges which packets did not leave, or were counted so. */
static int
judge_missing(const char *effect, const struct nsp_trial *trial, uint32_t ppm,
              uint32_t correlation_ppm, struct nsp_checks *checks)
{
    bool *hit = calloc((size_t)trial->pkts + 1, sizeof *hit);

    if (!hit)
        return NSP_NO_MEMORY;
    for (uint32_t i = 0; i < trial->pkts; i++)
        hit[i] = trial->left_ns[i] == 0;
    nsp_judge_chance(&(struct nsp_hits){ effect, false, hit, trial->pkts }, ppm,
                     correlation_ppm, checks);
    free(hit);
    return nsp_checks_result(checks);
}

/* --- Resets --------------------------------------------------------------- */

static bool
is_open_tcp(const struct nsp_test_fields *f)
{
    return f->proto == TCP && (f->tcp_flags & (SYN | RST)) == 0 &&
           (f->tcp_flags & ACK) != 0;
}

int
nsp_judge_tcp_reset(const struct nsp_subject *subject,
                    struct nsp_checks *checks, struct nsp_diag *reterr)
{
    const struct nsp_tcp_reset_config *reset = &subject->effects->tcp_reset;
    double ends = reset->ends == NSP_TCP_RESET_BOTH ? 2 : 1, hits;
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    struct nsp_trial trial;
    int result;

    bare.effects.tcp_reset = *reset;
    of.as = &bare;
    result = run_on(&of, "tcp-reset", 64, is_open_tcp, checks, &trial, reterr);
    if (result != NSP_OK)
        return result == NSP_NOT_FOUND ? NSP_OK : result;
    hits = (double)trial.pkts - (double)trial.left_pkts;
    if (reset->once)
        nsp_checks_add_pkts(checks, "tcp-reset", "packets hit", 1, hits);
    else
        result = judge_missing("tcp-reset", &trial, reset->ppm,
                               reset->correlation_ppm, checks);
    nsp_checks_add_pkts(checks, "tcp-reset", "RSTs sent", ends * hits,
                        (double)trial.injected_pkts);
    nsp_trial_fini(&trial);
    return result == NSP_OK ? nsp_checks_result(checks) : result;
}

/* --- Damage --------------------------------------------------------------- */

static uint32_t
count_bits(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < bytes; i++)
        for (uint8_t x = a[i] ^ b[i]; x != 0; x = (uint8_t)(x & (x - 1)))
            count++;
    return count;
}

static uint32_t
region_begin(const struct nsp_tamper_config *tamper,
             const struct nsp_test_packet *packet)
{
    uint32_t ip_bytes = packet->fields.ipv6 ? 40 : 20;

    return tamper->flip_where == NSP_TAMPER_PAYLOAD      ? packet->payload_off
           : tamper->flip_where == NSP_TAMPER_IP_PAYLOAD ? ip_bytes
                                                         : 0;
}

/* Whether a packet that was hit is damaged as asked. Of damages that come on
 * top of each other, what can still be told. */
static bool
is_damaged_rightly(const struct nsp_subject *subject, const struct nsp_pkt *pkt,
                   const uint8_t *original)
{
    const struct nsp_tamper_config *tamper = &subject->effects->tamper;
    const struct nsp_test_packet *packet = &subject->packet;
    uint32_t begin = region_begin(tamper, packet);
    bool flips_only = tamper->truncate_bytes == 0 &&
                      tamper->rewrite == NSP_TAMPER_KEEP &&
                      tamper->flip_bits > 0;

    if (tamper->truncate_bytes != 0 && packet->bytes > tamper->truncate_bytes)
        return pkt->cap_bytes == tamper->truncate_bytes;
    if (tamper->csum == NSP_TAMPER_CSUM_REPAIR &&
        tamper->flip_where == NSP_TAMPER_PAYLOAD && !nsp_pkt_checksums_ok(pkt))
        return false;
    if (tamper->csum == NSP_TAMPER_CSUM_BREAK && nsp_pkt_checksums_ok(pkt))
        return false;
    if (flips_only && tamper->csum == NSP_TAMPER_CSUM_KEEP) {
        uint32_t room = 8 * (packet->bytes - begin), bits = tamper->flip_bits;

        return memcmp(pkt->data, original, begin) == 0 &&
               count_bits(pkt->data + begin, original + begin,
                          packet->bytes - begin) == (bits < room ? bits : room);
    }
    if (tamper->rewrite == NSP_TAMPER_FILL && tamper->flip_bits == 0)
        for (uint32_t i = 0; i < packet->fields.payload_bytes; i++)
            if (pkt->data[packet->payload_off + i] !=
                tamper->fill[i % tamper->fill_bytes])
                return false;
    return true;
}

static uint32_t
look_damaged(const void *context, const struct nsp_pkt *pkt,
             const uint8_t *original)
{
    const struct nsp_subject *subject = context;

    if (pkt->cap_bytes == subject->packet.bytes &&
        memcmp(pkt->data, original, pkt->cap_bytes) == 0)
        return 0;
    if (is_damaged_rightly(subject, pkt, original))
        return NSP_LOOK_HIT;
    return NSP_LOOK_HIT | NSP_LOOK_WRONG;
}

static bool
has_payload(const struct nsp_test_fields *f)
{
    return f->payload_bytes >= NSP_TEST_NUMBER_BYTES;
}

int
nsp_judge_tamper(const struct nsp_subject *subject, struct nsp_checks *checks,
                 struct nsp_diag *reterr)
{
    const struct nsp_tamper_config *tamper = &subject->effects->tamper;
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    struct nsp_trial trial;
    int result;

    bare.effects.tamper = *tamper;
    of.as = &bare;
    of.look = look_damaged;
    result = run_on(&of, "tamper", 64, has_payload, checks, &trial, reterr);
    if (result != NSP_OK)
        return result == NSP_NOT_FOUND ? NSP_OK : result;
    result = judge_missing("tamper", &trial, tamper->ppm,
                           tamper->correlation_ppm, checks);
    nsp_checks_add_pkts(checks, "tamper", "packets damaged otherwise", 0,
                        (double)trial.wrong_pkts);
    nsp_trial_fini(&trial);
    return result == NSP_OK ? nsp_checks_result(checks) : result;
}

/* --- Windows of TCP ------------------------------------------------------- */

static uint32_t
read_window(const uint8_t *tcp)
{
    return (uint32_t)tcp[14] << 8 | tcp[15];
}

/* The connection's opening was not seen, so there is no scale. Packets that are
 * spared count as hit, of the share that is spared. */
static uint32_t
look_window(const void *context, const struct nsp_pkt *pkt,
            const uint8_t *original)
{
    const struct nsp_subject *subject = context;
    uint32_t most = subject->effects->tcp_window.max_bytes;
    uint32_t window, before;

    if (pkt->l4 != NSP_L4_TCP || !nsp_pkt_checksums_ok(pkt))
        return NSP_LOOK_WRONG;
    window = read_window(pkt->data + pkt->l4_off);
    before = read_window(original + pkt->l4_off);
    if (window == before && before > most)
        return NSP_LOOK_HIT;
    return window == (before < most ? before : most) ? 0 : NSP_LOOK_WRONG;
}

int
nsp_judge_tcp_window(const struct nsp_subject *subject,
                     struct nsp_checks *checks, struct nsp_diag *reterr)
{
    const struct nsp_tcp_window_config *window = &subject->effects->tcp_window;
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    struct nsp_trial trial;
    int result;

    bare.effects.tcp_window = *window;
    of.as = &bare;
    of.look = look_window;
    result = run_on(&of, "tcp-window", 64, is_open_tcp, checks, &trial, reterr);
    if (result != NSP_OK)
        return result == NSP_NOT_FOUND ? NSP_OK : result;
    nsp_checks_add_pkts(checks, "tcp-window", "packets changed wrongly", 0,
                        (double)trial.wrong_pkts);
    if (window->max_bytes < UINT16_MAX)
        result = judge_missing("window-spared", &trial, window->spared_ppm, 0,
                               checks);
    nsp_trial_fini(&trial);
    return result == NSP_OK ? nsp_checks_result(checks) : result;
}

/* --- Sizes ---------------------------------------------------------------- */

/* Cut ones count as hit. */
static uint32_t
look_cut(const void *context, const struct nsp_pkt *pkt,
         const uint8_t *original)
{
    const struct nsp_subject *subject = context;

    (void)original;
    if (pkt->cap_bytes == subject->packet.bytes)
        return 0;
    return pkt->cap_bytes == subject->effects->mtu.max_bytes
               ? NSP_LOOK_HIT
               : NSP_LOOK_HIT | NSP_LOOK_WRONG;
}

/* As large as may be, or one byte larger. */
static int
run_size(struct nsp_subject *of, uint32_t bytes, struct nsp_checks *checks,
         struct nsp_trial *ret, struct nsp_diag *reterr)
{
    if (nsp_search_resize(of->search, of->index, bytes, &of->packet))
        return nsp_subject_run(of, &of->packet, GAP_NS, of->pkts, ret, reterr);
    nsp_checks_add_not_tested(checks, "mtu", "all",
                              "no packet of the size that matters was found: "
                              "they have 1500 bytes at most");
    return NSP_NOT_FOUND;
}

int
nsp_judge_mtu(const struct nsp_subject *subject, struct nsp_checks *checks,
              struct nsp_diag *reterr)
{
    const struct nsp_mtu_config *mtu = &subject->effects->mtu;
    struct nsp_rule bare = nsp_subject_bare_rule(subject);
    struct nsp_subject of = *subject;
    struct nsp_trial trial;
    int result;

    bare.effects.mtu = *mtu;
    of.as = &bare;
    of.look = look_cut;
    result = run_size(&of, mtu->max_bytes, checks, &trial, reterr);
    if (result != NSP_OK)
        return result == NSP_NOT_FOUND ? NSP_OK : result;
    nsp_checks_add_pkts(checks, "mtu", "packets that fit", trial.pkts,
                        (double)trial.left_pkts);
    nsp_trial_fini(&trial);

    result = run_size(&of, mtu->max_bytes + 1, checks, &trial, reterr);
    if (result != NSP_OK)
        return result == NSP_NOT_FOUND ? NSP_OK : result;
    result =
        judge_missing("mtu", &trial, NSP_PPM_ONE - mtu->spared_ppm, 0, checks);
    if (mtu->excess == NSP_MTU_ANSWER)
        nsp_checks_add_pkts(checks, "mtu", "answers",
                            (double)trial.pkts - (double)trial.left_pkts,
                            (double)trial.injected_pkts);
    if (mtu->excess == NSP_MTU_TRUNCATE)
        nsp_checks_add_pkts(checks, "mtu", "packets cut wrongly", 0,
                            (double)trial.wrong_pkts);
    nsp_trial_fini(&trial);
    return result == NSP_OK ? nsp_checks_result(checks) : result;
}
