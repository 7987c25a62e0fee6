ns-sources :=
