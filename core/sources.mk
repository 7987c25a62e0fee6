core-sources :=
core-sources += core/attach.c core/cleanup.c core/config.c core/container.c core/exec.c core/exec_monitor.c core/exit.c
core-sources += core/launch.c core/lifecycle.c core/list.c core/message.c core/monitor.c core/monitor_client.c
core-sources += core/monitor_stdio.c core/names.c core/runtime.c core/settings.c core/spawn.c core/state.c core/wait.c
core-sources += core/plan.c core/plan_files.c core/plan_mounts.c core/shm.c
core-sources += core/log_write.c core/log_text.c
core-sources += core/reference.c core/image.c core/image_change.c core/image_collect.c core/image_document.c core/image_import.c
core-sources += core/image_inspect.c core/image_remove.c core/image_store.c
