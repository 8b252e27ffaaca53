#ifndef NSP_CONFIG_SCENARIO_H
#define NSP_CONFIG_SCENARIO_H
#include <stdbool.h>
#include <stdint.h>

/* When the steps of a scenario are in force. A function of time alone: whoever
 * asks for a time, in whatever order, gets the same.
 *
 * Units  _ns, since the scenario began. */
#define NSP_SCENARIO_NS_MAX    (UINT64_C(366) * 86400 * 1000000000)
#define NSP_SCENARIO_STEPS_MAX 1024u
#define NSP_SCENARIO_NEVER     UINT64_MAX

struct nsp_step_times {
    uint64_t at_ns;
    uint64_t every_ns; /* 0: once. */
    uint64_t for_ns;   /* 0: for good. */
    uint64_t over_ns;  /* 0: at once. */
    uint64_t tick_ns;  /* Values change so often meanwhile; not 0. */
};

/* Where a step is at some time. */
struct nsp_step_phase {
    bool active;
    uint64_t elapsed_ns; /* Of 'over_ns', at most that, in whole ticks. */
    uint64_t next_ns;    /* Time until this changes; NSP_SCENARIO_NEVER. */
};

struct nsp_step_phase nsp_step_phase_at(const struct nsp_step_times *step,
                                        uint64_t now_ns);

/* The value on the way from 'from' to 'to' after 'elapsed' of 'whole', rounded
 * to the nearest; 'elapsed' is at most 'whole', and that not 0. */
uint64_t nsp_scenario_between(uint64_t from, uint64_t to, uint64_t elapsed,
                              uint64_t whole);

#endif /* NSP_CONFIG_SCENARIO_H */
