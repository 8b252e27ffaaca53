#ifndef NSP_CLI_FILTER_REQUEST_H
#define NSP_CLI_FILTER_REQUEST_H
#include "cli/cli.h"
#include "cli/filter_sets.h"
#include "netshaper/filter.h"

/* What the subcommands of 'nsp filter' read alike: the filter, or a file of
 * them, and how to take it. */
struct nsp_filter_request {
    enum nsp_layer layer;
    struct nsp_filter_options options;
    struct nsp_filter_sets sets;
    const char *file; /* NULL: one filter, from the command line. */
    void *context;    /* For the answer's use. */
};

/* The first rows of each table of options. */
#define NSP_FILTER_REQUEST_OPTIONS                                             \
    { "layer", "LAYER",                                                        \
      "network (default), network-forward, flow, socket, reflect", 0 },        \
        { "strict", NULL, "take only what WinDivert 2.2 takes", 0 },           \
        { "set", "NAME=LIST",                                                  \
          "what @NAME is: entries with commas between, or @FILE", 0 },         \
    {                                                                          \
        "file", "FILE",                                                        \
            "answer for each line of FILE; '-' is standard "                   \
            "input",                                                           \
            0                                                                  \
    }

enum nsp_filter_request_option {
    NSP_FILTER_REQUEST_LAYER,
    NSP_FILTER_REQUEST_STRICT,
    NSP_FILTER_REQUEST_SET,
    NSP_FILTER_REQUEST_FILE,
    NSP_FILTER_REQUEST_COUNT,
};

/* Takes one of those options. Returns the exit status. */
int nsp_filter_request_take(struct nsp_cli *cli, struct nsp_filter_request *r,
                            int option, const char *value);

void nsp_filter_request_fini(struct nsp_filter_request *r);

/* Tells whether the filter or filters come from standard input. */
bool nsp_filter_request_is_stdin(const struct nsp_filter_request *r, int argc,
                                 char *argv[]);

/* Answers for one filter: prints to standard output, with cli->json one value
 * to 'json'. 'line' is its line in the file, 0 without one. Returns the exit
 * status. */
typedef int nsp_filter_answer(struct nsp_cli *cli,
                              const struct nsp_filter_request *r,
                              struct nsp_json *json, const char *expr,
                              uint32_t line);

/* Calls 'answer' for the operand ('-' is read from standard input), or for each
 * line of the file that is neither blank nor begins with '#'; with cli->json
 * begins an array of these, for the caller to end. Returns the worst exit
 * status. */
int nsp_filter_request_each(struct nsp_cli *cli,
                            const struct nsp_filter_request *r, int argc,
                            char *argv[], struct nsp_json *json,
                            nsp_filter_answer *answer);

/* The same, as a whole JSON document: a value, or an array for a file. */
int nsp_filter_request_answer(struct nsp_cli *cli,
                              const struct nsp_filter_request *r, int argc,
                              char *argv[], nsp_filter_answer *answer);

/* Reports an error in 'expr', as an answer. Returns the exit status. */
int nsp_filter_request_fail(struct nsp_cli *cli, struct nsp_json *json,
                            int result, const struct nsp_diag *diag,
                            const char *expr, uint32_t line);

/* Begins the JSON object of an answer. */
void nsp_filter_request_begin(struct nsp_json *json, bool ok, uint32_t line);

#endif /* NSP_CLI_FILTER_REQUEST_H */
