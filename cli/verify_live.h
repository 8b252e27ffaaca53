#ifndef NSP_CLI_VERIFY_LIVE_H
#define NSP_CLI_VERIFY_LIVE_H
#include "verify/verify.h"

/* The same as nsp_verify() with real packets: through the engine in the
 * router of a lab, taken at FORWARD by nfqueue. The process has one thread when
 * it is called. Of the job's packets as many are sent as a few seconds allow.
 */
int nsp_verify_live(const struct nsp_verify_job *job, struct nsp_checks *ret,
                    struct nsp_diag *reterr);

#endif /* NSP_CLI_VERIFY_LIVE_H */
