/* kist info, kist version. */
#include "cli/columns.h"
#include "cli/view_commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>
#include <unistd.h>

struct info_options {
	const char *format;
};

static const struct kist_option info_rows[] = {
	KIST_OPTION(struct info_options, STRING, format, "format", 'f', .metavar = "template",
	            .help = "Print by a Go template, or as json"),
	{ 0 },
};

/* Go's fields have capitals where the keys have not: .Host.OCIRuntime.Name of host.ociRuntime.name. */
static int go_field(void *context, struct json_object *receiver, const char *name, struct json_object *const *args,
                    size_t n_args, struct json_object **out, struct kist_error *err)
{
	struct json_object *client = NULL;

	if (n_args || !json_object_is_type(receiver, json_type_object))
		return 0;
	/* The one that differs by more. */
	const char *key = kist_streq(name, "CgroupsVersion") ? "cgroupVersion" : name;
	json_object_object_foreach(receiver, own, value)
	{
		if (strcasecmp(own, key) != 0)
			continue;
		*out = json_object_get(value);
		return 1;
	}
	/* podman's templates of versions may name the client's fields alone. */
	return json_object_object_get_ex(receiver, "Client", &client)
	               ? go_field(context, client, name, args, n_args, out, err)
	               : 0;
}

static int print_formatted(const char *name, const char *text, struct json_object *document, struct kist_error *err)
{
	struct kist_template_view view = { .field = go_field, .escape = isatty(1) };
	struct kist_format format = { 0 };

	int r = kist_format_parse(name, text, NULL, &format, err);
	if (r < 0)
		return r;
	/* One document is no list of documents. */
	r = format.kind == KIST_FORMAT_JSON ? kist_cli_print_json(document, err)
	                                    : kist_cli_print_documents(&format, &document, 1, &view, false, err);
	kist_format_clear(&format);
	return r;
}

/* --- YAML, as podman prints it --------------------------------------------------------------------------------------
 */

/* Whether a reader of YAML would take the text for something else than a string. */
static bool needs_quotes(const char *text)
{
	const char *point = strchr(text, '.');
	static const char *const words[] = { "true", "false", "null", "yes", "no", "on", "off", "~" };

	for (size_t i = 0; i < KIST_COUNT(words); i++)
		if (kist_streq(words[i], text))
			return true;
	return !*text || strchr("-?:,[]{}#&*!|>'\"%@` ", text[0]) || strstr(text, ": ") || strstr(text, " #") ||
	       kist_has_suffix(text, ":") || kist_has_suffix(text, " ") ||
	       (text[strspn(text, "0123456789.")] == '\0' && !(point && strchr(point + 1, '.'))) ||
	       !kist_is_printable(text);
}

static void add_scalar(struct kist_str *out, struct json_object *value)
{
	const char *text = value ? json_object_get_string(value) : "null";

	if (!json_object_is_type(value, json_type_string) || !needs_quotes(text)) {
		kist_str_add(out, text);
		return;
	}
	KIST_FREE char *safe = kist_escape(text);
	kist_str_addc(out, '"');
	for (const char *ch = safe; *ch; ch++) {
		if (*ch == '"' || *ch == '\\')
			kist_str_addc(out, '\\');
		kist_str_addc(out, *ch);
	}
	kist_str_addc(out, '"');
}

static bool is_empty(struct json_object *value)
{
	return (json_object_is_type(value, json_type_object) && json_object_object_length(value) == 0) ||
	       (json_object_is_type(value, json_type_array) && json_object_array_length(value) == 0);
}

static void add_yaml(struct kist_str *out, struct json_object *value, int depth);

/* What follows "key:" or "-". */
static void add_value(struct kist_str *out, struct json_object *value, int depth)
{
	bool object = json_object_is_type(value, json_type_object), array = json_object_is_type(value, json_type_array);

	if (is_empty(value)) {
		kist_str_add(out, object ? " {}\n" : " []\n");
	} else if (object || array) {
		kist_str_addc(out, '\n');
		add_yaml(out, value, depth);
	} else {
		kist_str_addc(out, ' ');
		add_scalar(out, value);
		kist_str_addc(out, '\n');
	}
}

static void add_yaml(struct kist_str *out, struct json_object *value, int depth)
{
	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, child)
		{
			kist_str_addf(out, "%*s%s:", depth * 2, "", key);
			add_value(out, child, depth + !json_object_is_type(child, json_type_array));
		}
		return;
	}
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		kist_str_addf(out, "%*s-", depth * 2, "");
		add_value(out, json_object_array_get_idx(value, i), depth + 1);
	}
}

static int info_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct info_options *o = options;
	KIST_JSON struct json_object *info = NULL;
	KIST_STR struct kist_str out = { 0 };

	(void)argc;
	(void)argv;
	int r = kist_info(cli->k, &info, err);
	if (r < 0)
		return r;
	if (o->format)
		return print_formatted("info", o->format, info, err);
	add_yaml(&out, info, 0);
	return kist_cli_print(&out, err);
}

static const struct kist_command_alias info_aliases[] = { { "system", "info" }, { 0 } };

const struct kist_command kist_command_info = {
	.name = "info",
	.parent = "",
	.aliases = info_aliases,
	.synopsis = "[options]",
	.summary = "Show the host and the store",
	.description = "Prints what of the host matters to containers (kernel, cgroups, security modules), where the "
	               "store is, and how much\n"
	               "is in it: worth adding to a report of a problem.",
	.examples = (const char *const[]){ "info", "info --format '{{.Host.CgroupControllers}}'", NULL },
	.options = (const struct kist_option_set[]){ { info_rows, 0 }, { 0 } },
	.options_size = sizeof(struct info_options),
	.max_args = 0,
	.needs = KIST_NEEDS_STORE,
	.run = info_run,
};

/* --- version --------------------------------------------------------------------------------------------------------
 */

static struct json_object *version_document(void)
{
	struct json_object *document = json_object_new_object(), *client = json_object_new_object();
	struct utsname name;
	bool known = uname(&name) == 0;
	const char *machine = known ? name.machine : "unknown";
	const char *arch = kist_streq(machine, "x86_64") ? "amd64" : kist_streq(machine, "aarch64") ? "arm64" : machine;
	KIST_FREE char *os_arch = kist_asprintf("linux/%s", arch);
	KIST_FREE char *registries = kist_registry_client();

	json_object_object_add(client, "APIVersion", json_object_new_string(KIST_VERSION));
	json_object_object_add(client, "Version", json_object_new_string(KIST_VERSION));
	/* Nothing of when and where it was built is in the program: the same source makes the same bytes. */
	json_object_object_add(client, "GoVersion", json_object_new_string(""));
	json_object_object_add(client, "GitCommit", json_object_new_string(""));
	json_object_object_add(client, "BuiltTime", json_object_new_string(""));
	json_object_object_add(client, "Built", json_object_new_int(0));
	json_object_object_add(client, "OsArch", json_object_new_string(os_arch));
	json_object_object_add(client, "Os", json_object_new_string("linux"));
	json_object_object_add(client, "RegistryClient", json_object_new_string(registries ? registries : ""));
	json_object_object_add(document, "Client", client);
	return document;
}

static int version_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct info_options *o = options;
	KIST_JSON struct json_object *document = version_document();
	KIST_STR struct kist_str out = { 0 };
	struct json_object *client = NULL, *os_arch = NULL, *registries = NULL;

	(void)cli;
	(void)argc;
	(void)argv;
	json_object_object_get_ex(document, "Client", &client);
	if (o->format)
		return print_formatted("version", o->format, document, err);
	json_object_object_get_ex(client, "OsArch", &os_arch);
	json_object_object_get_ex(client, "RegistryClient", &registries);
	bool has = json_object_get_string_len(registries) > 0;
	kist_str_addf(&out, "Client:       kist\nVersion:      %s\nOS/Arch:      %s\nRegistries:   %s\n", KIST_VERSION,
	              json_object_get_string(os_arch),
	              has ? json_object_get_string(registries) : "no client in this build");
	return kist_cli_print(&out, err);
}

const struct kist_command kist_command_version = {
	.name = "version",
	.parent = "",
	.synopsis = "[options]",
	.summary = "Show the version",
	.examples = (const char *const[]){ "version", "version --format '{{.Client.Version}}'", NULL },
	.options = (const struct kist_option_set[]){ { info_rows, 0 }, { 0 } },
	.options_size = sizeof(struct info_options),
	.max_args = 0,
	.run = version_run,
};
