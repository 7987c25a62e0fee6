net-sources :=
