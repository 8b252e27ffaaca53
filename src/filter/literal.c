#include "filter/literal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GROUPS 8

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int
hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* value = value * 10 + digit; false on overflow. */
static bool
append_decimal(struct nsp_u128 *value, unsigned digit)
{
    uint64_t low = (value->lo & UINT32_MAX) * 10 + digit;
    uint64_t mid = (value->lo >> 32) * 10 + (low >> 32);

    if (value->hi > UINT64_MAX / 10)
        return false;
    value->lo = mid << 32 | (low & UINT32_MAX);
    value->hi *= 10;
    if (value->hi > UINT64_MAX - (mid >> 32))
        return false;
    value->hi += mid >> 32;
    return true;
}

bool
nsp_literal_parse_decimal(const char *word, size_t bytes, struct nsp_u128 *ret)
{
    struct nsp_u128 value = { 0, 0 };

    if (bytes == 0)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        if (!is_digit(word[i]) ||
            !append_decimal(&value, (unsigned)(word[i] - '0')))
            return false;
    }
    *ret = value;
    return true;
}

bool
nsp_literal_parse_time(const char *word, size_t bytes, struct nsp_u128 *ret)
{
    static const struct {
        const char *name;
        uint32_t ms;
    } units[] = {
        { "ms", 1 }, { "s", 1000 }, { "min", 60000 }, { "h", 3600000 }
    };
    size_t digits = 0;

    while (digits < bytes && is_digit(word[digits]))
        digits++;
    for (size_t i = 0; i < NSP_ARRAY_LEN(units); i++) {
        if (strlen(units[i].name) != bytes - digits ||
            memcmp(units[i].name, word + digits, bytes - digits) != 0)
            continue;
        if (!nsp_literal_parse_decimal(word, digits, ret) || ret->hi != 0 ||
            ret->lo > UINT64_MAX / units[i].ms)
            return false;
        ret->lo *= units[i].ms;
        return true;
    }
    return false;
}

/* The part after 0x; WinDivert takes none for zero. */
static bool
parse_hex(const char *word, size_t bytes, struct nsp_u128 *ret)
{
    struct nsp_u128 value = { 0, 0 };

    for (size_t i = 0; i < bytes; i++) {
        int digit = hex_value(word[i]);

        if (digit < 0 || value.hi >> 60 != 0)
            return false;
        value.hi = value.hi << 4 | value.lo >> 60;
        value.lo = value.lo << 4 | (uint64_t)digit;
    }
    *ret = value;
    return true;
}

/* Exactly four parts of 0..255. */
static bool
parse_ipv4(const char *word, size_t bytes, uint32_t *ret)
{
    uint32_t addr = 0;
    size_t i = 0;

    for (int part = 0; part < 4; part++) {
        uint32_t value = 0;
        size_t start = i;

        if (part > 0 && (i >= bytes || word[i] != '.'))
            return false;
        if (part > 0)
            start = ++i;
        for (; i < bytes && is_digit(word[i]) && value <= 255; i++)
            value = value * 10 + (uint32_t)(word[i] - '0');
        if (i == start || value > 255)
            return false;
        addr = addr << 8 | value;
    }
    if (i != bytes)
        return false;
    *ret = addr;
    return true;
}

struct ipv6_groups {
    uint16_t group[GROUPS];
    int count;
    int gap; /* Groups before '::', -1 without one. */
};

/* A dotted tail stands for the last two groups, where those before '::' leave
 * the high words zero and those after are none or ffff. */
static bool
append_tail(struct ipv6_groups *addr, const char *word, size_t bytes)
{
    uint32_t tail;

    if (addr->gap != 0 || addr->count > 2)
        return false;
    if (addr->count > 0 && addr->group[addr->count - 1] != 0xffff)
        return false;
    if (addr->count > 1 && addr->group[0] != 0)
        return false;
    if (!parse_ipv4(word, bytes, &tail))
        return false;
    addr->group[addr->count++] = (uint16_t)(tail >> 16);
    addr->group[addr->count++] = (uint16_t)tail;
    return true;
}

/* Reads one group at '*at' and moves '*at' past it. */
static bool
append_group(struct ipv6_groups *addr, const char *word, size_t bytes,
             size_t *at)
{
    uint32_t value = 0;
    size_t i = *at;
    int digit;

    for (; i < bytes && i - *at < 4 && (digit = hex_value(word[i])) >= 0; i++)
        value = value << 4 | (uint32_t)digit;
    if (i == *at || addr->count == GROUPS)
        return false;
    addr->group[addr->count++] = (uint16_t)value;
    *at = i;
    return true;
}

static bool
has_dot_before_colon(const char *word, size_t bytes)
{
    for (size_t i = 0; i < bytes && word[i] != ':'; i++) {
        if (word[i] == '.')
            return true;
    }
    return false;
}

static bool
scan_ipv6(const char *word, size_t bytes, struct ipv6_groups *addr)
{
    bool dotted = memchr(word, '.', bytes) != NULL;
    size_t i = 0;

    addr->count = 0;
    addr->gap = -1;
    while (i < bytes) {
        if (i + 1 < bytes && word[i] == ':' && word[i + 1] == ':') {
            if (addr->gap >= 0)
                return false;
            addr->gap = addr->count;
            i += 2;
            if (i == bytes)
                break;
        } else if (i > 0) {
            if (word[i] != ':')
                return false;
            i++;
        }
        if (dotted && has_dot_before_colon(word + i, bytes - i))
            return append_tail(addr, word + i, bytes - i);
        if (!append_group(addr, word, bytes, &i))
            return false;
    }
    return true;
}

static bool
parse_ipv6(const char *word, size_t bytes, struct nsp_u128 *ret)
{
    struct ipv6_groups addr;
    struct nsp_u128 value = { 0, 0 };
    int zeros;

    if (!scan_ipv6(word, bytes, &addr))
        return false;
    zeros = GROUPS - addr.count;
    if (addr.gap < 0 ? zeros != 0 : zeros < 1)
        return false;
    for (int i = 0; i < GROUPS; i++) {
        uint16_t group = 0;

        if (addr.gap < 0 || i < addr.gap)
            group = addr.group[i];
        else if (i >= addr.gap + zeros)
            group = addr.group[i - zeros];
        value.hi = value.hi << 16 | value.lo >> 48;
        value.lo = value.lo << 16 | group;
    }
    *ret = value;
    return true;
}

bool
nsp_literal_parse(const char *word, size_t bytes, struct nsp_u128 *ret)
{
    uint32_t ipv4;

    if (nsp_literal_parse_decimal(word, bytes, ret))
        return true;
    if (bytes >= 2 && word[0] == '0' && word[1] == 'x')
        return parse_hex(word + 2, bytes - 2, ret);
    if (parse_ipv4(word, bytes, &ipv4)) {
        *ret = nsp_u128(NSP_IPV4_FIRST | ipv4);
        return true;
    }
    return bytes > 0 && parse_ipv6(word, bytes, ret);
}

void
nsp_literal_print_number(struct nsp_u128 value, char ret[NSP_LITERAL_BYTES])
{
    if (value.hi == 0)
        snprintf(ret, NSP_LITERAL_BYTES, "%" PRIu64, value.lo);
    else
        snprintf(ret, NSP_LITERAL_BYTES, "0x%" PRIx64 "%016" PRIx64, value.hi,
                 value.lo);
}

static unsigned
group_of(struct nsp_u128 value, unsigned i)
{
    uint64_t half = i < 4 ? value.hi : value.lo;

    return (unsigned)(half >> (16 * (3 - i % 4)) & 0xffff);
}

/* Start and length of the first longest run of at least two zero groups. */
static void
find_zero_run(struct nsp_u128 value, unsigned *ret_start, unsigned *ret_length)
{
    *ret_start = GROUPS;
    *ret_length = 1;
    for (unsigned i = 0; i < GROUPS; i++) {
        unsigned end = i;

        while (end < GROUPS && group_of(value, end) == 0)
            end++;
        if (end - i > *ret_length) {
            *ret_start = i;
            *ret_length = end - i;
        }
    }
}

void
nsp_literal_print_address(struct nsp_u128 value, char ret[NSP_LITERAL_BYTES])
{
    size_t used = 0;
    unsigned run, run_length;

    if (value.hi == 0 && value.lo >> 32 == NSP_IPV4_FIRST >> 32) {
        snprintf(ret, NSP_LITERAL_BYTES, "%u.%u.%u.%u",
                 (unsigned)(value.lo >> 24 & 255),
                 (unsigned)(value.lo >> 16 & 255),
                 (unsigned)(value.lo >> 8 & 255), (unsigned)(value.lo & 255));
        return;
    }
    find_zero_run(value, &run, &run_length);
    for (unsigned i = 0; i < GROUPS; i++) {
        if (i == run) {
            used +=
                (size_t)snprintf(ret + used, NSP_LITERAL_BYTES - used, "::");
            i += run_length - 1;
            continue;
        }
        used += (size_t)snprintf(ret + used, NSP_LITERAL_BYTES - used, "%s%x",
                                 i == 0 || i == run + run_length ? "" : ":",
                                 group_of(value, i));
    }
}

bool
nsp_literal_parse_mac(const char *word, size_t bytes, struct nsp_u128 *ret)
{
    uint64_t mac = 0;
    size_t i = 0;

    for (int group = 0; group < 6; group++) {
        unsigned digits = 0, value = 0;

        if (group > 0 && (i >= bytes || word[i++] != ':'))
            return false;
        for (; i < bytes && digits < 2 && hex_value(word[i]) >= 0; digits++)
            value = value << 4 | (unsigned)hex_value(word[i++]);
        if (digits == 0)
            return false;
        mac = mac << 8 | value;
    }
    if (i != bytes)
        return false;
    *ret = nsp_u128(mac);
    return true;
}

void
nsp_literal_print_mac(struct nsp_u128 value, char ret[NSP_LITERAL_BYTES])
{
    snprintf(
        ret, NSP_LITERAL_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x",
        (unsigned)(value.lo >> 40 & 0xff), (unsigned)(value.lo >> 32 & 0xff),
        (unsigned)(value.lo >> 24 & 0xff), (unsigned)(value.lo >> 16 & 0xff),
        (unsigned)(value.lo >> 8 & 0xff), (unsigned)(value.lo & 0xff));
}
