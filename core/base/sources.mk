core/base-sources :=
core/base-sources += core/base/table.c core/base/table_kv.c core/base/table_json.c
