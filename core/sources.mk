core-sources :=
