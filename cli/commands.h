#ifndef NSP_CLI_COMMANDS_H
#define NSP_CLI_COMMANDS_H
#include "cli/cli.h"

/* The commands, one file cmd_<name>.c each; nsp.c lists them. */
extern const struct nsp_command nsp_command_capture;
extern const struct nsp_command nsp_command_check;
extern const struct nsp_command nsp_command_completion;
extern const struct nsp_command nsp_command_confirm;
extern const struct nsp_command nsp_command_demo;
extern const struct nsp_command nsp_command_doctor;
extern const struct nsp_command nsp_command_exec;
extern const struct nsp_command nsp_command_explain;
extern const struct nsp_command nsp_command_filter;
extern const struct nsp_command nsp_command_filter_eval; /* Below it. */
extern const struct nsp_command nsp_command_policy;
extern const struct nsp_command nsp_command_profile;
extern const struct nsp_command nsp_command_reload;
extern const struct nsp_command nsp_command_run;
extern const struct nsp_command nsp_command_shape;
extern const struct nsp_command nsp_command_simulate;
extern const struct nsp_command nsp_command_status;
extern const struct nsp_command nsp_command_stress;
extern const struct nsp_command nsp_command_verify;
extern const struct nsp_command nsp_command_version;

/* 'nsp' itself: the root of the tree. */
extern const struct nsp_command nsp_root_command;

void nsp_cli_print_version(const struct nsp_cli *cli);

#endif /* NSP_CLI_COMMANDS_H */
