overlay-sources :=
