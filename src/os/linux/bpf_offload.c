#define _GNU_SOURCE
#include <errno.h>
#include <unistd.h>

#include "os/linux/bpf_call.h"
#include "os/linux/bpf_offload_state.h"

/* --- Lifetime ------------------------------------------------------------- */

int
nsp_bpf_offload_create(enum nsp_ebpf_type type,
                       const struct nsp_offload_request *request,
                       const struct nsp_bpf_offload_maps *maps,
                       const struct nsp_allocator *allocator,
                       struct nsp_bpf_offload **ret)
{
    struct nsp_bpf_offload *offload;
    int err = -ENOMEM;

    assert(request->count <= NSP_OFFLOAD_RULES_MAX);
    offload = nsp_alloc(allocator, 1, sizeof *offload);
    if (!offload)
        return -ENOMEM;
    offload->allocator = *allocator;
    offload->type = type;
    offload->request = *request;
    offload->request.rules = offload->rules;
    offload->shared = *maps;
    offload->entries = request->count + 1 + request->flow_rules;
    for (uint32_t i = 0; i < request->count; i++)
        offload->rules[i] = request->rules[i];
    offload->insns = nsp_alloc(allocator, NSP_BPF_OFFLOAD_FILTER_INSNS_MAX,
                               sizeof offload->insns[0]);
    offload->counters_fd = nsp_bpf_percpu_array_create(
        "nsp_offload", sizeof(struct nsp_bpf_offload_entry), offload->entries);
    if (offload->insns && offload->counters_fd >= 0) {
        *ret = offload;
        return 0;
    }
    if (offload->insns)
        err = offload->counters_fd;
    nsp_bpf_offload_destroy(offload);
    return err;
}

struct nsp_bpf_offload *
nsp_bpf_offload_destroy(struct nsp_bpf_offload *offload)
{
    struct nsp_allocator allocator;

    if (!offload)
        return NULL;
    for (uint32_t i = 0; i < offload->maps.count; i++)
        close(offload->map_fds[i]);
    if (offload->counters_fd >= 0)
        close(offload->counters_fd);
    allocator = offload->allocator;
    nsp_release(&allocator, offload->insns);
    nsp_release(&allocator, offload);
    return NULL;
}

/* --- Filters -------------------------------------------------------------- */

/* The descriptor of the map that 'wanted' is like, made if need be. */
static int
get_map(struct nsp_bpf_offload *offload, const struct nsp_ebpf_map *wanted)
{
    struct nsp_ebpf_maps *maps = &offload->maps;
    int fd;

    for (uint32_t i = 0; i < maps->count; i++)
        if (maps->maps[i].set == wanted->set &&
            maps->maps[i].ipv6 == wanted->ipv6)
            return offload->map_fds[i];
    if (maps->count == NSP_EBPF_MAPS_MAX)
        return -E2BIG;
    fd = nsp_bpf_prefixes_create("nsp_set", wanted);
    if (fd < 0)
        return fd;
    maps->maps[maps->count] = *wanted;
    offload->map_fds[maps->count++] = fd;
    return fd;
}

static int
set_maps(struct nsp_bpf_offload *offload, const struct nsp_ebpf_maps *maps,
         struct nsp_ebpf_insn insns[], uint32_t count)
{
    int fds[NSP_EBPF_MAPS_MAX];

    for (uint32_t i = 0; i < maps->count; i++) {
        fds[i] = get_map(offload, &maps->maps[i]);
        if (fds[i] < 0)
            return fds[i];
    }
    if (maps->count > 0)
        nsp_ebpf_set_maps(insns, count, fds);
    return 0;
}

int
nsp_bpf_offload_prepare(struct nsp_bpf_offload *offload,
                        const struct nsp_site *site)
{
    uint32_t used = 0;

    offload->direction = (uint8_t)site->direction;
    offload->ifindex = site->ifindex;
    for (uint32_t i = 0; i < offload->request.count; i++) {
        const struct nsp_offload_rule *rule = &offload->rules[i];
        struct nsp_bpf_offload_function *f = &offload->functions[i];
        struct nsp_widened widened;
        struct nsp_ebpf_maps maps;
        int err;

        *f = (struct nsp_bpf_offload_function){ .start = used, .exact = true };
        if (!rule->filter || !nsp_bpf_offload_applies(offload, rule))
            continue;
        err = nsp_filter_emit_ebpf(rule->filter, offload->type, site,
                                   offload->insns + used,
                                   NSP_BPF_OFFLOAD_FILTER_INSNS_MAX - used,
                                   &f->count, &maps, &widened);
        f->failed = err < 0;
        if (f->failed)
            continue;
        f->exact = widened.exact;
        err = set_maps(offload, &maps, offload->insns + used, f->count);
        if (err < 0)
            return err;
        used += f->count;
    }
    return 0;
}

/* --- Counters ------------------------------------------------------------- */

/* Adds what one processor has counted. */
static void
add_counters(void *context, const void *value)
{
    const struct nsp_offload_counters one =
        ((const struct nsp_bpf_offload_entry *)value)->counters;
    struct nsp_offload_counters *all = context;

    all->hit_pkts += one.hit_pkts;
    all->hit_bytes += one.hit_bytes;
    all->last_hit_ns = nsp_max_u64(all->last_hit_ns, one.last_hit_ns);
    all->passed_pkts += one.passed_pkts;
    all->passed_bytes += one.passed_bytes;
    all->dropped_pkts += one.dropped_pkts;
    all->dropped_bytes += one.dropped_bytes;
    all->limited_pkts += one.limited_pkts;
    all->limited_bytes += one.limited_bytes;
}

int
nsp_bpf_offload_read(const struct nsp_bpf_offload *offload, uint32_t index,
                     struct nsp_offload_counters *ret)
{
    struct nsp_offload_counters all = { 0 };
    int err = nsp_bpf_percpu_array_read(offload->counters_fd, index,
                                        sizeof(struct nsp_bpf_offload_entry),
                                        add_counters, &all);

    if (err == 0)
        *ret = all;
    return err;
}

void
nsp_bpf_offload_read_all(const struct nsp_bpf_offload *offload,
                         struct nsp_offload_counters ret[])
{
    for (uint32_t i = 0; i < offload->entries; i++)
        if (nsp_bpf_offload_read(offload, i, &ret[i]) < 0)
            ret[i] = (struct nsp_offload_counters){ 0 };
}
