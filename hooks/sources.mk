hooks-sources := hooks/match.c hooks/read.c hooks/run.c
