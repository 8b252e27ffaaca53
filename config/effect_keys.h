#ifndef NSP_CONFIG_EFFECT_KEYS_H
#define NSP_CONFIG_EFFECT_KEYS_H
#include <stddef.h>

#include "config/keys.h"
#include "config/values.h"
#include "netshaper/policy.h"

/* Rows of tables of keys that several mappings have. 'owner' is the struct,
 * with members 'link' and 'effects'. */

#define NSP_MEMBER(type, member)                                               \
    .offset = (uint16_t)offsetof(struct type, member)
#define NSP_PERCENT  .type = &nsp_value_percent, .min = 0, .max = NSP_PPM_ONE
#define NSP_LIST_MAX 100000u

extern const struct nsp_word nsp_queue_drop_words[];

#define NSP_RATE_KEY(owner, needed)                                            \
    {                                                                          \
        "rate", NSP_MEMBER(owner, link.rate),                                  \
            .type = &nsp_value_rate, .map = &nsp_rate_map,                     \
            .is_needed = needed,                                               \
            .otherwise = needed ? "write 'rate: 5mbit'" : "none",              \
            .argument = "RATE",                                                \
            .doc = "Rate at which packets go on: a rate, or a mapping"         \
    }
#define NSP_QUEUE_KEY(owner)                                                   \
    {                                                                          \
        "queue", NSP_MEMBER(owner, link.queue),                                \
            .type = &nsp_value_queue,                                          \
            .otherwise = "100ms, and room for 16 packets at least",            \
            .argument = "LIMIT",                                               \
            .doc = "Room for packets that wait for the rate"                   \
    }
#define NSP_QUEUE_DROP_KEY(owner)                                              \
    {                                                                          \
        "queue-drop", NSP_MEMBER(owner, link.queue_drop),                      \
            .type = &nsp_value_word, .words = nsp_queue_drop_words,            \
            .fallback = "tail", .argument = "END",                             \
            .doc = "Which packet is dropped when there is no room: the "       \
                   "arriving, or the one that has waited longest"              \
    }
#define NSP_OVERHEAD_KEY(owner)                                                \
    {                                                                          \
        "overhead", NSP_MEMBER(owner, link.overhead_bytes),                    \
            .type = &nsp_value_signed, .min = -(NSP_OVERHEAD_MIN),             \
            .max = NSP_OVERHEAD_MAX, .fallback = "0", .argument = "BYTES",     \
            .doc = "Bytes charged on top of each IP packet; 38 is Ethernet "   \
                   "on the wire"                                               \
    }
#define NSP_LINK_KEYS(owner, needed)                                           \
    NSP_RATE_KEY(owner, needed), NSP_QUEUE_KEY(owner),                         \
        NSP_QUEUE_DROP_KEY(owner), NSP_OVERHEAD_KEY(owner)

/* An effect: one value, or a mapping. */
#define NSP_EFFECT_KEY(owner, key, member, scalar, mapping, word, text)        \
    {                                                                          \
        key, NSP_MEMBER(owner, effects.member),                                \
            .type = &(scalar), .map = &(mapping), .otherwise = "none",         \
            .argument = word, .doc = text                                      \
    }
#define NSP_EFFECT_KEYS(owner)                                                 \
    NSP_EFFECT_KEY(owner, "delay", delay, nsp_value_time, nsp_delay_map,       \
                   "TIME", "Delay of every packet: a time, or a mapping"),     \
        NSP_EFFECT_KEY(owner, "jitter", jitter, nsp_value_time,                \
                       nsp_jitter_map, "TIME",                                 \
                       "How delays differ: a time, or a mapping"),             \
        NSP_EFFECT_KEY(owner, "ack-delay", ack_delay, nsp_value_time,          \
                       nsp_ack_delay_map, "TIME",                              \
                       "Delay of TCP segments that only acknowledge, added "   \
                       "to 'delay': a time, or a mapping"),                    \
        NSP_EFFECT_KEY(owner, "out-of-order", reorder, nsp_value_time,         \
                       nsp_reorder_map, "TIME",                                \
                       "Packets that others overtake: a time of which each "   \
                       "is late by some part, or a mapping"),                  \
        NSP_EFFECT_KEY(owner, "burst", windows, nsp_value_time,                \
                       nsp_windows_map, "TIME",                                \
                       "Packets wait and leave together: an interval, or a "   \
                       "mapping"),                                             \
        NSP_EFFECT_KEY(owner, "loss", loss, nsp_value_percent, nsp_loss_map,   \
                       "SHARE", "Loss of packets: a share, or a mapping"),     \
        { "loss-pattern",                                                      \
          NSP_MEMBER(owner, effects.loss_pattern),                             \
          .type = &nsp_value_bits,                                             \
          .otherwise = "none",                                                 \
          .argument = "BITS",                                                  \
          .doc = "What becomes of each packet, 1 lost, over and over; short "  \
                 "for a 'loss' of the model *pattern*" },                      \
        NSP_EFFECT_KEY(owner, "syn-drop", syn_loss, nsp_value_percent,         \
                       nsp_loss_map, "SHARE",                                  \
                       "Loss of TCP segments that open a connection: a "       \
                       "share, or a mapping as of 'loss'"),                    \
        NSP_EFFECT_KEY(owner, "duplicate", duplicate, nsp_value_percent,       \
                       nsp_duplicate_map, "SHARE",                             \
                       "Copies of packets: a share, or a mapping"),            \
        NSP_EFFECT_KEY(owner, "tamper", tamper, nsp_value_percent,             \
                       nsp_tamper_map, "SHARE",                                \
                       "Damage to packets: a share in which one bit of the "   \
                       "payload is flipped, or a mapping"),                    \
        NSP_EFFECT_KEY(owner, "throttle", throttle, nsp_value_number,          \
                       nsp_throttle_map, "PACKETS",                            \
                       "A limit of packets in time: a number for each "        \
                       "second, or a mapping"),                                \
        NSP_EFFECT_KEY(owner, "mtu-clamp", mtu, nsp_value_number, nsp_mtu_map, \
                       "BYTES",                                                \
                       "Greatest packet that fits: bytes from the IP header "  \
                       "on, or a mapping"),                                    \
        NSP_EFFECT_KEY(owner, "window-clamp", tcp_window, nsp_value_number,    \
                       nsp_tcp_window_map, "BYTES",                            \
                       "Greatest window that TCP segments announce: bytes, "   \
                       "or a mapping"),                                        \
        NSP_EFFECT_KEY(owner, "tcp-rst", tcp_reset, nsp_value_percent,         \
                       nsp_tcp_reset_map, "SHARE",                             \
                       "TCP connections that are broken off: the share of "    \
                       "segments that do it, or a mapping"),                   \
        { "flap",                                                              \
          NSP_MEMBER(owner, effects.flap),                                     \
          .map = &nsp_flap_map,                                                \
          .otherwise = "always up",                                            \
          .argument = "TIMES",                                                 \
          .doc = "A link that goes down and comes up again" },                 \
    {                                                                          \
        "cutoff", NSP_MEMBER(owner, effects.cutoff),                           \
            .map = &nsp_cutoff_map, .otherwise = "none", .argument = "BYTES",  \
            .doc = "Traffic that stalls or breaks off after bytes or a time"   \
    }

/* Other names that these keys go by. */
extern const struct nsp_alias nsp_effect_aliases[];

#endif /* NSP_CONFIG_EFFECT_KEYS_H */
