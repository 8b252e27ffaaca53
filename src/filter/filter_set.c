#include "filter/filter_set.h"

#include <errno.h>
#include <string.h>

#include "base/diag.h"
#include "filter/ranges.h"

bool
nsp_filter_set_is_name_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

/* Returns its length, or 0 for what is no name. */
static size_t
measure_name(const char *name)
{
    size_t bytes = 0;

    while (bytes < NSP_FILTER_SET_NAME_MAX &&
           nsp_filter_set_is_name_char(name[bytes]))
        bytes++;
    return name[bytes] == '\0' ? bytes : 0;
}

/* Makes room for one range more than ports have: what is between them. */
static int
list_ports(struct nsp_filter_set *set, const struct nsp_allocator *allocator)
{
    uint32_t count = nsp_named_set_list_ports(set->values, NULL);

    if (set->values->kind != NSP_SET_PORTS || count > NSP_PORT_RANGES_MAX)
        return 0;
    set->ports.ranges =
        nsp_alloc(allocator, count, sizeof set->ports.ranges[0]);
    set->other_ports.ranges =
        nsp_alloc(allocator, count + 1, sizeof set->other_ports.ranges[0]);
    if (!set->ports.ranges || !set->other_ports.ranges)
        return -ENOMEM;
    set->ports.count = nsp_named_set_list_ports(set->values, set->ports.ranges);
    set->other_ports.count =
        nsp_ranges_complement(set->ports.ranges, count, nsp_u128(UINT16_MAX),
                              set->other_ports.ranges);
    return 0;
}

static void
destroy(struct nsp_filter_set *set, const struct nsp_allocator *allocator)
{
    nsp_named_set_destroy(set->values);
    nsp_release(allocator, set->ports.ranges);
    nsp_release(allocator, set->other_ports.ranges);
    nsp_release(allocator, set);
}

static int
fail_memory(struct nsp_diag *reterr)
{
    return nsp_diag_set(reterr, NSP_NO_MEMORY, NSP_OUT_OF_MEMORY, NULL,
                        "not enough memory for the set");
}

int
nsp_filter_set_read(const char *name, const char *text, size_t bytes,
                    const struct nsp_allocator *allocator,
                    struct nsp_filter_set **ret, struct nsp_diag *reterr)
{
    struct nsp_allocator memory = nsp_allocator_or_libc(allocator);
    size_t name_bytes = name ? measure_name(name) : 0;
    struct nsp_filter_set *set;
    int r;

    if (!text || !ret)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "invalid-parameter",
                            NULL, "no text of a set");
    if (name_bytes == 0)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-set-name",
                            "a name has 1 to 39 letters, digits, '_' and '-'",
                            "'%.60s' is no name for a set", name ? name : "");
    set = nsp_alloc(&memory, 1, sizeof *set);
    if (!set)
        return fail_memory(reterr);
    r = nsp_set_file_read(text, bytes, &memory, &set->values, reterr);
    if (r == NSP_OK && list_ports(set, &memory) < 0)
        r = fail_memory(reterr);
    if (r != NSP_OK) {
        destroy(set, &memory);
        return r;
    }
    atomic_init(&set->references, 1);
    set->name[0] = '@';
    memcpy(set->name + 1, name, name_bytes + 1);
    *ret = set;
    return NSP_OK;
}

struct nsp_filter_set *
nsp_filter_set_ref(struct nsp_filter_set *set)
{
    atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

struct nsp_filter_set *
nsp_filter_set_unref(struct nsp_filter_set *set)
{
    struct nsp_allocator memory;

    /* Whoever frees it must see the end of all uses. */
    if (!set || atomic_fetch_sub_explicit(&set->references, 1,
                                          memory_order_acq_rel) > 1)
        return NULL;
    memory = set->values->allocator;
    destroy(set, &memory);
    return NULL;
}

const char *
nsp_filter_set_name(const struct nsp_filter_set *set)
{
    return set->name + 1;
}

enum nsp_set_kind
nsp_filter_set_kind(const struct nsp_filter_set *set)
{
    return set->values->kind;
}

struct nsp_filter_set *
nsp_filter_set_find(const struct nsp_filter_options *options, const char *name,
                    size_t bytes)
{
    for (uint32_t i = 0; i < options->set_count; i++) {
        const char *own = nsp_filter_set_name(options->sets[i]);

        if (strncmp(own, name, bytes) == 0 && own[bytes] == '\0')
            return options->sets[i];
    }
    return NULL;
}

/* TCP and UDP headers begin with their ports. */
static bool
is_port(const struct nsp_field *field)
{
    return field->fetch == NSP_FETCH_LOCAL_PORT ||
           field->fetch == NSP_FETCH_REMOTE_PORT ||
           (field->fetch == NSP_FETCH_L4 && field->offset == 0 &&
            field->bits == 16 &&
            (field->arg == NSP_L4_TCP || field->arg == NSP_L4_UDP));
}

enum nsp_set_kind
nsp_filter_set_kind_of(const struct nsp_field *field)
{
    if (field->type == NSP_TYPE_IPV4 || field->type == NSP_TYPE_IPV6)
        return NSP_SET_ADDRESSES;
    return is_port(field) ? NSP_SET_PORTS : NSP_SET_EMPTY;
}

/* The first port from 'port' on that is in the set, or is not; else 65536. Full
 * and empty words are passed at once. */
static uint32_t
find_port(const struct nsp_named_set *values, uint32_t port, bool inside)
{
    uint64_t skipped = inside ? 0 : UINT64_MAX;

    while (port <= UINT16_MAX) {
        if (port % 64 == 0 && values->ports[port / 64] == skipped)
            port += 64;
        else if (nsp_named_set_has_port(values, (uint16_t)port) != inside)
            port++;
        else
            break;
    }
    return port;
}

uint32_t
nsp_named_set_list_ports(const struct nsp_named_set *values,
                         struct nsp_range ret[])
{
    uint32_t count = 0, port = find_port(values, 0, true);

    for (; port <= UINT16_MAX; port = find_port(values, port, true)) {
        uint32_t first = port;

        port = find_port(values, port, false);
        if (ret)
            ret[count] =
                (struct nsp_range){ nsp_u128(first), nsp_u128(port - 1) };
        count++;
    }
    return count;
}

/* --- Addresses ------------------------------------------------------------ */

/* Tells whether 'at' is in the set, and up to where all are, or all are not. */
static bool
run(const struct nsp_filter_set *set, bool ipv6, struct nsp_u128 at,
    struct nsp_u128 *ret_last)
{
    uint32_t last;
    bool inside;

    if (ipv6)
        return nsp_prefix_set_run_ipv6(set->values->addresses, at, ret_last);
    inside =
        nsp_prefix_set_run_ipv4(set->values->addresses, (uint32_t)at.lo, &last);
    *ret_last = nsp_u128(last);
    return inside;
}

/* Finds the first range of addresses from 'at' on. */
static bool
find_range(const struct nsp_filter_set *set, bool ipv6, struct nsp_u128 at,
           struct nsp_range *ret)
{
    struct nsp_u128 max = ipv6 ? NSP_U128_MAX : nsp_u128(UINT32_MAX), last;

    if (!set->values->addresses)
        return false;
    if (!run(set, ipv6, at, &last)) {
        if (nsp_u128_equal(last, max))
            return false;
        at = nsp_u128_add(last, nsp_u128(1));
        run(set, ipv6, at, &last);
    }
    *ret = (struct nsp_range){ at, last };
    return true;
}

void
nsp_filter_set_list_addresses(const struct nsp_filter_set *set, bool ipv6,
                              struct nsp_range ret[])
{
    struct nsp_u128 max = ipv6 ? NSP_U128_MAX : nsp_u128(UINT32_MAX);
    struct nsp_u128 at = { 0, 0 };

    for (; find_range(set, ipv6, at, ret); ret++) {
        if (nsp_u128_equal(ret->hi, max))
            return;
        at = nsp_u128_add(ret->hi, nsp_u128(1));
    }
}

/* --- Prefixes ------------------------------------------------------------- */

static struct nsp_u128
load(const struct nsp_filter_prefix *prefix, bool ipv6)
{
    const uint8_t *a = prefix->addr;

    if (!ipv6)
        return nsp_u128(nsp_load_be32(a));
    return (struct nsp_u128){
        (uint64_t)nsp_load_be32(a) << 32 | nsp_load_be32(a + 4),
        (uint64_t)nsp_load_be32(a + 8) << 32 | nsp_load_be32(a + 12),
    };
}

static void
store(struct nsp_u128 value, bool ipv6, struct nsp_filter_prefix *ret)
{
    memset(ret->addr, 0, sizeof ret->addr);
    if (!ipv6) {
        nsp_store_be32(ret->addr, (uint32_t)value.lo);
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        uint64_t half = i < 2 ? value.hi : value.lo;

        nsp_store_be32(ret->addr + 4 * i,
                       (uint32_t)(i % 2 == 0 ? half >> 32 : half));
    }
}

/* How many low bits a prefix that begins at 'lo' may leave open, to end at 'hi'
 * at the latest. */
static uint32_t
find_open_bits(struct nsp_u128 lo, struct nsp_u128 hi, uint32_t width)
{
    uint32_t open = 0;

    while (open < width) {
        struct nsp_u128 mask = nsp_prefix_open_bits(127 - open);

        if ((lo.hi & mask.hi) != 0 || (lo.lo & mask.lo) != 0 ||
            nsp_u128_less(hi, nsp_u128_add(lo, mask)))
            break;
        open++;
    }
    return open;
}

bool
nsp_filter_set_next_prefix(const struct nsp_filter_set *set, bool ipv6,
                           const struct nsp_filter_prefix *after,
                           struct nsp_filter_prefix *ret)
{
    uint32_t width = ipv6 ? 128 : 32;
    struct nsp_u128 max = ipv6 ? NSP_U128_MAX : nsp_u128(UINT32_MAX);
    struct nsp_u128 at = { 0, 0 };
    struct nsp_range range;

    if (after) {
        struct nsp_u128 open = nsp_prefix_open_bits(128 - width + after->bits);
        struct nsp_u128 last = nsp_u128_add(load(after, ipv6), open);

        if (nsp_u128_equal(last, max))
            return false;
        at = nsp_u128_add(last, nsp_u128(1));
    }
    if (!find_range(set, ipv6, at, &range))
        return false;
    store(range.lo, ipv6, ret);
    ret->bits = (uint8_t)(width - find_open_bits(range.lo, range.hi, width));
    return true;
}

uint32_t
nsp_filter_set_count_prefixes(const struct nsp_filter_set *set, bool ipv6)
{
    struct nsp_filter_prefix prefix;
    uint32_t count = 0;

    for (bool more = nsp_filter_set_next_prefix(set, ipv6, NULL, &prefix); more;
         more = nsp_filter_set_next_prefix(set, ipv6, &prefix, &prefix))
        count++;
    return count;
}
