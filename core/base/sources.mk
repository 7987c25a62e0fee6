core/base-sources :=
core/base-sources += core/base/table.c core/base/table_kv.c core/base/table_json.c core/base/json.c
core/base-sources += core/base/spec.c core/base/spec_tables.c core/base/spec_check.c
core/base-sources += core/base/spec_check_process.c core/base/spec_check_limits.c
core/base-sources += core/base/base.c core/base/error.c core/base/str.c core/base/log.c core/base/clock.c
core/base-sources += core/base/fs.c core/base/fs_copy.c core/base/fs_tree.c core/base/proc.c
