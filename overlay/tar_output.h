/* The writing end of a tar stream: headers, extended headers, blocks. It touches no file system. */
#ifndef KIST_OVERLAY_TAR_OUTPUT_H
#define KIST_OVERLAY_TAR_OUTPUT_H

#include "core/base/base.h"
#include "core/base/str.h"
#include "overlay/tar_pax.h"

#include <nettle/sha2.h>

struct kist_error;
struct kist_tar_result;

struct kist_tar_output {
	int fd; /* borrowed */
	bool digest, failed;
	uint64_t length;
	uint8_t *buffer;
	size_t used;
	struct sha256_ctx sha256;
};

struct kist_tar_item {
	char type; /* as in the header: '0' file, '1' hard link, '2' symbolic link, '3' '4' devices, '5' directory, '6'
	              FIFO */
	const char *name; /* borrowed; of a directory with its '/' */
	const char *link; /* borrowed */
	uint32_t mode, uid, gid, major, minor;
	int64_t mtime;
	uint32_t mtime_nsec;
	uint64_t size;                  /* of the file */
	const struct kist_tar_map *map; /* where its data is; NULL: everywhere */
	struct kist_str records;        /* further records of its extended header */
};

void kist_tar_output_init(struct kist_tar_output *out, int fd, bool digest);
void kist_tar_output_clear(struct kist_tar_output *out);
int kist_tar_output_write(struct kist_tar_output *out, const void *data, size_t len, struct kist_error *err);
/* The headers of an entry and, of a sparse file, its map: the data of the file (of its segments, one after the other)
 * and pad follow. */
int kist_tar_output_item(struct kist_tar_output *out, const struct kist_tar_item *item, struct kist_error *err);
int kist_tar_output_pad(struct kist_tar_output *out, struct kist_error *err);
int kist_tar_output_end(struct kist_tar_output *out, struct kist_error *err); /* the end mark */
void kist_tar_output_result(struct kist_tar_output *out, struct kist_tar_result *result);

/* "LENGTH KEY=VALUE\n"; the value may hold any byte. */
void kist_tar_item_record(struct kist_tar_item *item, const char *key, const void *value, size_t len);
void kist_tar_item_clear(struct kist_tar_item *item);

#endif
