#include "io/device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/diag.h"

int
nsp_device_check_config(const struct nsp_io_config *cfg, uint32_t hang_ms,
                        struct nsp_diag *reterr)
{
    if (cfg->queues < 1 || cfg->queues > NSP_IO_QUEUES_MAX)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "queues",
                            "one for each core that may work is enough",
                            "%u queues, not 1 to %u", cfg->queues,
                            NSP_IO_QUEUES_MAX);
    if (cfg->max_held_pkts > NSP_DEVICE_HELD_PKTS_MAX)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "max-held",
                            "hold fewer, or share them among more queues",
                            "%u packets to hold at once, more than %u",
                            cfg->max_held_pkts, NSP_DEVICE_HELD_PKTS_MAX);
    if (hang_ms != 0 &&
        (hang_ms < NSP_DEVICE_HANG_MS_MIN || hang_ms > NSP_DEVICE_HANG_MS_MAX))
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "hang", "0 is 200",
                            "hang_ms %u is outside %u to %u", hang_ms,
                            NSP_DEVICE_HANG_MS_MIN, NSP_DEVICE_HANG_MS_MAX);
    return NSP_OK;
}

/* --- Errors --------------------------------------------------------------- */

int
nsp_device_fail_memory(struct nsp_diag *reterr)
{
    return nsp_diag_set(reterr, NSP_NO_MEMORY, "no-memory",
                        "lower the number of packets to hold",
                        "no memory for the queues");
}

int
nsp_device_fail(const struct nsp_device_words *words, int err, const char *step,
                struct nsp_diag *reterr)
{
    switch (err) {
    case -EPERM:
    case -EACCES:
        return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "privilege",
                            words->privilege, "no privilege to %s: %s",
                            words->purpose, step);
    case -ENOBUFS:
    case -ENOMEM:
        return nsp_device_fail_memory(reterr);
    case -EMFILE:
        return nsp_diag_set_errno(
            reterr, NSP_OPEN_FAILED, "descriptors", -err,
            "raise the limit of open files of a process: ulimit -n 1024", "%s",
            step);
    default:
        return nsp_diag_set_errno(
            reterr, NSP_OPEN_FAILED, words->category, -err,
            "'nsp doctor' tells what is missing here", "%s", step);
    }
}

/* --- Probes --------------------------------------------------------------- */

void
nsp_device_report(const struct nsp_device_probe *probe, const char *feature,
                  enum nsp_probe_state state, const char *cure,
                  const char *format, ...)
{
    struct nsp_probe_item item = { .feature = feature,
                                   .state = (uint8_t)state };
    va_list args;

    va_start(args, format);
    vsnprintf(item.detail, sizeof item.detail, format, args);
    va_end(args);
    snprintf(item.cure, sizeof item.cure, "%s", state ? cure : "");
    probe->report(probe->context, &item);
}

const char *
nsp_device_cure(const struct nsp_device_probe *probe, int err,
                const char *otherwise)
{
    return err == -EPERM || err == -EACCES ? probe->privilege : otherwise;
}
