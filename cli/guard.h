#ifndef NSP_CLI_GUARD_H
#define NSP_CLI_GUARD_H
#include "cli/cli.h"
#include "netshaper/policy.h"

/* The question before a policy that would cut off who starts it: a rule that
 * would drop the connection by which they are here (cli/controllers.h), or
 * leave so little of it that nobody could work by it (cli/guard_harm.h), with
 * all others that act on it.
 *
 * Packets of the connection are shown to the rules, each way: one that only
 * acknowledges, a small one, full ones, and a superpacket. Rules that are not
 * in force are not asked, unless a scenario puts them in force; neither are
 * tests of what a packet does not say, as of its flow.
 *
 * Where packets are taken at loopback interfaces alone, only connections of the
 * host with itself are asked about. Of other interfaces nobody knows what runs
 * over them, as a tunnel does.
 *
 * A bridge takes its interfaces for itself: it cuts off who comes in by one of
 * them (cli/own_port.h), whatever the rules say. */
struct nsp_guard {
    const struct nsp_policy_spec *spec;
    struct nsp_filter *const *filters; /* Of each rule; NULL: all packets. */
    const struct nsp_filter *start;    /* Before all rules; NULL: none. */
    uint32_t hooks;                    /* Set of enum nsp_hook intercepted. */
    const char *const *taken; /* Interfaces that packets are taken at; */
    uint32_t taken_count;     /* ... 0: all. */
    const char *const *ports; /* Two that a bridge takes; NULL: none. */
    /* Makes 'spec' what it will be at some time: number 'index', from 0, in
     * turn, where 0 is at first. False where there is none. NULL: it stays. */
    bool (*set_state)(void *context, uint32_t index);
    void *context;
    bool goes_on;    /* Whatever it finds: the user has said so. */
    bool comes_back; /* What it does is taken back unless confirmed. */
};

/* Asks on the terminal, or refuses where there is none. With 'comes_back' it
 * only warns. Returns NSP_EXIT_OK to go on, or the exit status. */
int nsp_guard_ask(struct nsp_cli *cli, const struct nsp_guard *guard);

/* Its parts, for where the policy is one process's and the question another's.
 * Writes what would cut off who sits before process 'pid'; returns false if
 * nothing would. */
bool nsp_guard_find(const struct nsp_guard *guard, int pid, char *ret,
                    size_t bytes);
/* Asks about what was found; 'outcome' is what a refusal comes to. */
int nsp_guard_put(struct nsp_cli *cli, const char *found, const char *outcome);

/* Whether what is typed on a terminal comes to this process. */
bool nsp_guard_has_terminal(void);

/* Fails because nobody has confirmed in time. */
int nsp_guard_fail_unconfirmed(struct nsp_cli *cli);

#endif /* NSP_CLI_GUARD_H */
