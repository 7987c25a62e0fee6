/* -v, --mount and --tmpfs, as podman-run(1) writes them. */
#include "cli/create.h"

#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Options that name what this version does not do yet: refused by name, never ignored. 1: it has no effect here. */
int create_check_bind_option(const char *option, struct kist_error *err)
{
	static const char *const known[] = { "ro",         "rw",          "rbind",  "bind",        "rprivate",
		                             "private",    "rshared",     "shared", "rslave",      "slave",
		                             "unbindable", "runbindable", "nosuid", "suid",        "nodev",
		                             "dev",        "noexec",      "exec",   "noatime",     "nodiratime",
		                             "relatime",   "strictatime", "rro",    "nosymfollow", "U",
		                             "O",          "idmap",       "ridmap" };

	for (size_t i = 0; i < KIST_COUNT(known); i++)
		if (kist_streq(known[i], option))
			return 0;
	/* Of the option O: that it is given is checked with the rest, as is what the map says. */
	if (kist_has_prefix(option, "upperdir=") || kist_has_prefix(option, "workdir=") ||
	    kist_has_prefix(option, "idmap="))
		return 0;
	if (kist_streq(option, "nocreate"))
		return 1; /* a host path is never created */
	/* Relabelling has nothing to do on a kernel without SELinux, and is not done on one that has it. */
	if ((kist_streq(option, "z") || kist_streq(option, "Z")) && access("/sys/fs/selinux/enforce", F_OK) < 0)
		return 1;
	return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "volume option '%s' is not supported", option);
}

static struct kist_mount_config *add_mount(struct kist_container_config *config, const char *type, const char *source,
                                           const char *destination)
{
	config->mounts = kist_grow(config->mounts, config->n_mounts + 1, sizeof(*config->mounts));
	struct kist_mount_config *mount = &config->mounts[config->n_mounts++];

	*mount = (struct kist_mount_config){
		.destination = kist_strdup(destination),
		.type = kist_strdup(type),
		.source = kist_strdup(source),
	};
	return mount;
}

/* "/a//b/../c/" as one text names one place: lexical, for comparing destinations; links are resolved in the container
 * later. */
static char *clean_path(const char *path)
{
	KIST_STRV char **parts = kist_strv_split(path, '/');
	KIST_STRV char **kept = NULL;
	size_t n = 0;

	for (size_t i = 0; parts && parts[i]; i++) {
		if (!parts[i][0] || kist_streq(parts[i], "."))
			continue;
		if (kist_streq(parts[i], "..")) {
			if (n > 0) {
				free(kept[--n]);
				kept[n] = NULL;
			}
			continue;
		}
		kist_strv_add(&kept, parts[i]);
		n = kist_strv_len(kept);
	}
	KIST_FREE char *joined = kist_strv_join(kept, "/");
	return kist_asprintf("/%s", joined ? joined : "");
}

int create_check_destination(const char *path, const char *option, char **out, struct kist_error *err)
{
	if (kist_empty(path) || path[0] != '/')
		return kist_fail(err, KIST_ERR_INVALID, 0, "%s: container path '%s' must be absolute", option,
		                 path ? path : "");
	*out = clean_path(path);
	if (kist_streq(*out, "/")) {
		free(*out);
		*out = NULL;
		return kist_fail(err, KIST_ERR_INVALID, 0, "%s: the container's root cannot be mounted over", option);
	}
	return 0;
}

static char *absolute_source(const char *source)
{
	if (source[0] == '/')
		return kist_strdup(source);
	KIST_FREE char *here = getcwd(NULL, 0);
	return kist_asprintf("%s/%s", here ? here : "", source);
}

static int add_bind(struct kist_container_config *config, const char *source, const char *destination,
                    char *const *options, const char *option, struct kist_error *err)
{
	KIST_FREE char *place = NULL;
	bool propagation = false, bind = false;

	int r = create_check_destination(destination, option, &place, err);
	if (r < 0)
		return r;
	KIST_FREE char *from = absolute_source(source);
	struct kist_mount_config *mount = add_mount(config, "bind", from, place);
	for (size_t i = 0; options && options[i]; i++) {
		r = create_check_bind_option(options[i], err);
		if (r < 0)
			return kist_context(err, "%s %s", option, destination);
		if (r == 1)
			continue;
		const char *name = options[i];
		propagation |= strstr(name, "private") || strstr(name, "shared") || strstr(name, "slave") ||
		               strstr(name, "unbindable");
		bind |= kist_streq(name, "bind") || kist_streq(name, "rbind");
		kist_strv_add(&mount->options, name);
	}
	if (!bind)
		kist_strv_add(&mount->options, "rbind");
	if (!propagation)
		kist_strv_add(&mount->options, "rprivate");
	return 0;
}

/* HOST:CONTAINER[:OPTIONS], NAME:CONTAINER[:OPTIONS], or CONTAINER alone: an anonymous volume. */
static int add_volume(struct kist_container_config *config, const char *text, struct kist_error *err)
{
	KIST_STRV char **parts = kist_strv_split(text, ':');
	KIST_STRV char **options = NULL;
	size_t n = kist_strv_len(parts);

	if (n < 1 || n > 3 || !parts[0][0] || (n == 1 && parts[0][0] != '/'))
		return kist_fail(err, KIST_ERR_INVALID, 0, "volume '%s': expected [HOST|NAME:]CONTAINER[:OPTIONS]",
		                 text);
	if (n == 3)
		options = kist_strv_split(parts[2], ',');
	struct create_volume volume = {
		.name = parts[0], .destination = parts[n - 1 > 0 ? 1 : 0], .options = options, .option = "volume"
	};
	if (n == 1)
		volume.name = NULL;
	if (n == 1 || (parts[0][0] != '/' && parts[0][0] != '.'))
		return create_add_volume(config, &volume, err);
	return add_bind(config, parts[0], parts[1], options, "volume", err);
}

static int add_tmpfs_options(struct kist_mount_config *mount, char *const *options, const char *option,
                             struct kist_error *err)
{
	static const char *const flags[] = { "rw",       "ro",         "nosuid",      "suid",       "nodev",
		                             "dev",      "noexec",     "exec",        "sync",       "async",
		                             "dirsync",  "noatime",    "atime",       "nodiratime", "diratime",
		                             "relatime", "norelatime", "strictatime", "tmpcopyup",  "notmpcopyup",
		                             "noswap",   "U" };
	static const char *const values[] = { "size=",      "mode=",      "uid=",  "gid=",
		                              "nr_inodes=", "nr_blocks=", "huge=", "mpol=" };
	bool suid = false, dev = false, exec = false, copy = false;

	for (size_t i = 0; options && options[i]; i++) {
		bool known = false;
		for (size_t j = 0; j < KIST_COUNT(flags); j++)
			known |= kist_streq(flags[j], options[i]);
		for (size_t j = 0; j < KIST_COUNT(values); j++)
			known |= kist_has_prefix(options[i], values[j]);
		if (!known)
			return kist_fail(err, KIST_ERR_INVALID, 0, "%s %s: option '%s' is not known", option,
			                 mount->destination, options[i]);
		suid |= kist_streq(options[i], "suid") || kist_streq(options[i], "nosuid");
		dev |= kist_streq(options[i], "dev") || kist_streq(options[i], "nodev");
		exec |= kist_streq(options[i], "exec") || kist_streq(options[i], "noexec");
		copy |= kist_streq(options[i], "tmpcopyup") || kist_streq(options[i], "notmpcopyup");
		if (!kist_streq(options[i], "notmpcopyup"))
			kist_strv_add(&mount->options, options[i]);
	}
	/* podman's defaults; what the image has at the place is copied up. */
	if (!suid)
		kist_strv_add(&mount->options, "nosuid");
	if (!dev)
		kist_strv_add(&mount->options, "nodev");
	if (!exec && kist_streq(option, "tmpfs"))
		kist_strv_add(&mount->options, "noexec");
	if (!copy)
		kist_strv_add(&mount->options, "tmpcopyup");
	return 0;
}

/* The kernel ignores what ramfs does not know. */
static int add_ramfs_options(struct kist_mount_config *mount, char *const *options, struct kist_error *err)
{
	static const char *const flags[] = { "rw",       "ro",          "nosuid", "suid",    "nodev",
		                             "dev",      "noexec",      "exec",   "noatime", "nodiratime",
		                             "relatime", "strictatime", "U" };

	for (; options && *options; options++) {
		bool known = kist_has_prefix(*options, "mode=");
		for (size_t i = 0; i < KIST_COUNT(flags); i++)
			known |= kist_streq(flags[i], *options);
		if (kist_has_prefix(*options, "size=")) {
			kist_fail(err, KIST_ERR_INVALID, 0, "mount %s: a ramfs has no size limit", mount->destination);
			return kist_remedy(err, "type=tmpfs has one");
		}
		if (!known)
			return kist_fail(err, KIST_ERR_INVALID, 0, "mount %s: option '%s' is not for a ramfs",
			                 mount->destination, *options);
		kist_strv_add(&mount->options, *options);
	}
	return 0;
}

/* PATH[:OPTIONS] */
static int add_tmpfs(struct kist_container_config *config, const char *text, struct kist_error *err)
{
	const char *colon = strchr(text, ':');
	KIST_FREE char *path = colon ? kist_strndup(text, (size_t)(colon - text)) : kist_strdup(text);
	KIST_STRV char **options = colon && colon[1] ? kist_strv_split(colon + 1, ',') : NULL;
	KIST_FREE char *place = NULL;

	int r = create_check_destination(path, "tmpfs", &place, err);
	if (r < 0)
		return r;
	return add_tmpfs_options(add_mount(config, "tmpfs", "tmpfs", place), options, "tmpfs", err);
}

/* --- --mount --------------------------------------------------------------------------------------------------------
 */

struct mount_words {
	const char *type, *source, *destination, *subpath;
	char **options;
};

static const char *value_of(const char *word, const char *const *names)
{
	for (size_t i = 0; names[i]; i++) {
		size_t n = strlen(names[i]);
		if (strncmp(word, names[i], n) == 0 && word[n] == '=')
			return word + n + 1;
	}
	return NULL;
}

static int mount_word(struct mount_words *m, const char *word, struct kist_error *err)
{
	static const char *const
	        types[] = { "type", NULL },
	        *const sources[] = { "source", "src", NULL },
	        *const destinations[] = { "destination", "dst", "target", NULL },
	        *const readonly[] = { "readonly", "ro", NULL }, *const sizes[] = { "tmpfs-size", "size", NULL },
	        *const modes[] = { "tmpfs-mode", "mode", NULL }, *const propagations[] = { "bind-propagation", NULL },
	        *const recursive[] = { "bind-nonrecursive", NULL },
	        *const subpaths[] = { "subpath", "volume-subpath", NULL }, *const owners[] = { "U", "chown", NULL },
	        *const relabels[] = { "relabel", NULL }, *const nocopies[] = { "volume-nocopy", "nocopy", NULL },
	        *const writables[] = { "rw", "readwrite", NULL }, *const maps[] = { "idmap", NULL };
	const char *value;
	bool flag;

	if ((value = value_of(word, types))) {
		m->type = value;
	} else if ((value = value_of(word, sources))) {
		m->source = value;
	} else if ((value = value_of(word, destinations))) {
		m->destination = value;
	} else if ((value = value_of(word, sizes))) {
		kist_strv_take(&m->options, kist_asprintf("size=%s", value));
	} else if ((value = value_of(word, modes))) {
		kist_strv_take(&m->options, kist_asprintf("mode=%s", value));
	} else if ((value = value_of(word, propagations))) {
		kist_strv_add(&m->options, value);
	} else if ((value = value_of(word, recursive))) {
		if (kist_parse_bool(value, &flag) < 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "mount: '%s': expected true or false", word);
		kist_strv_add(&m->options, flag ? "bind" : "rbind");
	} else if ((value = value_of(word, readonly))) {
		if (kist_parse_bool(value, &flag) < 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "mount: '%s': expected true or false", word);
		kist_strv_add(&m->options, flag ? "ro" : "rw");
	} else if ((value = value_of(word, writables))) {
		if (kist_parse_bool(value, &flag) < 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "mount: '%s': expected true or false", word);
		kist_strv_add(&m->options, flag ? "rw" : "ro");
	} else if ((value = value_of(word, maps)) && kist_parse_bool(value, &flag) == 0) {
		if (flag)
			kist_strv_add(&m->options, "idmap");
	} else if ((value = value_of(word, subpaths))) {
		m->subpath = value;
	} else if ((value = value_of(word, owners)) || (value = value_of(word, nocopies))) {
		if (kist_parse_bool(value, &flag) < 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "mount: '%s': expected true or false", word);
		if (flag)
			kist_strv_add(&m->options, value_of(word, owners) ? "U" : "nocopy");
	} else if ((value = value_of(word, relabels))) {
		bool shared = kist_streq(value, "shared");
		if (!shared && !kist_streq(value, "private"))
			return kist_fail(err, KIST_ERR_INVALID, 0, "mount: '%s': expected shared or private", word);
		kist_strv_add(&m->options, shared ? "z" : "Z");
	} else if (kist_streq(word, "volume-nocopy")) {
		kist_strv_add(&m->options, "nocopy");
	} else if (kist_streq(word, "readonly")) {
		kist_strv_add(&m->options, "ro");
	} else if (kist_streq(word, "readwrite")) {
		kist_strv_add(&m->options, "rw");
	} else if (kist_streq(word, "chown")) {
		kist_strv_add(&m->options, "U");
	} else if (kist_streq(word, "bind-nonrecursive")) {
		kist_strv_add(&m->options, "bind");
	} else {
		kist_strv_add(&m->options, word);
	}
	return 0;
}

/* The image is looked up now: the container keeps it, whatever becomes of the name. */
static int add_image(struct kist_cli *cli, struct kist_container_config *config, const struct mount_words *m,
                     const char *text, struct kist_error *err)
{
	struct kist_image *image = NULL;
	KIST_FREE char *place = NULL;

	if (kist_empty(m->source))
		return kist_fail(err, KIST_ERR_INVALID, 0, "mount '%s': source= is missing", text);
	if (m->subpath && kist_empty(m->subpath))
		return kist_fail(err, KIST_ERR_INVALID, 0, "mount '%s': subpath= is empty", text);
	for (char **option = m->options; option && *option; option++)
		if (!kist_streq(*option, "rw") && !kist_streq(*option, "ro"))
			return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
			                 "mount '%s': option '%s' is not for type=image", text, *option);
	int r = create_check_destination(m->destination, "mount", &place, err);
	if (r == 0)
		r = kist_image_open(cli->k, m->source, &image, err);
	if (r < 0)
		return r;
	struct kist_mount_config *mount = add_mount(config, "image", image->id, place);
	size_t n = kist_strv_len(m->options);
	kist_strv_add(&mount->options, n ? m->options[n - 1] : "ro");
	if (m->subpath)
		kist_strv_take(&mount->options, kist_asprintf("subpath=%s", m->subpath));
	kist_image_free(image);
	return 0;
}

static int mount_of_type(struct kist_cli *cli, struct kist_container_config *config, const struct mount_words *m,
                         const char *text, struct kist_error *err)
{
	KIST_FREE char *place = NULL;
	const char *type = m->type ? m->type : "volume";

	if (!m->destination)
		return kist_fail(err, KIST_ERR_INVALID, 0, "mount '%s': destination= is missing", text);
	if (kist_streq(type, "volume")) {
		struct create_volume volume = { .name = kist_empty(m->source) ? NULL : m->source,
			                        .destination = m->destination,
			                        .subpath = m->subpath,
			                        .options = m->options,
			                        .option = "mount" };
		return create_add_volume(config, &volume, err);
	}
	if (kist_streq(type, "image"))
		return add_image(cli, config, m, text, err);
	if (m->subpath)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "mount '%s': subpath= is supported for type=volume and type=image only", text);
	if (kist_streq(type, "bind")) {
		if (kist_empty(m->source))
			return kist_fail(err, KIST_ERR_INVALID, 0, "mount '%s': source= is missing", text);
		return add_bind(config, m->source, m->destination, m->options, "mount", err);
	}
	int r = create_check_destination(m->destination, "mount", &place, err);
	if (r < 0)
		return r;
	if (kist_streq(type, "tmpfs")) {
		if (m->source)
			return kist_fail(err, KIST_ERR_INVALID, 0, "mount '%s': a tmpfs has no source", text);
		return add_tmpfs_options(add_mount(config, "tmpfs", "tmpfs", place), m->options, "mount", err);
	}
	if ((kist_streq(type, "ramfs") || kist_streq(type, "devpts")) && m->source)
		return kist_fail(err, KIST_ERR_INVALID, 0, "mount '%s': a %s has no source", text, type);
	if (kist_streq(type, "ramfs"))
		return add_ramfs_options(add_mount(config, type, type, place), m->options, err);
	if (kist_streq(type, "devpts")) {
		struct kist_mount_config *mount = add_mount(config, type, type, place);
		mount->options = kist_strv_copy(m->options);
		return 0;
	}
	return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
	                 "mount '%s': type '%s' is not supported: use bind, volume, image, tmpfs, ramfs or devpts",
	                 text, type);
}

static int add_mount_option(struct kist_cli *cli, struct kist_container_config *config, const char *text,
                            struct kist_error *err)
{
	struct mount_words m = { 0 };
	KIST_STRV char **words = NULL;

	if (kist_split_commas(text, &words) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "mount '%s': a quote is missing", text);
	int r = 0;
	for (size_t i = 0; r == 0 && words && words[i]; i++)
		r = mount_word(&m, words[i], err);
	if (r == 0)
		r = mount_of_type(cli, config, &m, text, err);
	kist_strv_free(m.options);
	return r;
}

int create_mounts(struct kist_cli *cli, const struct create_options *o, const struct kist_image *image,
                  struct kist_container_config *config, struct kist_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && o->volume && o->volume[i]; i++)
		r = add_volume(config, o->volume[i], err);
	for (size_t i = 0; r == 0 && o->mount && o->mount[i]; i++)
		r = add_mount_option(cli, config, o->mount[i], err);
	for (size_t i = 0; r == 0 && o->tmpfs && o->tmpfs[i]; i++)
		r = add_tmpfs(config, o->tmpfs[i], err);
	/* What was said for a place counts before what comes along with a container or an image. */
	for (size_t i = 0; r == 0 && o->volumes_from && o->volumes_from[i]; i++)
		r = create_volumes_from(cli, o->volumes_from[i], config, err);
	config->volumes_from = kist_strv_copy(o->volumes_from);
	return r < 0 ? r : create_image_volumes(o, image, config, err);
}
