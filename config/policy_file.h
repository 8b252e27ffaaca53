#ifndef NSP_CONFIG_POLICY_FILE_H
#define NSP_CONFIG_POLICY_FILE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/complaint.h"
#include "config/scenario.h"
#include "config/schedule.h"
#include "netshaper/diag.h"
#include "netshaper/engine.h"
#include "netshaper/filter.h"
#include "netshaper/policy.h"

/* A policy file, nsp-policy(5), and the files that it includes, read to what
 * the engine takes. The keys are in config/policy_keys.c.
 *
 * All or nothing: a file with an error gives no policy, and all its errors. One
 * that is taken compiles, its filters and sets too; it may have warnings.
 *
 * Ownership  load creates, destroy frees; everything that 'struct
 *            nsp_policy_file' points to lives as long. nsp_engine_create()
 *            copies what it needs of 'spec'.
 * Threads    One at a time: set_time and set_elapsed write. */

/* What a rule has beside its part of the spec. */
struct nsp_policy_note {
    const char *description;  /* NULL without. */
    const char *capture_path; /* Of the pcapng, ready to be opened; NULL
                               * without. Rules may share one. */
    const char *file;         /* Where the rule is written, */
    uint32_t line;            /* from 1; "" and 0: the file's default. */
    bool enabled;             /* As written. */
    bool always;              /* And no schedule or scenario ends that. */
    struct nsp_schedule when;
};

struct nsp_policy_doc; /* As written: config/policy_doc.h. */
struct nsp_policy_builder;

struct nsp_policy_file {
    struct nsp_policy_spec spec; /* A default other than pass is its last rule,
                                  * called "default". */
    struct nsp_policy_note *notes; /* One for each rule of 'spec'. */
    uint32_t hooks;                /* Set of enum nsp_hook to intercept at. */
    const char *bridge[2];         /* The interfaces to join; NULL: none. */
    bool tap;                      /* By a TAP alone, at these interfaces; */
    const char *const *interfaces; /* ... NULL: all. */
    uint32_t interface_count;
    enum nsp_layer layer; /* That the filters are compiled for. */
    bool has_schedule;    /* Some rule has one. */
    bool has_scenario;

    struct nsp_rule *rules;      /* Those of 'spec'. */
    struct nsp_filter **filters; /* Compiled, one for each rule; NULL: all. */
    struct nsp_filter_options filter_options;
    const struct nsp_policy_doc *doc;
    struct nsp_policy_builder *builder; /* With what was read. */
    struct nsp_store store, elapsed_store;
};

/* Where files come from, and names that filters may refer to. 'read' stores the
 * content of 'path' in '*ret_text', terminated, to be released with free(), and
 * returns 0 or a positive errno; NULL is the file system. */
struct nsp_file_reader {
    int (*read)(void *context, const char *path, char **ret_text,
                size_t *ret_bytes);
    void *context;
    const struct nsp_filter_interfaces *interfaces; /* NULL: none is known. */
    bool places; /* Refuse what no device could do, too. */
};

/* Reads the policy in the file 'path' ("-" is standard input). On success
 * stores it in '*ret' and returns NSP_OK, with the warnings in 'complaints';
 * otherwise NSP_INVALID_PARAMETER with at least one error there, or
 * NSP_NO_MEMORY. 'reader' NULL is the file system. 'complaints' is all zero at
 * first, and finished by the caller in any case. */
int nsp_policy_file_load(const char *path, const struct nsp_file_reader *reader,
                         struct nsp_policy_file **ret,
                         struct nsp_complaints *complaints) NSP_MUSTCHECK;

/* Frees 'file', which may be NULL. Always returns NULL. */
struct nsp_policy_file *nsp_policy_file_destroy(struct nsp_policy_file *file);

/* An engine that intercepts where 'file' says, by its policy. */
struct nsp_engine_config nsp_policy_file_engine(
    const struct nsp_policy_file *file);

/* Sets 'disabled' of every rule to what is written and the schedules say for
 * 'now', and '*ret_next_s' to the seconds until that changes
 * (NSP_SCHEDULE_NEVER: it does not). Returns whether any rule changed. */
bool nsp_policy_file_set_time(struct nsp_policy_file *file,
                              const struct nsp_local_time *now,
                              uint32_t *ret_next_s);

/* Makes links, effects and 'enabled' what the scenario says for 'elapsed_ns'
 * since it began, and sets '*ret_next_ns' to the time until that changes
 * (NSP_SCENARIO_NEVER: it does not). Where there are schedules, set_time comes
 * after it. Pointers in the spec of before are then no longer valid. Returns
 * NSP_OK, NSP_INVALID_PARAMETER (what then comes together was not found when
 * the file was read, which tries out so many changes only) or NSP_NO_MEMORY;
 * the spec is then not to be used until another time is set. */
int nsp_policy_file_set_elapsed(struct nsp_policy_file *file,
                                uint64_t elapsed_ns,
                                uint64_t *ret_next_ns) NSP_MUSTCHECK;

/* Prints 'file' back, includes taken in: reading that gives the same policy.
 * Comments are lost, and paths are as seen from the first file. Returns 0, or
 * -EIO where 'to' failed. */
int nsp_policy_file_print(const struct nsp_policy_file *file, FILE *to);

/* Prints the JSON Schema of policy files, or their keys as a section of a
 * manual page (scdoc). */
void nsp_policy_keys_print_schema(FILE *to);
void nsp_policy_keys_print_manual(FILE *to);

#endif /* NSP_CONFIG_POLICY_FILE_H */
