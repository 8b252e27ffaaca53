#ifndef NSP_CLI_FILTER_BACKEND_H
#define NSP_CLI_FILTER_BACKEND_H
#include <stdbool.h>

#include "netshaper/bpf.h"

/* The back ends of the filter compiler, run side by side with the evaluator for
 * whoever wants to compare: classic programs by libpcap's interpreter, eBPF by
 * the kernel, as a tcx program, without any interface. A program is made for
 * each link and direction that packets turn out to have. */
struct nsp_filter_runner;

enum nsp_filter_backend {
    NSP_FILTER_EVALUATOR,
    NSP_FILTER_CBPF,
    NSP_FILTER_EBPF,
    NSP_FILTER_BACKENDS,
};

/* Finds the back end called 'name' ("evaluator", "cbpf", "ebpf"). Returns 0, or
 * -ENOENT with '*ret' untouched. */
int nsp_filter_backend_find(const char *name,
                            enum nsp_filter_backend *ret) NSP_MUSTCHECK;

/* Makes a runner that borrows 'filter'; NULL without memory. */
struct nsp_filter_runner *nsp_filter_runner_create(
    const struct nsp_filter *filter,
    enum nsp_filter_backend backend) NSP_MUSTCHECK;

/* Frees 'runner', which may be NULL. Always returns NULL. */
struct nsp_filter_runner *nsp_filter_runner_destroy(
    struct nsp_filter_runner *runner);

/* Stores in '*ret' whether the back end accepts the parsed 'pkt'. Returns
 * NSP_OK; or NSP_NOT_POSSIBLE or NSP_NO_MEMORY, with 'reterr' filled. */
int nsp_filter_runner_match(struct nsp_filter_runner *runner,
                            const struct nsp_pkt *pkt,
                            const struct nsp_filter_context *context, bool *ret,
                            struct nsp_diag *reterr) NSP_MUSTCHECK;

/* What was widened in any of the programs made so far. */
void nsp_filter_runner_get_widened(const struct nsp_filter_runner *runner,
                                   struct nsp_widened *ret);

#endif /* NSP_CLI_FILTER_BACKEND_H */
