#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"

static const struct nsp_command help_command;

/* In the order of help. */
static const struct nsp_command *const commands[] = {
    &nsp_command_shape,    &nsp_command_exec,    &nsp_command_run,
    &nsp_command_reload,   &nsp_command_confirm, &nsp_command_status,
    &nsp_command_simulate, &nsp_command_check,   &nsp_command_explain,
    &nsp_command_verify,   &nsp_command_policy,  &nsp_command_profile,
    &nsp_command_filter,   &nsp_command_capture, &nsp_command_doctor,
    &nsp_command_demo,     &nsp_command_stress,  &nsp_command_completion,
    &nsp_command_version,  &help_command,        NULL,
};

/* The one option that root has: nothing comes after it. */
static int
take_version(struct nsp_cli *cli, void *context, int option, const char *value)
{
    (void)context;
    (void)option;
    (void)value;
    nsp_cli_print_version(cli);
    return NSP_CLI_EXIT;
}

static int
run_root(struct nsp_cli *cli, int argc, char *argv[])
{
    if (nsp_cli_take_options(cli, argc, argv, take_version, NULL) ==
        NSP_CLI_EXIT)
        return cli->status;
    return nsp_cli_run_subcommand(cli, argc - optind, argv + optind);
}

static int
run_help(struct nsp_cli *cli, int argc, char *argv[])
{
    static char ask[] = "--help";
    char *words[8];
    int count = 0;

    if (nsp_cli_take_options(cli, argc, argv, NULL, NULL) == NSP_CLI_EXIT)
        return cli->status;
    snprintf(cli->path, sizeof cli->path, "nsp");
    words[count++] = argv[0];
    for (int i = optind; i < argc && count < 6; i++)
        words[count++] = argv[i];
    words[count++] = ask;
    words[count] = NULL;
    return nsp_cli_run(cli, &nsp_root_command, count, words);
}

static const struct nsp_command help_command = {
    .name = "help",
    .summary = "Print help on nsp or on a command",
    .synopsis = "[COMMAND]...",
    .run = run_help,
};

const struct nsp_command nsp_root_command = {
    .name = "nsp",
    .summary = "Intercept and shape network traffic",
    .options =
        (const struct nsp_option[]){
            { "version", NULL, "print the version", 'V' },
            { NULL, NULL, NULL, 0 },
        },
    .subcommands = commands,
    .run = run_root,
};

/* Tells whether standard output is a pipe that nobody reads. */
static bool
reader_left(void)
{
    struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

    return poll(&out, 1, 0) > 0 && (out.revents & POLLERR) != 0;
}

/* A reader that left has had what it wanted; anything else that kept the answer
 * from it is worth a word. */
static int
flush_output(int status)
{
    bool failed = ferror(stdout) != 0;

    errno = 0;
    if (fflush(stdout) == 0 && !failed)
        return status;
    if (!reader_left())
        fprintf(stderr, "nsp: error: cannot write to standard output: %s\n",
                errno ? strerror(errno) : "write error");
    return status ? status : NSP_EXIT_FAILED;
}

/* A stream that came closed must not be some device's descriptor next, with our
 * text written to it. It is opened the wrong way round, so that using it is
 * still an error. */
static void
fill_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            /* The lowest free number: 'fd' itself. */
            (void)open("/dev/null",
                       (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
}

int
main(int argc, char *argv[])
{
    struct nsp_cli cli;
    int status;

    fill_standard_streams();
    nsp_cli_init(&cli, argc, argv);
    cli.ignores_sigpipe = signal(SIGPIPE, SIG_IGN) == SIG_IGN;
    status = nsp_cli_run(&cli, &nsp_root_command, argc, argv);
    return flush_output(status);
}
