/* The record's marks, for its writer and its reader (tar_split.h). */
#ifndef KIST_OVERLAY_SPLIT_FORMAT_H
#define KIST_OVERLAY_SPLIT_FORMAT_H

#define KIST_SPLIT_MAGIC "kist-split 1\n"
#define KIST_SPLIT_HEAD  24

enum { KIST_SPLIT_RAW = 'R', KIST_SPLIT_FILE = 'F', KIST_SPLIT_END = 'E' };

#endif
