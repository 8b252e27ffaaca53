#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "cli/capture_job.h"
#include "cli/diag_print.h"
#include "config/units.h"

#define UNIT_TEXT 32

bool
nsp_capture_to_stdout(const struct nsp_capture_job *job)
{
    return strcmp(job->file.path, "-") == 0;
}

static FILE *
stream_of(const struct nsp_capture_job *job)
{
    return nsp_capture_to_stdout(job) ? stderr : stdout;
}

static void
write_json(const char *type, const struct nsp_capture_job *job,
           const struct nsp_capture_counters *now)
{
    struct nsp_json json;

    nsp_json_init(&json, stdout);
    nsp_json_begin_object(&json, NULL);
    nsp_json_uint(&json, "schema", 1);
    nsp_json_string(&json, "type", type);
    nsp_json_bool(&json, "ok", true);
    nsp_json_string(&json, "file", job->file.path);
    if (now) {
        nsp_json_uint(&json, "elapsed_ns", now->elapsed_ns);
        nsp_json_begin_object(&json, "captured");
        nsp_json_uint(&json, "pkts", now->written.pkts);
        nsp_json_uint(&json, "bytes", now->written.bytes);
        nsp_json_end(&json);
        nsp_json_uint(&json, "files", now->files);
        nsp_json_uint(&json, "seen_pkts", now->seen.in_pkts);
        nsp_json_uint(&json, "matched_pkts", now->seen.matched_pkts);
        nsp_json_uint(&json, "kernel_lost_pkts", now->seen.kernel_lost_pkts);
        nsp_json_uint(&json, "write_lost_pkts",
                      now->seen.events_lost + now->written.lost_pkts);
    }
    nsp_json_finish(&json);
}

void
nsp_capture_report_begin(const struct nsp_cli *cli,
                         const struct nsp_capture_job *job)
{
    FILE *to = stream_of(job);

    if (job->quiet)
        return;
    if (cli->json) {
        write_json("start", job, NULL);
    } else {
        fputs("nsp: capture on ", to);
        nsp_print_safe(to, job->where);
        fputs(" to ", to);
        nsp_print_safe(to, job->file.path);
        fputs(" (Ctrl-C ends)\n", to);
    }
    fflush(to);
}

void
nsp_capture_report_sample(const struct nsp_cli *cli,
                          const struct nsp_capture_job *job,
                          const struct nsp_capture_counters *now)
{
    FILE *to = stream_of(job);
    char bytes[UNIT_TEXT];

    if (cli->json)
        write_json("sample", job, now);
    else
        fprintf(to,
                "%4" PRIu64 " s  captured %" PRIu64 " (%s)  lost %" PRIu64
                "  files %" PRIu32 "\n",
                now->elapsed_ns / UINT64_C(1000000000), now->written.pkts,
                nsp_units_write_bytes(bytes, sizeof bytes, now->written.bytes),
                now->seen.kernel_lost_pkts + now->seen.events_lost +
                    now->written.lost_pkts,
                now->files);
    fflush(to);
}

void
nsp_capture_report_end(const struct nsp_cli *cli,
                       const struct nsp_capture_job *job,
                       const struct nsp_capture_counters *now)
{
    FILE *to = stream_of(job);
    char bytes[UNIT_TEXT];

    if (cli->json) {
        write_json("end", job, now);
        fflush(to);
        return;
    }
    fprintf(to,
            "nsp: captured %" PRIu64 " packet%s, %s, in %" PRIu32 " file%s\n",
            now->written.pkts, now->written.pkts == 1 ? "" : "s",
            nsp_units_write_bytes(bytes, sizeof bytes, now->written.bytes),
            now->files, now->files == 1 ? "" : "s");
    if (now->seen.kernel_lost_pkts > 0)
        fprintf(to,
                "nsp: %" PRIu64 " more did not fit the kernel's buffer: "
                "--buffer makes it larger\n",
                now->seen.kernel_lost_pkts);
    if (now->seen.events_lost > 0)
        fprintf(to,
                "nsp: %" PRIu64 " more came faster than they could be "
                "written\n",
                now->seen.events_lost);
    if (now->written.lost_pkts > 0)
        fprintf(to, "nsp: %" PRIu64 " more could not be written\n",
                now->written.lost_pkts);
    fflush(to);
}
