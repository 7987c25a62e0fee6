core/base-sources :=
