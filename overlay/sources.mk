overlay-sources := overlay/stream.c overlay/tar_header.c overlay/tar_pax.c overlay/tar_acl.c overlay/tar_sparse.c \
	overlay/tar_read.c overlay/tar_output.c overlay/tar_write.c overlay/tar_extract.c overlay/du.c overlay/store.c overlay/mount.c
overlay-sources += overlay/tar_split.c overlay/split_replay.c overlay/layer.c overlay/changes.c
overlay-sources += overlay/archive.c
overlay-sources += overlay/loop.c overlay/packed.c overlay/mount_child.c overlay/quota.c overlay/points.c
