/* The OCI runtime's command line: 'kist-oci', or 'kist oci'. What its files share. */
#ifndef KIST_CLI_OCI_H
#define KIST_CLI_OCI_H

#include "cli/command.h"
#include "core/base/str.h"
#include "core/oci.h"

/* The front end's own of this program: struct kist_cli of command.h is it, seen from outside. */
struct oci_cli {
	/* global options */
	const char *root, *log, *log_format, *cgroup_manager, *rootless;
	bool debug, systemd_cgroup;
	/* opened before run() */
	struct kist_oci *oci;
	int log_fd; /* -1: stderr */
	int argc;   /* as the program was called */
	char **argv;
};

enum {
	OCI_NEEDS_STATE = 1,     /* the state directory is opened */
	OCI_NEEDS_PROTECTED = 2, /* runs from a copy of the binary that no container can write */
};

static inline struct oci_cli *oci_of(struct kist_cli *cli)
{
	return (struct oci_cli *)(void *)cli;
}

extern const struct kist_command oci_command_create, oci_command_run, oci_command_start, oci_command_exec,
        oci_command_kill, oci_command_delete, oci_command_state, oci_command_list, oci_command_ps, oci_command_pause,
        oci_command_resume, oci_command_update, oci_command_events, oci_command_spec, oci_command_features,
        oci_command_checkpoint, oci_command_restore, oci_command_mounts, oci_command_mounts_add,
        oci_command_mounts_remove;

/* --format table|json. */
#define OCI_FORMATS ((const char *const[]){ "table", "json", NULL })

int oci_print(const struct kist_str *text, struct kist_error *err);
int oci_print_json(struct json_object *json, bool pretty, struct kist_error *err); /* puts json */

int kist_oci_main(int argc, char **argv);

#endif
