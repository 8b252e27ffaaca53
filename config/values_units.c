/* What has a unit. */
#include <inttypes.h>
#include <string.h>

#include "config/number.h"
#include "config/units.h"
#include "config/values.h"
#include "netshaper/policy.h"

struct scale {
    const char *unit;
    uint64_t factor;
};

static const struct scale time_scale[] = {
    { "ns", 1 },
    { "us", UINT64_C(1000) },
    { "ms", UINT64_C(1000000) },
    { "s", UINT64_C(1000000000) },
    { "min", UINT64_C(60000000000) },
    { "h", UINT64_C(3600000000000) },
    { NULL, 0 },
};

static const struct scale rate_scale[] = {
    { "bit", 1 },
    { "kbit", UINT64_C(1000) },
    { "mbit", UINT64_C(1000000) },
    { "gbit", UINT64_C(1000000000) },
    { "tbit", UINT64_C(1000000000000) },
    { NULL, 0 },
};

static const struct scale size_scale[] = {
    { "b", 1 },
    { "kb", UINT64_C(1) << 10 },
    { "mb", UINT64_C(1) << 20 },
    { "gb", UINT64_C(1) << 30 },
    { NULL, 0 },
};

/* In the largest unit that takes no fraction: nothing is rounded. */
static void
print_exact(char *ret, size_t bytes, const struct scale *scale, uint64_t value)
{
    const struct scale *best = scale;

    for (; scale->unit && value > 0; scale++)
        if (value % scale->factor == 0)
            best = scale;
    snprintf(ret, bytes, "%" PRIu64 "%s", value / best->factor, best->unit);
}

static void
write_exact(FILE *to, const struct scale *scale, uint64_t value)
{
    char text[32];

    print_exact(text, sizeof text, scale, value);
    fputs(text, to);
}

/* Passes on what a reader of units said. */
static bool
complain(struct nsp_key_reader *r, const struct nsp_key *key,
         const struct nsp_yaml_node *node, const struct nsp_diag *diag)
{
    nsp_keys_complain(r, node, diag->offset, diag->category, diag->hint,
                      "'%s': %s", key->name, diag->text);
    return false;
}

static bool
in_range(struct nsp_key_reader *r, const struct nsp_key *key,
         const struct nsp_yaml_node *node, const struct scale *scale,
         uint64_t value)
{
    char low[32], high[32], hint[96];

    if (value >= key->min && value <= key->max)
        return true;
    print_exact(low, sizeof low, scale, key->min);
    print_exact(high, sizeof high, scale, key->max);
    snprintf(hint, sizeof hint, "from %s to %s", low, high);
    nsp_keys_complain(r, node, 0, "out-of-range", hint, "'%s' cannot be %.64s",
                      key->name, node->text);
    return false;
}

/* --- Times and rates -------------------------------------------------------
 */

static bool
read_time(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, void *ret)
{
    struct nsp_diag diag = { .result = NSP_OK };
    uint64_t ns = 0;

    if (nsp_units_read_time(node->text, &ns, &diag) != NSP_OK)
        return complain(r, key, node, &diag);
    if (!in_range(r, key, node, time_scale, ns))
        return false;
    *(uint64_t *)ret = ns;
    return true;
}

static void
write_time(FILE *to, const struct nsp_key *key, const void *value)
{
    (void)key;
    write_exact(to, time_scale, *(const uint64_t *)value);
}

const struct nsp_value_type nsp_value_time = {
    .name = "a time",
    .syntax = "a number and ns, us, ms, s, min or h: 40ms",
    .schema = "\"type\": [\"string\", \"integer\"], "
              "\"pattern\": \"^[0-9.]+ *[A-Za-z]*$\"",
    .bytes = sizeof(uint64_t),
    .read = read_time,
    .write = write_time,
};

static bool
read_rate(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, void *ret)
{
    struct nsp_diag diag = { .result = NSP_OK };
    uint64_t bitps = 0;

    if (nsp_units_read_rate(node->text, &bitps, &diag) != NSP_OK)
        return complain(r, key, node, &diag);
    if (!in_range(r, key, node, rate_scale, bitps))
        return false;
    *(uint64_t *)ret = bitps;
    return true;
}

static void
write_rate(FILE *to, const struct nsp_key *key, const void *value)
{
    (void)key;
    write_exact(to, rate_scale, *(const uint64_t *)value);
}

const struct nsp_value_type nsp_value_rate = {
    .name = "a rate",
    .syntax = "a number and bit, kbit, mbit or gbit, or kBps, MBps: 5mbit",
    .schema = "\"type\": \"string\", "
              "\"pattern\": \"^[0-9.]+ *[A-Za-z/]+$\"",
    .bytes = sizeof(uint64_t),
    .read = read_rate,
    .write = write_rate,
};

/* --- Shares and bursts ------------------------------------------------------
 */

static bool
read_percent(struct nsp_key_reader *r, const struct nsp_key *key,
             const struct nsp_yaml_node *node, void *ret)
{
    struct nsp_diag diag = { .result = NSP_OK };
    uint32_t ppm = 0;

    if (nsp_units_read_percent(node->text, &ppm, &diag) != NSP_OK)
        return complain(r, key, node, &diag);
    if (ppm < key->min || ppm > key->max) {
        nsp_keys_complain(r, node, 0, "out-of-range",
                          key->max < NSP_PPM_ONE ? "write less than 100%"
                                                 : "write more than 0%",
                          "'%s' cannot be %.64s", key->name, node->text);
        return false;
    }
    *(uint64_t *)ret = ppm;
    return true;
}

/* Thousandths or parts per million, without needless zeros. */
static void
write_fraction(FILE *to, uint64_t value, uint64_t one, const char *unit)
{
    uint64_t fraction = value % one;
    int digits = 0;

    for (uint64_t o = one; o > 1; o /= 10)
        digits++;
    for (; digits > 0 && fraction % 10 == 0; digits--)
        fraction /= 10;
    fprintf(to, "%" PRIu64, value / one);
    if (digits > 0)
        fprintf(to, ".%0*" PRIu64, digits, fraction);
    fputs(unit, to);
}

static void
write_percent(FILE *to, const struct nsp_key *key, const void *value)
{
    (void)key;
    write_fraction(to, *(const uint64_t *)value, 10000, "%");
}

const struct nsp_value_type nsp_value_percent = {
    .name = "a percentage",
    .syntax = "a number and %, to 0.0001 %: 1.5%",
    .schema = "\"type\": [\"string\", \"integer\"], "
              "\"pattern\": \"^[0-9.]+ *%?$\"",
    .bytes = sizeof(uint64_t),
    .read = read_percent,
    .write = write_percent,
};

static bool
read_burst(struct nsp_key_reader *r, const struct nsp_key *key,
           const struct nsp_yaml_node *node, void *ret)
{
    const char *text = node->text;
    uint64_t whole = 0, milli = 0, power = 1000;
    size_t at = nsp_number_read(text, &whole);

    if (at > 0 && text[at] == '.' && text[at + 1] != '\0')
        for (at++; text[at] >= '0' && text[at] <= '9' && power > 1; at++) {
            power /= 10;
            milli += (uint64_t)(text[at] - '0') * power;
        }
    if (at == 0 || text[at] != '\0' || whole > key->max / 1000 ||
        whole * 1000 + milli < key->min || whole * 1000 + milli > key->max) {
        nsp_keys_complain(r, node, 0, "bad-value",
                          "a mean number of packets from 1 to 1000000, to "
                          "three digits after the point",
                          "'%s' cannot be '%.64s'", key->name, text);
        return false;
    }
    *(uint64_t *)ret = whole * 1000 + milli;
    return true;
}

static void
write_burst(FILE *to, const struct nsp_key *key, const void *value)
{
    (void)key;
    write_fraction(to, *(const uint64_t *)value, 1000, "");
}

const struct nsp_value_type nsp_value_burst = {
    .name = "a number of packets",
    .syntax = "a number, to three digits after the point: 3 or 2.5",
    .schema = "\"type\": \"number\", \"minimum\": 1, \"maximum\": 1000000",
    .bytes = sizeof(uint64_t),
    .read = read_burst,
    .write = write_burst,
};

/* --- Queues -----------------------------------------------------------------
 */

static bool
read_queue(struct nsp_key_reader *r, const struct nsp_key *key,
           const struct nsp_yaml_node *node, void *ret)
{
    struct nsp_quantity *queue = ret;
    struct nsp_diag diag = { .result = NSP_OK };
    uint64_t limit = 0;
    uint8_t unit = 0;

    if (nsp_units_read_queue(node->text, &limit, &unit, &diag) != NSP_OK)
        return complain(r, key, node, &diag);
    *queue = (struct nsp_quantity){ .value = limit, .unit = unit };
    return true;
}

static void
write_queue(FILE *to, const struct nsp_key *key, const void *value)
{
    const struct nsp_quantity *queue = value;

    (void)key;
    if (queue->unit == NSP_QUEUE_PKTS)
        fprintf(to, "%" PRIu64 "p", queue->value);
    else
        write_exact(to, queue->unit == NSP_QUEUE_NS ? time_scale : size_scale,
                    queue->value);
}

const struct nsp_value_type nsp_value_queue = {
    .name = "a queue",
    .syntax = "a time at the rate (50ms), bytes (64kb) or packets (100p)",
    .schema = "\"type\": \"string\"",
    .bytes = sizeof(struct nsp_quantity),
    .read = read_queue,
    .write = write_queue,
};

static bool
read_size(struct nsp_key_reader *r, const struct nsp_key *key,
          const struct nsp_yaml_node *node, void *ret)
{
    struct nsp_diag diag = { .result = NSP_OK };
    uint64_t bytes = 0;

    if (nsp_units_read_bytes(node->text, &bytes, &diag) != NSP_OK)
        return complain(r, key, node, &diag);
    if (!in_range(r, key, node, size_scale, bytes))
        return false;
    *(uint64_t *)ret = bytes;
    return true;
}

static void
write_size(FILE *to, const struct nsp_key *key, const void *value)
{
    (void)key;
    write_exact(to, size_scale, *(const uint64_t *)value);
}

const struct nsp_value_type nsp_value_size = {
    .name = "a size",
    .syntax = "a number and b, kb, mb or gb (powers of 1024): 64kb",
    .schema = "\"type\": \"string\", "
              "\"pattern\": \"^[0-9.]+ *[A-Za-z]+$\"",
    .bytes = sizeof(uint64_t),
    .read = read_size,
    .write = write_size,
};

/* --- Limits -----------------------------------------------------------------
 */

static bool
ends_in(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);

    return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

static bool
read_pps(struct nsp_key_reader *r, const struct nsp_key *key,
         const struct nsp_yaml_node *node, struct nsp_quantity *ret)
{
    uint64_t value = 0;
    size_t bytes = nsp_number_read(node->text, &value);

    if (bytes == 0 || strcmp(node->text + bytes, "pps") != 0 || value < 1 ||
        value > NSP_RATE_BITPS_MAX) {
        nsp_keys_complain(r, node, bytes, "bad-value",
                          "write a whole number of packets: 100pps",
                          "'%s' cannot be '%.64s'", key->name, node->text);
        return false;
    }
    *ret = (struct nsp_quantity){ .value = value, .unit = NSP_LIMIT_PPS };
    return true;
}

static bool
read_limit_rate(struct nsp_key_reader *r, const struct nsp_key *key,
                const struct nsp_yaml_node *node, void *ret)
{
    struct nsp_quantity *rate = ret;
    uint64_t bitps = 0;

    if (ends_in(node->text, "pps"))
        return read_pps(r, key, node, rate);
    if (!read_rate(r, key, node, &bitps))
        return false;
    *rate = (struct nsp_quantity){ .value = bitps, .unit = NSP_LIMIT_BITPS };
    return true;
}

static void
write_limit_rate(FILE *to, const struct nsp_key *key, const void *value)
{
    const struct nsp_quantity *rate = value;

    (void)key;
    if (rate->unit == NSP_LIMIT_PPS)
        fprintf(to, "%" PRIu64 "pps", rate->value);
    else
        write_exact(to, rate_scale, rate->value);
}

const struct nsp_value_type nsp_value_limit_rate = {
    .name = "a rate",
    .syntax = "as a rate (10mbit), or packets a second (100pps)",
    .schema = "\"type\": \"string\"",
    .bytes = sizeof(struct nsp_quantity),
    .read = read_limit_rate,
    .write = write_limit_rate,
};

static bool
read_limit_burst(struct nsp_key_reader *r, const struct nsp_key *key,
                 const struct nsp_yaml_node *node, void *ret)
{
    struct nsp_quantity *burst = ret;
    struct nsp_diag diag = { .result = NSP_OK };
    uint64_t value = 0;
    uint8_t unit = 0;

    if (nsp_units_read_queue(node->text, &value, &unit, &diag) != NSP_OK ||
        unit == NSP_QUEUE_NS || value > NSP_LIMIT_BURST_MAX) {
        nsp_keys_complain(r, node, 0, "bad-value",
                          "write bytes (64kb) or packets (100p)",
                          "'%s' cannot be '%.64s'", key->name, node->text);
        return false;
    }
    *burst = (struct nsp_quantity){
        .value = value,
        .unit = unit == NSP_QUEUE_PKTS ? NSP_LIMIT_PPS : NSP_LIMIT_BITPS,
    };
    return true;
}

static void
write_limit_burst(FILE *to, const struct nsp_key *key, const void *value)
{
    const struct nsp_quantity *burst = value;

    (void)key;
    if (burst->unit == NSP_LIMIT_PPS)
        fprintf(to, "%" PRIu64 "p", burst->value);
    else
        write_exact(to, size_scale, burst->value);
}

const struct nsp_value_type nsp_value_limit_burst = {
    .name = "a burst",
    .syntax = "bytes (64kb) or packets (100p), as the rate has it",
    .schema = "\"type\": \"string\"",
    .bytes = sizeof(struct nsp_quantity),
    .read = read_limit_burst,
    .write = write_limit_burst,
};
