#include <inttypes.h>
#include <string.h>

#include "cli/simulate.h"

/* In front of each packet in a pcap file. */
#define RECORD_HEADER_BYTES 16u

/* --- Comments -------------------------------------------------------------
 * Made for each packet of a capture: without printf. */

static char *
put_number(char *at, uint64_t value, uint32_t digits_min)
{
    char digits[20];
    uint32_t count = 0;

    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (; digits_min > count; digits_min--)
        *at++ = '0';
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

static char *
put_effects(char *at, uint8_t effects)
{
    static const struct {
        uint8_t effect;
        const char *name;
    } names[] = {
        { NSP_FATE_QUEUED, "queue," },
        { NSP_FATE_DELAYED, "delay," },
        { NSP_FATE_EDITED, "edit," },
    };

    if (effects == 0)
        return stpcpy(at, "none");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if ((effects & names[i].effect) != 0)
            at = stpcpy(at, names[i].name);
    return at - 1;
}

static void
write_note(char *at, const struct nsp_fate *fate)
{
    uint64_t delay_ns = fate->at_ns - fate->pkt->arrival_ns;

    at = stpcpy(at, "rule=");
    at = stpcpy(at, fate->rule ? fate->rule : "-");
    at = stpcpy(at, " effects=");
    at = put_effects(at, fate->effects);
    at = stpcpy(at, " delay_us=");
    at = put_number(at, delay_ns / 1000, 1);
    *at++ = '.';
    at = put_number(at, delay_ns % 1000, 3);
    *at = '\0';
}

/* --- Drops ---------------------------------------------------------------- */

static void
list_drop(const struct nsp_simulate_notes *notes, const struct nsp_fate *fate)
{
    const char *reason =
        nsp_drop_reason_name((enum nsp_drop_reason)fate->reason);
    uint64_t at_ns = fate->at_ns - NSP_PCAPFILE_START_NS;
    struct nsp_json json;

    if (!notes->json) {
        fprintf(notes->drops,
                "drop: packet %" PRIu64 " at %" PRIu64 ".%09" PRIu64
                " s, rule %s: %s\n",
                fate->pkt->device_ref, at_ns / 1000000000, at_ns % 1000000000,
                fate->rule ? fate->rule : "-", reason);
        return;
    }
    nsp_json_init(&json, notes->drops);
    nsp_json_begin_object(&json, NULL);
    nsp_json_uint(&json, "schema", 1);
    nsp_json_string(&json, "type", "drop");
    nsp_json_uint(&json, "packet", fate->pkt->device_ref);
    nsp_json_uint(&json, "at_ns", at_ns);
    if (fate->rule)
        nsp_json_string(&json, "rule", fate->rule);
    nsp_json_string(&json, "reason", reason);
    nsp_json_finish(&json);
}

/* --- Fates ---------------------------------------------------------------- */

static void
note_time(struct nsp_timeline *timeline, const struct nsp_fate *fate)
{
    const struct nsp_pkt *pkt = fate->pkt;
    uint64_t arrival_ns = pkt->arrival_ns - NSP_PCAPFILE_START_NS;

    if (fate->dropped)
        nsp_timeline_lose(timeline, pkt->device_ref, arrival_ns,
                          pkt->charged_bytes);
    else
        nsp_timeline_deliver(timeline, pkt->device_ref, arrival_ns,
                             fate->at_ns - NSP_PCAPFILE_START_NS,
                             pkt->charged_bytes);
}

void
nsp_simulate_take_fates(void *context, uint32_t worker,
                        const struct nsp_fate fates[], uint32_t count)
{
    struct nsp_simulate_notes *notes = context;
    uint64_t bytes = 0;

    (void)worker;
    for (uint32_t i = 0; i < count; i++) {
        bytes += RECORD_HEADER_BYTES + fates[i].pkt->cap_bytes;
        if (!fates[i].dropped) {
            notes->last_ns = fates[i].at_ns;
            if (notes->comments) {
                write_note(notes->notes[i], &fates[i]);
                fates[i].pkt->note = notes->notes[i];
            }
        } else if (notes->drops) {
            list_drop(notes, &fates[i]);
        }
        if (notes->timeline)
            note_time(notes->timeline, &fates[i]);
    }
    atomic_store_explicit(
        &notes->pkts,
        atomic_load_explicit(&notes->pkts, memory_order_relaxed) + count,
        memory_order_relaxed);
    atomic_store_explicit(
        &notes->bytes,
        atomic_load_explicit(&notes->bytes, memory_order_relaxed) + bytes,
        memory_order_relaxed);
}
