#ifndef NSP_LAB_USERNS_H
#define NSP_LAB_USERNS_H
#include "netshaper/diag.h"

/* Moves the process, which must have one thread, into a user namespace of its
 * own where its user and group are called 'user' and 'group' (0: root), and
 * where it may make network namespaces. A program that it executes keeps that
 * right as root alone. Returns NSP_OK, or NSP_NOT_POSSIBLE with cause and cure
 * in 'reterr'. */
int nsp_userns_enter(unsigned user, unsigned group, struct nsp_diag *reterr);

/* Fills 'reterr' for a namespace call that failed with 'os_errno', naming the
 * setting that forbids it. Returns NSP_NOT_POSSIBLE. */
int nsp_userns_explain(struct nsp_diag *reterr, const char *what, int os_errno);

#endif /* NSP_LAB_USERNS_H */
