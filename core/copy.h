/* The rules of paths for 'cp', apart from what carries them out. */
#ifndef KIST_COPY_H
#define KIST_COPY_H

#include "core/container_root.h"

/* Where paths are resolved: in a container's root, or on the host. */
struct kist_copy_place {
	struct kist_container *c; /* NULL: the host */
	struct kist_container_root root;
};

/* What a path means as a source or a destination. Everything is held open: no name is resolved twice. */
struct kist_copy_target {
	int dir;     /* of a directory: itself; else, or when it is missing: the directory it is in, or would be */
	char *name;  /* in dir; NULL: dir itself is meant */
	char *as;    /* the last component, for a copy of it; NULL: its contents are meant ("/.", "/", "..") */
	mode_t mode; /* 0: it does not exist */
};
#define KIST_COPY_TARGET_INIT                                                                                          \
	{                                                                                                              \
		.dir = -1                                                                                              \
	}
void kist_copy_target_close(struct kist_copy_target *target);

/* Whether the path ends in a way that only a directory can have, and whether it says that the contents are meant. */
bool kist_copy_wants_directory(const char *path);
bool kist_copy_means_contents(const char *path);
/* The last component without slashes; "" of "/" alone. The caller frees. */
char *kist_copy_base(const char *path);
/* What is before it: "" when there is nothing, "/" at the top. The caller frees. */
char *kist_copy_parent(const char *path);
/* A link in the last place, followed as text: the path that is meant by it. The caller frees. */
char *kist_copy_follow(const char *path, const char *target);

/* Resolves a path. -ENOENT with err: not there, and for a destination nor is its directory. */
int kist_copy_resolve(const struct kist_copy_place *place, const char *path, bool destination,
                      struct kist_copy_target *out, struct kist_error *err);

#endif
