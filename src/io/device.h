#ifndef NSP_IO_DEVICE_H
#define NSP_IO_DEVICE_H
#include "base/base.h"
#include "netshaper/diag.h"
#include "netshaper/io.h"

/* What live devices say to people: of configurations that none of them takes,
 * of errors that any of them may meet, and of what a machine lacks for them.
 *
 * Threads  Any; nothing is kept. Not for the packets' path. */

#define NSP_DEVICE_HELD_PKTS_MAX (1u << 20)

/* How long a worker may give no sign of life. */
#define NSP_DEVICE_HANG_MS_DEFAULT 200u
#define NSP_DEVICE_HANG_MS_MIN     10u
#define NSP_DEVICE_HANG_MS_MAX     10000u

/* Checks the numbers of queues and of packets to hold, and 'hang_ms', of which
 * 0 is the default. Returns NSP_OK or NSP_INVALID_PARAMETER. */
int nsp_device_check_config(const struct nsp_io_config *cfg, uint32_t hang_ms,
                            struct nsp_diag *reterr) NSP_MUSTCHECK;

/* 'hang_ms', or the default in the place of 0. */
static inline uint32_t
nsp_device_hang_ms(uint32_t hang_ms)
{
    return hang_ms ? hang_ms : NSP_DEVICE_HANG_MS_DEFAULT;
}

/* --- Errors --------------------------------------------------------------- */

/* What is a device's own in such errors. */
struct nsp_device_words {
    const char *category;  /* Of errors without a better one. */
    const char *purpose;   /* "no privilege to ...". */
    const char *privilege; /* What gives it. */
};

/* Each returns the result of 'reterr', which it sets. 'err' is a negative
 * errno, 'step' what failed with it. */
int nsp_device_fail_memory(struct nsp_diag *reterr);
int nsp_device_fail(const struct nsp_device_words *words, int err,
                    const char *step, struct nsp_diag *reterr);

/* --- Probes --------------------------------------------------------------- */

struct nsp_device_probe {
    nsp_probe_fn *report;
    void *context;
    const char *privilege; /* What gives the privilege that is needed. */
};

/* Reports one feature; 'cure' is of no account where nothing is missing. */
void nsp_device_report(const struct nsp_device_probe *probe,
                       const char *feature, enum nsp_probe_state state,
                       const char *cure, const char *format, ...)
    NSP_PRINTF(5, 6);

/* What helps against 'err': the privilege, or 'otherwise'. */
const char *nsp_device_cure(const struct nsp_device_probe *probe, int err,
                            const char *otherwise);

#endif /* NSP_IO_DEVICE_H */
