#define _GNU_SOURCE
#include <errno.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/log.h"
#include "io/device.h"
#include "io/tap/tap_device.h"
#include "io/tap/tap_probe.h"
#include "os/linux/bpf_call.h"

/* --- Errors for humans ---------------------------------------------------- */

int
nsp_tap_fail(struct nsp_diag *reterr, int err, const char *step)
{
    static const struct nsp_device_words words = {
        .category = "tap",
        .purpose = "attach programs to interfaces",
        .privilege = NSP_TAP_PRIVILEGE_CURE,
    };

    return nsp_device_fail(&words, err, step, reterr);
}

static int
fail_program(struct nsp_diag *reterr, int err, const char *what)
{
    if (err == -ENOSYS || err == -EINVAL)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature",
                            "it needs Linux 5.10 or later with "
                            "CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_ACT",
                            "the kernel refuses %s", what);
    if (err == -ENOENT || err == -EOPNOTSUPP)
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature",
                            "it needs CONFIG_NET_SCH_INGRESS and "
                            "CONFIG_NET_CLS_BPF",
                            "the kernel has no clsact for %s", what);
    return nsp_tap_fail(reterr, err, what);
}

/* --- At the TAP ----------------------------------------------------------- */

/* Attaches 'program_fd' and closes it. */
static int
attach_program(struct nsp_io *io, struct nsp_tc_hook *hook, int program_fd,
               uint32_t ifindex, bool ingress)
{
    int err = nsp_tc_hook_attach(hook, io->method, program_fd, ifindex, ingress,
                                 io->link.ifindex);

    close(program_fd);
    return err;
}

static int
load_return(struct nsp_io *io, struct nsp_diag *reterr)
{
    int fd;

    io->places_fd =
        nsp_bpf_array_create("nsp_tap_places", sizeof(struct nsp_tap_place),
                             NSP_TAP_INTERFACES_MAX, false);
    if (io->places_fd < 0)
        return fail_program(reterr, io->places_fd, "an eBPF map");
    fd = nsp_tap_load_return(io->places_fd, NULL, 0);
    return fd < 0 ? fail_program(reterr, fd, "the program that returns packets")
                  : fd;
}

/* What works here works everywhere. What fails closed has to outlive the
 * process, which links do not: they go with its descriptors, however it ends,
 * and everything would pass. */
static int
attach_return(struct nsp_io *io, uint8_t attach, struct nsp_diag *reterr)
{
    int fd, err;

    io->method = attach == NSP_TAP_ATTACH_CLSACT || io->fail_closed
                     ? NSP_TC_CLSACT
                     : NSP_TC_TCX;
    fd = load_return(io, reterr);
    if (fd < 0)
        return fd;
    err = nsp_tc_hook_attach(&io->back, io->method, fd, io->link.ifindex, true,
                             io->link.ifindex);
    if (err == -EINVAL && attach == NSP_TAP_ATTACH_AUTO && !io->fail_closed) {
        io->method = NSP_TC_CLSACT;
        err = nsp_tc_hook_attach(&io->back, io->method, fd, io->link.ifindex,
                                 true, io->link.ifindex);
    }
    close(fd);
    return err < 0 ? fail_program(reterr, err, "a program at the TAP") : NSP_OK;
}

/* --- At interfaces -------------------------------------------------------- */

static uint32_t
hook_at(uint32_t slot, bool ingress)
{
    return 2 * slot + ingress;
}

struct nsp_tap_divert
nsp_tap_divert_at(const struct nsp_io *io, uint32_t hook)
{
    const struct nsp_tap_interface *interface = &io->interfaces[hook / 2];
    struct nsp_tap_divert divert = io->divert;

    divert.ifindex = interface->ifindex;
    divert.loopback = interface->loopback;
    divert.slot = hook / 2;
    divert.ingress = hook % 2 == 1;
    return divert;
}

static int
fail_taken(struct nsp_diag *reterr, const char *name)
{
    return nsp_diag_set(reterr, NSP_OPEN_FAILED, "interface-taken",
                        "end the other one first, or name other interfaces",
                        "another engine takes packets at interface %s", name);
}

/* Another engine at the same interface would take what this one has sent, and
 * this one what the other has, for ever. */
static int
refuse_taken(const struct nsp_tap_interface *interface, struct nsp_diag *reterr)
{
    if (nsp_bpf_tcx_find(interface->ifindex, NSP_BPF_TCX_EGRESS,
                         NSP_TAP_PROGRAM_PREFIX) > 0 ||
        nsp_bpf_tcx_find(interface->ifindex, NSP_BPF_TCX_INGRESS,
                         NSP_TAP_PROGRAM_PREFIX) > 0 ||
        nsp_tc_hook_is_taken(interface->ifindex))
        return fail_taken(reterr, interface->name);
    return NSP_OK;
}

static bool
diverts_at(const struct nsp_io *io, const struct nsp_tap_interface *interface,
           bool ingress)
{
    if (!ingress)
        return (io->hooks_taken & NSP_HOOK_OUTPUT) != 0;
    return (io->hooks_taken & NSP_HOOK_INPUT) != 0 &&
           !(interface->loopback && io->skip_loopback_input);
}

static int
attach_side(struct nsp_io *io, uint32_t hook, struct nsp_diag *reterr)
{
    struct nsp_tap_divert divert = nsp_tap_divert_at(io, hook);
    int fd = nsp_tap_load_divert(&divert, &io->allocator, NULL, 0);
    int err;

    if (fd < 0 && divert.offload) { /* The engine then decides it all. */
        divert.offload = NULL;
        fd = nsp_tap_load_divert(&divert, &io->allocator, NULL, 0);
    }
    if (fd < 0)
        return fail_program(reterr, fd, "the program that takes packets");
    err = attach_program(io, &io->hooks[hook], fd, divert.ifindex,
                         divert.ingress);
    if (err == -EBUSY)
        return fail_taken(reterr, io->interfaces[hook / 2].name);
    if (err < 0)
        return fail_program(reterr, err, "a program at an interface");
    return NSP_OK;
}

/* Says to the program at the TAP whose a slot is. */
static int
set_place(const struct nsp_io *io, uint32_t slot)
{
    const struct nsp_tap_interface *interface = &io->interfaces[slot];
    const struct nsp_tap_place place = { interface->ifindex,
                                         interface->loopback };

    return nsp_bpf_array_set(io->places_fd, slot, &place);
}

/* Where nothing is taken there is no program, and an answer that is sent there
 * keeps the mark: others that look for it let it pass as well. */
int
nsp_tap_take_interface(struct nsp_io *io, uint32_t slot,
                       struct nsp_diag *reterr)
{
    const struct nsp_tap_interface *interface = &io->interfaces[slot];
    int result = refuse_taken(interface, reterr);
    int err;

    if (result != NSP_OK)
        return result;
    atomic_store(&io->origins[slot].ifindex, interface->ifindex);
    atomic_store(&io->origins[slot].loopback, interface->loopback);
    atomic_store(&io->origins[slot].present, interface->ifindex);
    err = set_place(io, slot);
    if (err < 0)
        return fail_program(reterr, err, "an entry of an eBPF map");
    /* Last: from here on packets come. */
    for (int ingress = 0; ingress < 2 && result == NSP_OK; ingress++)
        if (diverts_at(io, interface, ingress))
            result = attach_side(io, hook_at(slot, ingress), reterr);
    if (result == NSP_OK)
        nsp_tc_hook_clear_left(interface->ifindex);
    else
        nsp_tap_leave_interface(io, slot);
    return result;
}

void
nsp_tap_leave_interface(struct nsp_io *io, uint32_t slot)
{
    nsp_tc_hook_detach(&io->hooks[hook_at(slot, false)]);
    nsp_tc_hook_detach(&io->hooks[hook_at(slot, true)]);
    io->interfaces[slot].ifindex = 0;
    atomic_store(&io->origins[slot].present, 0);
    (void)!set_place(io, slot);
}

int
nsp_tap_attach(struct nsp_io *io, const struct nsp_io_config *cfg,
               const struct nsp_tap_config *device, struct nsp_diag *reterr)
{
    int result, err;

    err = nsp_beats_open(&io->beats, io->queue_count,
                         nsp_device_hang_ms(device->hang_ms));
    if (err < 0)
        return fail_program(reterr, err, "an eBPF map");
    io->hooks_taken = cfg->hooks;
    io->skip_loopback_input = cfg->skip_loopback_input;
    io->divert = (struct nsp_tap_divert){
        .tap_ifindex = io->link.ifindex,
        .fail_closed = io->fail_closed,
        /* With edits it may be told later to have them split. */
        .superpackets = cfg->superpackets && !cfg->edits,
        .queues = io->queue_count,
        .shared_fd = io->beats.map_fd,
        .filter = cfg->filter,
    };
    result = attach_return(io, device->attach, reterr);
    for (uint32_t i = 0; i < io->interfaces_left && result == NSP_OK; i++)
        result = nsp_tap_take_interface(io, i, reterr);
    if (result == NSP_OK && io->method == NSP_TC_CLSACT)
        nsp_log_write(
            &io->log, NSP_LOG_INFO,
            "tap: clsact filters: they stay when the process is killed, "
            "and then let %s pass",
            io->fail_closed ? "nothing of what it takes" : "everything");
    return result;
}
