cli-sources := \
	cli/clone.c \
	cli/columns.c \
	cli/command.c \
	cli/completion.c \
	cli/filter.c \
	cli/format.c \
	cli/generate.c \
	cli/help.c \
	cli/man.c \
	cli/nearest.c \
	cli/options.c \
	cli/template.c \
	cli/template_eval.c \
	cli/template_functions.c \
	cli/template_parse.c \
	cli/template_print.c
cli-sources += cli/create_config.c cli/create_limits.c cli/create_mounts.c cli/create_options.c cli/each.c cli/exec.c
cli-sources += cli/create_network.c cli/network.c cli/network_ls.c cli/create_secrets.c cli/create_volumes.c cli/secret.c cli/volume.c cli/volume_data.c cli/volume_ls.c
cli-sources += cli/attach.c
cli-sources += cli/create_hooks.c
cli-sources += cli/create_supervise.c cli/boot.c cli/init.c cli/update.c
cli-sources += cli/create_userns.c
cli-sources += cli/oci_mounts.c
cli-sources += cli/entry.c cli/main.c cli/rm.c cli/run.c cli/start.c cli/stop.c
cli-sources += cli/image_import.c cli/image_inspect.c cli/images.c cli/rmi.c cli/tag.c
cli-sources += cli/events.c cli/create_health.c cli/healthcheck.c
cli-sources += cli/info.c cli/inspect.c cli/logs.c cli/ps.c cli/select.c cli/stats.c cli/top.c
cli-sources += cli/image_load.c cli/image_save.c
cli-sources += cli/login.c cli/pull.c cli/push.c cli/registry_options.c
cli-sources += cli/commit.c
cli-sources += cli/copy.c cli/mount.c
cli-sources += cli/image_mount.c
cli-sources += cli/diff.c cli/image_history.c cli/prune.c cli/system.c cli/reset.c
cli-sources += cli/oci.c cli/oci_create.c cli/oci_limits.c cli/oci_show.c
cli-sources += cli/pod.c cli/pod_create.c cli/pod_ps.c cli/pod_top.c cli/pod_logs.c
