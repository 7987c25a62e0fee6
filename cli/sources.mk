cli-sources :=
