hooks-sources :=
