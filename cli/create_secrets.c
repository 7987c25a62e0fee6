/* --secret of run and create. */
#include "cli/create.h"

#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *value_of(const char *word, const char *key)
{
	size_t n = strlen(key);

	return strncmp(word, key, n) == 0 && word[n] == '=' ? word + n + 1 : NULL;
}

static int number(const char *word, const char *value, uint32_t *out, struct kist_error *err)
{
	return kist_parse_u32(value, out) < 0
	               ? kist_fail(err, KIST_ERR_INVALID, 0, "secret: '%s': expected a number", word)
	               : 0;
}

/* NAME or source=NAME first, then key=value in any order. */
static int parse_word(struct kist_secret_config *secret, const char *word, bool first, bool *file_only,
                      struct kist_error *err)
{
	const char *value;
	uint32_t mode;

	if ((value = value_of(word, "source")) || (value = value_of(word, "src")) || (first && !strchr(word, '='))) {
		free(secret->name);
		secret->name = kist_strdup(value ? value : word);
	} else if ((value = value_of(word, "type"))) {
		secret->env = kist_streq(value, "env");
		if (!secret->env && !kist_streq(value, "mount"))
			return kist_fail(err, KIST_ERR_INVALID, 0, "secret: type '%s': expected mount or env", value);
	} else if ((value = value_of(word, "target"))) {
		free(secret->target);
		secret->target = kist_strdup(value);
	} else if ((value = value_of(word, "uid"))) {
		*file_only = true;
		return number(word, value, &secret->uid, err);
	} else if ((value = value_of(word, "gid"))) {
		*file_only = true;
		return number(word, value, &secret->gid, err);
	} else if ((value = value_of(word, "mode"))) {
		*file_only = true;
		if (kist_parse_octal(value, &mode) < 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "secret: '%s': expected an octal number", word);
		secret->mode = (struct kist_opt){ true, mode };
	} else {
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "secret: option '%s' is not known: use type, target, uid, gid or mode", word);
	}
	return 0;
}

static int add_secret(struct kist_cli *cli, const char *text, struct kist_container_config *config,
                      struct kist_error *err)
{
	KIST_STRV char **words = NULL;
	struct kist_secret *found = NULL;
	bool file_only = false;

	if (kist_split_commas(text, &words) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "secret '%s': a quote is missing", text);
	config->secrets = kist_grow(config->secrets, config->n_secrets + 1, sizeof(*config->secrets));
	struct kist_secret_config *secret = &config->secrets[config->n_secrets++];
	*secret = (struct kist_secret_config){ 0 };
	int r = 0;
	for (size_t i = 0; r == 0 && words && words[i]; i++)
		r = parse_word(secret, words[i], i == 0, &file_only, err);
	if (r == 0 && kist_empty(secret->name))
		r = kist_fail(err, KIST_ERR_INVALID, 0, "secret '%s': its name is missing", text);
	if (r == 0 && secret->env && file_only)
		r = kist_fail(err, KIST_ERR_INVALID, 0, "secret '%s': uid, gid and mode are for type=mount", text);
	if (r == 0)
		r = kist_secret_open(cli->k, secret->name, &found, err);
	if (r < 0)
		return r;
	/* The beginning of an id may come to mean another one; the name stays. */
	free(secret->name);
	secret->name = kist_strdup(found->name);
	kist_secret_free(found);
	return 0;
}

int create_secrets(struct kist_cli *cli, const struct create_options *o, struct kist_container_config *config,
                   struct kist_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && o->secret && o->secret[i]; i++)
		r = add_secret(cli, o->secret[i], config, err);
	return r;
}
