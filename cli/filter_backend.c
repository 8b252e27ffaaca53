#define _DEFAULT_SOURCE
#include "cli/filter_backend.h"

#include <errno.h>
#include <pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/ebpf_run.h"

#define LINKS      (NSP_LINK_NULL + 1)
#define DIRECTIONS (NSP_OUTBOUND + 1)

_Static_assert(sizeof(struct bpf_insn) == sizeof(struct nsp_cbpf_insn),
               "not libpcap's instructions");

static const char *const names[NSP_FILTER_BACKENDS] = {
    [NSP_FILTER_EVALUATOR] = "evaluator",
    [NSP_FILTER_CBPF] = "cbpf",
    [NSP_FILTER_EBPF] = "ebpf",
};

struct program {
    bool made;
    struct nsp_cbpf_insn *cbpf;
    int ebpf; /* A descriptor. */
};

struct nsp_filter_runner {
    const struct nsp_filter *filter;
    enum nsp_filter_backend backend;
    struct program programs[LINKS][DIRECTIONS];
    struct nsp_widened widened;
    struct nsp_ebpf_maps maps; /* Those made so far. */
    int map_fds[NSP_EBPF_MAPS_MAX];
};

static int
fail(struct nsp_diag *reterr, int result, int os_errno, const char *text,
     const char *hint)
{
    *reterr = (struct nsp_diag){ .result = result, .os_errno = os_errno };
    snprintf(reterr->category, sizeof reterr->category, "%s",
             nsp_result_name(result));
    snprintf(reterr->text, sizeof reterr->text, "%s", text);
    snprintf(reterr->hint, sizeof reterr->hint, "%s", hint);
    return result;
}

int
nsp_filter_backend_find(const char *name, enum nsp_filter_backend *ret)
{
    for (unsigned i = 0; i < NSP_FILTER_BACKENDS; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret = (enum nsp_filter_backend)i;
            return 0;
        }
    }
    return -ENOENT;
}

struct nsp_filter_runner *
nsp_filter_runner_create(const struct nsp_filter *filter,
                         enum nsp_filter_backend backend)
{
    struct nsp_filter_runner *runner = calloc(1, sizeof *runner);

    if (!runner)
        return NULL;
    runner->filter = filter;
    runner->backend = backend;
    runner->widened.exact = true;
    return runner;
}

struct nsp_filter_runner *
nsp_filter_runner_destroy(struct nsp_filter_runner *runner)
{
    for (unsigned i = 0; runner && i < LINKS * DIRECTIONS; i++) {
        struct program *program =
            &runner->programs[i / DIRECTIONS][i % DIRECTIONS];

        free(program->cbpf);
        if (program->made && runner->backend == NSP_FILTER_EBPF)
            close(program->ebpf);
    }
    for (uint32_t i = 0; runner && i < runner->maps.count; i++)
        close(runner->map_fds[i]);
    free(runner);
    return NULL;
}

/* --- Programs' errors ----------------------------------------------------- */

static int
fail_emit(struct nsp_diag *reterr, int err)
{
    const char *hint = "use '--backend evaluator'";

    if (err == -ENOMEM)
        return fail(reterr, NSP_NO_MEMORY, 0, "no memory for a program", hint);
    if (err == -E2BIG)
        return fail(reterr, NSP_NOT_POSSIBLE, 0,
                    "the filter is too long for a program", hint);
    return fail(reterr, NSP_NOT_POSSIBLE, 0,
                "no program can be made for this link or layer", hint);
}

static int
fail_kernel(struct nsp_diag *reterr, const char *what, int err)
{
    char text[128];

    snprintf(text, sizeof text, "the kernel does not %s: %s", what,
             strerror(-err));
    return fail(reterr, NSP_NOT_POSSIBLE, -err, text,
                err == -EPERM ? "eBPF takes CAP_BPF, CAP_NET_ADMIN and "
                                "CAP_PERFMON: run as root"
                              : "use '--backend evaluator'");
}

/* --- Programs ------------------------------------------------------------ */

static void
add_widened(struct nsp_widened *all, const struct nsp_widened *some)
{
    all->exact &= some->exact;
    for (uint32_t i = 0; i < some->count; i++) {
        uint32_t k = 0;

        while (k < all->count && strcmp(all->names[k], some->names[i]) != 0)
            k++;
        if (k == all->count && k < NSP_WIDENED_MAX)
            all->names[all->count++] = some->names[i];
    }
}

static int
make_cbpf(struct nsp_filter_runner *runner, const struct nsp_site *site,
          struct program *program, struct nsp_diag *reterr)
{
    struct nsp_widened widened;
    uint32_t count;
    int err;

    program->cbpf = calloc(NSP_CBPF_INSNS_MAX, sizeof program->cbpf[0]);
    if (!program->cbpf)
        return fail_emit(reterr, -ENOMEM);
    err = nsp_filter_emit_cbpf(runner->filter, site, program->cbpf,
                               NSP_CBPF_INSNS_MAX, &count, &widened);
    if (err < 0) {
        free(program->cbpf);
        program->cbpf = NULL;
        return fail_emit(reterr, err);
    }
    add_widened(&runner->widened, &widened);
    program->made = true;
    return NSP_OK;
}

/* The runner's map for 'wanted', made if need be: a descriptor or a negative
 * errno. Programs for other links share it. */
static int
get_map(struct nsp_filter_runner *runner, const struct nsp_ebpf_map *wanted)
{
    uint32_t i = 0;
    int fd;

    while (i < runner->maps.count &&
           (runner->maps.maps[i].set != wanted->set ||
            runner->maps.maps[i].ipv6 != wanted->ipv6))
        i++;
    if (i < runner->maps.count)
        return runner->map_fds[i];
    if (i == NSP_EBPF_MAPS_MAX)
        return -E2BIG;
    fd = nsp_ebpf_make_map(wanted);
    if (fd >= 0) {
        runner->maps.maps[i] = *wanted;
        runner->map_fds[i] = fd;
        runner->maps.count++;
    }
    return fd;
}

/* Loads a program that looks addresses up in 'maps'. */
static int
load_ebpf(struct nsp_filter_runner *runner, struct nsp_ebpf_insn insns[],
          uint32_t count, const struct nsp_ebpf_maps *maps)
{
    int fds[NSP_EBPF_MAPS_MAX];

    for (uint32_t i = 0; i < maps->count; i++) {
        fds[i] = get_map(runner, &maps->maps[i]);
        if (fds[i] < 0)
            return fds[i];
    }
    if (maps->count > 0)
        nsp_ebpf_set_maps(insns, count, fds);
    return nsp_ebpf_load(insns, count);
}

static int
make_ebpf(struct nsp_filter_runner *runner, const struct nsp_site *site,
          struct program *program, struct nsp_diag *reterr)
{
    struct nsp_ebpf_insn *insns = calloc(NSP_EBPF_INSNS_MAX, sizeof insns[0]);
    struct nsp_widened widened;
    struct nsp_ebpf_maps maps;
    uint32_t count;
    int err;

    if (!insns)
        return fail_emit(reterr, -ENOMEM);
    err = nsp_filter_emit_ebpf(runner->filter, NSP_EBPF_TCX, site, insns,
                               NSP_EBPF_INSNS_MAX, &count, &maps, &widened);
    if (err == 0)
        program->ebpf = load_ebpf(runner, insns, count, &maps);
    free(insns);
    if (err < 0)
        return fail_emit(reterr, err);
    if (program->ebpf < 0)
        return fail_kernel(reterr, "load the program", program->ebpf);
    add_widened(&runner->widened, &widened);
    program->made = true;
    return NSP_OK;
}

/* The program for packets like 'pkt'. What a capture does not tell of all of
 * them, the number and kind of the interface, is left to be widened. */
static int
get_program(struct nsp_filter_runner *runner, const struct nsp_pkt *pkt,
            const struct program **ret, struct nsp_diag *reterr)
{
    struct program *program = &runner->programs[pkt->link][pkt->direction];
    struct nsp_site site = {
        .link = (enum nsp_link)pkt->link,
        .facts = NSP_SITE_DIRECTION,
        .direction = (enum nsp_direction)pkt->direction,
    };

    *ret = program;
    if (program->made)
        return NSP_OK;
    return runner->backend == NSP_FILTER_CBPF
               ? make_cbpf(runner, &site, program, reterr)
               : make_ebpf(runner, &site, program, reterr);
}

int
nsp_filter_runner_match(struct nsp_filter_runner *runner,
                        const struct nsp_pkt *pkt,
                        const struct nsp_filter_context *context, bool *ret,
                        struct nsp_diag *reterr)
{
    const struct program *program;
    int r;

    if (runner->backend == NSP_FILTER_EVALUATOR) {
        *ret = nsp_filter_match(runner->filter, pkt, context);
        return NSP_OK;
    }
    r = get_program(runner, pkt, &program, reterr);
    if (r != NSP_OK)
        return r;
    if (runner->backend == NSP_FILTER_CBPF) {
        *ret = bpf_filter((const struct bpf_insn *)program->cbpf, pkt->data,
                          pkt->wire_bytes, pkt->cap_bytes) != 0;
        return NSP_OK;
    }
    r = nsp_ebpf_run(program->ebpf, pkt->data, pkt->cap_bytes, ret);
    return r == 0 ? NSP_OK : fail_kernel(reterr, "run it on this packet", r);
}

void
nsp_filter_runner_get_widened(const struct nsp_filter_runner *runner,
                              struct nsp_widened *ret)
{
    *ret = runner->widened;
}
