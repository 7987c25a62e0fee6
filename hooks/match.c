/* Which hooks apply: every condition that is given must hold, and at least one must be given. */
#include "hooks/internal.h"

#include "core/base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool regex_matches(const char *pattern, const char *text)
{
	regex_t regex;

	if (!text || regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	bool matches = regexec(&regex, text, 0, NULL, 0) == 0;
	regfree(&regex);
	return matches;
}

static bool annotation_matches(const char *rule, char *const *annotations)
{
	const char *equals = strchr(rule, '=');
	KIST_FREE char *key_pattern = kist_strndup(rule, (size_t)(equals - rule));

	for (size_t i = 0; annotations && annotations[i]; i++) {
		const char *value = strchr(annotations[i], '=');
		KIST_FREE char *key =
		        kist_strndup(annotations[i], value ? (size_t)(value - annotations[i]) : strlen(annotations[i]));
		if (regex_matches(key_pattern, key) && regex_matches(equals + 1, value ? value + 1 : ""))
			return true;
	}
	return false;
}

static bool applies(const struct hook_when *when, const struct kist_hooks_subject *subject)
{
	size_t conditions = 0;

	if (when->always.set) {
		conditions++;
		if (!when->always.value)
			return false;
	}
	/* One that is set to false never holds, as 'always': oci-hooks(5) knows no hook for containers without. */
	if (when->has_bind_mounts.set) {
		conditions++;
		if (!when->has_bind_mounts.value || !subject->has_bind_mounts)
			return false;
	}
	for (size_t i = 0; when->annotations && when->annotations[i]; i++) {
		conditions++;
		if (!annotation_matches(when->annotations[i], subject->annotations))
			return false;
	}
	if (when->commands && when->commands[0]) {
		bool any = false;
		conditions++;
		for (size_t i = 0; when->commands[i]; i++)
			any |= regex_matches(when->commands[i], subject->command);
		if (!any)
			return false;
	}
	return conditions > 0;
}

static void append(struct kist_spec_hook **list, size_t *n, const struct kist_spec_hook *hook)
{
	*list = kist_grow(*list, *n + 1, sizeof(**list));
	(*list)[(*n)++] = (struct kist_spec_hook){
		.path = kist_strdup(hook->path),
		.args = kist_strv_copy(hook->args),
		.env = kist_strv_copy(hook->env),
		.timeout = hook->timeout,
	};
}

int kist_hooks_apply(const struct kist_hooks *hooks, const struct kist_hooks_subject *subject, struct kist_spec *spec,
                     struct kist_spec_hook **precreate, size_t *n_precreate, struct kist_error *err)
{
	(void)err;
	*precreate = NULL;
	*n_precreate = 0;
	for (size_t i = 0; hooks && i < hooks->n; i++) {
		const struct hook_file *file = &hooks->files[i];
		if (!applies(&file->when, subject))
			continue;
		if (!spec->hooks)
			spec->hooks = kist_alloc(sizeof(*spec->hooks));
		struct kist_spec_hooks *to = spec->hooks;
		const struct {
			const char *name;
			struct kist_spec_hook **list;
			size_t *n;
		} stages[] = {
			{ "prestart", &to->prestart, &to->n_prestart },
			{ "createRuntime", &to->create_runtime, &to->n_create_runtime },
			{ "createContainer", &to->create_container, &to->n_create_container },
			{ "startContainer", &to->start_container, &to->n_start_container },
			{ "poststart", &to->poststart, &to->n_poststart },
			{ "poststop", &to->poststop, &to->n_poststop },
			{ "precreate", precreate, n_precreate },
		};
		for (size_t s = 0; s < KIST_COUNT(stages); s++)
			if (kist_strv_has(file->stages, stages[s].name))
				append(stages[s].list, stages[s].n, &file->hook);
	}
	return 0;
}

void kist_spec_hook_list_free(struct kist_spec_hook *hooks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(hooks[i].path);
		kist_strv_free(hooks[i].args);
		kist_strv_free(hooks[i].env);
	}
	free(hooks);
}
