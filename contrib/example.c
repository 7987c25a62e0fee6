/* A program that uses the engine: makes a container, shows its output from the first byte on, and removes it.
 *
 *   cc -o example example.c $(pkg-config --cflags --libs libkist)
 *   ./example busybox echo hello
 *
 * The exit code is the container's. KIST_ROOT and KIST_RUNROOT name the store, KIST_BINARY the kist program if it is
 * not where it was installed with the library. */
#include <kist/kist.h>

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *step, const struct kist_error *err)
{
	fprintf(stderr, "example: %s: %s\n", step, err->text);
	return -1;
}

/* The image's own environment, directory and layers, and the command given here. */
static int make(struct kist *k, const char *name, char **command, struct kist_container **c, struct kist_error *err)
{
	struct kist_container_config config;
	struct kist_image *image = NULL;

	if (kist_image_open(k, name, &image, err) < 0)
		return -1;
	kist_container_config_init(&config);
	config.image = kist_strdup(image->id);
	config.image_name = kist_strdup(name);
	config.layers = kist_strv_copy(image->layers);
	config.env = kist_strv_copy(image->config.env);
	config.command = kist_strv_copy(command);
	config.workdir = kist_strdup(image->config.workdir);
	config.net_ns = kist_strdup("none");
	int r = kist_container_create(k, &config, c, err);
	kist_container_config_clear(&config);
	kist_image_free(image);
	return r;
}

static int run(struct kist *k, struct kist_container *c, int *code, struct kist_error *err)
{
	const struct kist_start start = { .attach = true };
	const struct kist_attach_io io = { .in = -1, .out = 1, .err = 2, .sig_proxy = true };
	struct kist_attach *session = NULL;

	/* Attached before it starts, so that nothing it writes is missed. */
	if (kist_container_start(c, &start, &session, err) < 0)
		return -1;
	int r = kist_attach_run(session, &io, code, err);
	kist_attach_free(session);
	if (r < 0)
		return -1;
	/* However the session ended, this is how the container did. */
	return kist_container_wait(k, kist_container_id(c), 0, code, err);
}

static int show(struct kist_container *c, struct kist_error *err)
{
	struct json_object *document = NULL, *state = NULL, *status = NULL;

	if (kist_container_inspect(c, false, &document, err) < 0)
		return -1;
	if (json_object_object_get_ex(document, "State", &state) && json_object_object_get_ex(state, "Status", &status))
		fprintf(stderr, "example: %.12s is %s\n", kist_container_id(c), json_object_get_string(status));
	json_object_put(document);
	return 0;
}

int main(int argc, char **argv)
{
	struct kist_error err = { 0 };
	struct kist_container *c = NULL;
	struct kist *k = NULL;
	int code = 125, r = 0;

	if (argc < 3) {
		fprintf(stderr, "usage: example IMAGE COMMAND [ARGUMENT...]\n");
		return 125;
	}
	if (kist_open(&k, NULL, &err) < 0)
		return fail("open the store", &err), 125;
	if (make(k, argv[1], argv + 2, &c, &err) < 0) {
		r = fail("create", &err);
	} else {
		if (run(k, c, &code, &err) < 0 || kist_container_sync(c, &err) < 0 || show(c, &err) < 0)
			r = fail("run", &err);
		struct kist_error problem = { 0 };
		if (kist_container_remove(c, KIST_REMOVE_FORCE, 0, &problem) < 0)
			r = fail("remove", &problem);
	}
	kist_container_free(c);
	kist_close(k);
	return r < 0 ? 125 : code;
}
