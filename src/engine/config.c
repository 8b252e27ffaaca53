#include "engine/config.h"

#include <string.h>

#include "base/diag.h"
#include "io/registry.h"
#include "os/os.h"

#define HELD_PKTS_DEFAULT 65536u
#define HELD_PKTS_MIN     64u
#define HELD_PKTS_MAX     (1u << 20)

#define FLOWS_DEFAULT 65536u
#define FLOWS_MIN     16u
#define FLOWS_MAX     (1u << 24)

#define EVENT_RING_BYTES_MAX (1u << 30)

static int
out_of_memory(struct nsp_diag *reterr)
{
    return nsp_diag_set(reterr, NSP_NO_MEMORY, "out-of-memory", NULL,
                        "no memory for the engine's configuration");
}

/* Copies '*text' in place; NULL stays. */
static int
own_string(const struct nsp_allocator *allocator, const char **text)
{
    const char *from = *text;
    size_t bytes;
    char *copy;

    if (!from)
        return NSP_OK;
    *text = NULL;
    bytes = strlen(from) + 1;
    copy = nsp_alloc(allocator, bytes, 1);
    if (!copy)
        return NSP_NO_MEMORY;
    memcpy(copy, from, bytes);
    *text = copy;
    return NSP_OK;
}

static void
disown_string(const struct nsp_allocator *allocator, const char *text)
{
    nsp_release(allocator, (void *)(uintptr_t)text);
}

static int
own_interfaces(struct nsp_config *config)
{
    struct nsp_tap_config *tap = &config->user.tap;
    const char *const *from = tap->interfaces;
    const char **names;
    int result = NSP_OK;

    tap->interfaces = NULL;
    if (tap->interface_count == 0)
        return NSP_OK;
    names = nsp_alloc(&config->allocator, tap->interface_count, sizeof *names);
    if (!names)
        return NSP_NO_MEMORY;
    tap->interfaces = names;
    for (uint32_t i = 0; i < tap->interface_count && result == NSP_OK; i++) {
        const char *name = from[i];

        result = own_string(&config->allocator, &name);
        names[i] = name;
    }
    return result;
}

static void
disown_interfaces(struct nsp_config *config)
{
    const struct nsp_tap_config *tap = &config->user.tap;

    if (!tap->interfaces)
        return;
    for (uint32_t i = 0; i < tap->interface_count; i++)
        disown_string(&config->allocator, tap->interfaces[i]);
    nsp_release(&config->allocator, (void *)(uintptr_t)tap->interfaces);
}

static int
own_strings(struct nsp_config *config)
{
    const char **const strings[] = {
        &config->user.pcapfile.in_path,     &config->user.pcapfile.out_path,
        &config->user.sniff.interface,      &config->user.bridge.interfaces[0],
        &config->user.bridge.interfaces[1],
    };
    int result = NSP_OK;

    for (size_t i = 0; i < NSP_ARRAY_LEN(strings); i++) {
        if (result == NSP_OK)
            result = own_string(&config->allocator, strings[i]);
        else
            *strings[i] = NULL;
    }
    if (result == NSP_OK)
        return own_interfaces(config);
    config->user.tap.interfaces = NULL;
    return result;
}

/* The first function that a backend needs and 'ops' lacks, NULL if none. */
static const char *
missing_function(const struct nsp_io_ops *ops)
{
    bool virtual_time = (ops->caps & NSP_IO_VIRTUAL_TIME) != 0;
    const struct {
        const char *name;
        bool lacks;
    } needed[] = {
        { "name", !ops->name },
        { "open", !ops->open },
        { "close", !ops->close },
        { "rx_burst", !ops->rx_burst },
        { "tx_burst", !ops->tx_burst },
        { "drop_burst", !ops->drop_burst },
        { "quiesce", !ops->quiesce },
        { "read_stats", !ops->read_stats },
        { "status", !ops->status },
        { "wait", !virtual_time && !ops->wait },
        { "wake", !virtual_time && !ops->wake },
        { "next_rx_ns", virtual_time && !ops->next_rx_ns },
        { "inject", (ops->caps & NSP_IO_CAN_INJECT) != 0 && !ops->inject },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(needed); i++)
        if (needed[i].lacks)
            return needed[i].name;
    return NULL;
}

static int
check_custom(const struct nsp_io_ops *ops, struct nsp_diag *reterr)
{
    const char *missing;

    if (!ops)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "no-ops",
                            "set .custom.ops",
                            "the custom backend has no functions");
    missing = missing_function(ops);
    if (missing)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "no-ops",
                            "netshaper/io.h says what each is for",
                            "the custom backend lacks '%s'", missing);
    return NSP_OK;
}

static int
check_interfaces(const struct nsp_tap_config *tap, struct nsp_diag *reterr)
{
    if (tap->interface_count > 0 && !tap->interfaces)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "no-interface",
                            "set .tap.interfaces, or no count for all that are "
                            "up",
                            "%u interfaces without names",
                            tap->interface_count);
    for (uint32_t i = 0; i < tap->interface_count; i++)
        if (!tap->interfaces[i])
            return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "no-interface",
                                "name it", "tap.interfaces[%u] is NULL", i);
    return NSP_OK;
}

static int
check_backend(const struct nsp_engine_config *user, struct nsp_diag *reterr)
{
    if (!user->backend)
        return nsp_diag_set(
            reterr, NSP_INVALID_PARAMETER, "no-backend",
            "set .backend to \"host\", \"nfqueue\", "
            "\"tap\", \"bridge\", \"sniff\", \"pcapfile\", \"memory\" or "
            "\"custom\"",
            "no backend is named");
    if (strcmp(user->backend, "custom") == 0) {
        return check_custom(user->custom.ops, reterr);
    }
    if (!nsp_io_find(user->backend))
        return nsp_diag_set(
            reterr, NSP_INVALID_PARAMETER, "unknown-backend",
            "the backends are host, nfqueue, tap, bridge, sniff, pcapfile, "
            "memory and custom",
            "no backend is called \"%.40s\"", user->backend);
    if (strcmp(user->backend, "memory") == 0 && !user->memory)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "no-memory-device",
                            "set .memory to what nsp_memory_create() gave",
                            "the memory backend has no far side");
    if (strcmp(user->backend, "pcapfile") == 0 && !user->pcapfile.in_path)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "no-input",
                            "set .pcapfile.in_path",
                            "the pcapfile backend has no input file");
    if (strcmp(user->backend, "bridge") == 0 &&
        (!user->bridge.interfaces[0] || !user->bridge.interfaces[1]))
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "no-interface",
                            "set both of .bridge.interfaces",
                            "the bridge backend joins two interfaces");
    if (user->hooks > (NSP_HOOK_INPUT | NSP_HOOK_OUTPUT | NSP_HOOK_FORWARD))
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-hooks",
                            "add up values of enum nsp_hook", "hooks is %#x",
                            user->hooks);
    if (user->nfqueue.first_queue > UINT16_MAX)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-queue",
                            "queue numbers are 1 to 65535; 0 picks one",
                            "nfqueue.first_queue is %u",
                            user->nfqueue.first_queue);
    return check_interfaces(&user->tap, reterr);
}

/* Processors that this process may use now. */
static int
check_cpus(const struct nsp_engine_config *user, struct nsp_diag *reterr)
{
    struct nsp_thread_cpus usable = { { 0 } };
    int err;

    if (user->cpu_count > NSP_IO_QUEUES_MAX)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-cpus",
                            "name as many as there are workers",
                            "%u processors are more than %u", user->cpu_count,
                            NSP_IO_QUEUES_MAX);
    if (user->cpu_count == 0)
        return NSP_OK;
    err = nsp_thread_get_cpus(&usable);
    if (err < 0)
        return nsp_diag_set_errno(reterr, NSP_NOT_POSSIBLE, "no-cpus", -err,
                                  "name no processors",
                                  "the processors of this process");
    for (uint32_t i = 0; i < user->cpu_count; i++) {
        uint32_t cpu = user->cpus[i];

        if (cpu >= sizeof usable.bits * 8 ||
            (usable.bits[cpu / 64] >> cpu % 64 & 1) == 0)
            return nsp_diag_set(
                reterr, NSP_INVALID_PARAMETER, "bad-cpus",
                "choose among those that 'taskset -cp $$' names",
                "this process may not run on processor %u", cpu);
    }
    return NSP_OK;
}

static int
check_numbers(const struct nsp_engine_config *user, struct nsp_diag *reterr)
{
    if (user->workers > NSP_IO_QUEUES_MAX)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-workers",
                            "use fewer workers", "%u workers are more than %u",
                            user->workers, NSP_IO_QUEUES_MAX);
    if (user->max_held_pkts != 0 && (user->max_held_pkts < HELD_PKTS_MIN ||
                                     user->max_held_pkts > HELD_PKTS_MAX))
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-max-held",
                            "0 is 65536",
                            "max_held_pkts %u is outside %u to %u",
                            user->max_held_pkts, HELD_PKTS_MIN, HELD_PKTS_MAX);
    if (user->max_flows != 0 &&
        (user->max_flows < FLOWS_MIN || user->max_flows > FLOWS_MAX))
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-max-flows",
                            "0 is 65536", "max_flows %u is outside %u to %u",
                            user->max_flows, FLOWS_MIN, FLOWS_MAX);
    if (user->event_ring_bytes != 0 &&
        (user->event_ring_bytes < NSP_EVENT_RING_BYTES ||
         user->event_ring_bytes > EVENT_RING_BYTES_MAX ||
         (user->event_ring_bytes & (user->event_ring_bytes - 1)) != 0))
        return nsp_diag_set(
            reterr, NSP_INVALID_PARAMETER, "bad-event-ring", "0 is 1 MiB",
            "event_ring_bytes %u is no power of two from %u to "
            "%u",
            user->event_ring_bytes, NSP_EVENT_RING_BYTES, EVENT_RING_BYTES_MAX);
    return check_cpus(user, reterr);
}

const void *
nsp_config_device(const struct nsp_config *config)
{
    const struct nsp_engine_config *user = &config->user;

    if (config->custom)
        return user->custom.device;
    if (strcmp(user->backend, "memory") == 0)
        return user->memory;
    if (strcmp(user->backend, "pcapfile") == 0)
        return &user->pcapfile;
    if (strcmp(user->backend, "tap") == 0)
        return &user->tap;
    if (strcmp(user->backend, "sniff") == 0)
        return &user->sniff;
    if (config->is_host)
        return NULL; /* The plan says. */
    if (strcmp(user->backend, "bridge") == 0)
        return &user->bridge;
    return &user->nfqueue;
}

static void
fill_defaults(struct nsp_config *config, const struct nsp_engine_config *user)
{
    config->user = *user;
    config->allocator = nsp_allocator_or_libc(&user->allocator);
    config->tables =
        user->allocator.alloc ? config->allocator : *nsp_large_page_allocator();
    config->clock = user->clock;
    if (!config->clock.now_ns)
        config->clock.now_ns = nsp_os_monotonic_ns;
    if (config->user.workers == 0)
        config->user.workers = 1;
    if (config->user.max_held_pkts == 0)
        config->user.max_held_pkts = HELD_PKTS_DEFAULT;
    if (config->user.max_flows == 0)
        config->user.max_flows = FLOWS_DEFAULT;
    if (config->user.event_ring_bytes == 0)
        config->user.event_ring_bytes = NSP_EVENT_RING_BYTES;
    if (config->user.hooks == 0)
        config->user.hooks = strcmp(user->backend, "bridge") == 0
                                 ? NSP_HOOK_FORWARD
                                 : NSP_HOOK_INPUT | NSP_HOOK_OUTPUT;
}

static int
check_timer(const struct nsp_config *config, struct nsp_diag *reterr)
{
    if (!config->user.timer ||
        ((config->ops->caps & NSP_IO_VIRTUAL_TIME) != 0 &&
         config->user.workers == 1))
        return NSP_OK;
    return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "bad-timer",
                        "call nsp_engine_set_policy() from a thread of your "
                        "own",
                        "a timer needs virtual time and one worker");
}

int
nsp_config_init(struct nsp_config *config, const struct nsp_engine_config *user,
                struct nsp_diag *reterr)
{
    int result = check_backend(user, reterr);

    *config = (struct nsp_config){ 0 };
    if (result == NSP_OK)
        result = check_numbers(user, reterr);
    if (result != NSP_OK)
        return result;

    fill_defaults(config, user);
    if (own_strings(config) != NSP_OK) {
        nsp_config_fini(config);
        return out_of_memory(reterr);
    }
    config->custom = strcmp(user->backend, "custom") == 0;
    config->is_host = strcmp(user->backend, "host") == 0;
    config->device = nsp_config_device(config);
    config->ops = config->custom
                      ? user->custom.ops
                      : nsp_io_resolve(user->backend, config->device);
    config->user.backend = config->custom ? "custom" : config->ops->name;
    /* What they point at is the caller's. */
    config->user.policy = (struct nsp_policy_spec){ .rules = NULL };
    result = check_timer(config, reterr);
    if (result != NSP_OK)
        nsp_config_fini(config);
    return result;
}

void
nsp_config_fini(struct nsp_config *config)
{
    if (!config->allocator.release)
        return;
    disown_interfaces(config);
    disown_string(&config->allocator, config->user.pcapfile.in_path);
    disown_string(&config->allocator, config->user.pcapfile.out_path);
    disown_string(&config->allocator, config->user.sniff.interface);
    disown_string(&config->allocator, config->user.bridge.interfaces[0]);
    disown_string(&config->allocator, config->user.bridge.interfaces[1]);
    *config = (struct nsp_config){ 0 };
}
