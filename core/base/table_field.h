/* What the codecs of field tables share: one field of one object. Only table*.c include this. */
#ifndef KIST_TABLE_FIELD_H
#define KIST_TABLE_FIELD_H

#include "core/base/table.h"

static inline void *kist_field_at(const struct kist_field *field, const void *object)
{
	return (char *)(uintptr_t)object + field->offset;
}

static inline size_t *kist_field_count(const struct kist_field *field, const void *object)
{
	return (size_t *)(void *)((char *)(uintptr_t)object + field->count_offset);
}

static inline bool kist_field_is_wanted(const struct kist_field *field, unsigned flags)
{
	return flags == 0 || (field->flags & flags);
}

/* One value in one text: everything but the lists and the nested structs. */
bool kist_field_is_scalar(const struct kist_field *field);
bool kist_field_is_opt(const struct kist_field *field);
/* Scalars from and to text. Parsing leaves the member untouched on failure: -EINVAL, -ERANGE. */
int kist_field_parse(const struct kist_field *field, void *member, const char *text);
void kist_field_text(const struct kist_field *field, const void *member, struct kist_str *out);
/* Frees what the member owns and makes it absent (zero), its default notwithstanding. */
void kist_field_unset(const struct kist_field *field, void *object);
/* Absent, zero, or without items. */
bool kist_field_is_empty(const struct kist_field *field, const void *object);
bool kist_field_is_default(const struct kist_field *field, const void *object);
/* POINTER: the struct, made when absent. */
void *kist_field_pointer(const struct kist_field *field, void *object);
/* LIST and PTR_MAP: item number index, and a new initialised item at the end. */
void *kist_field_item(const struct kist_field *field, const void *object, size_t index);
void *kist_field_append(const struct kist_field *field, void *object);
void kist_field_append_u32(const struct kist_field *field, void *object, uint32_t value);
/* clear, then take over all that 'from' owns. */
void kist_table_move(const struct kist_table *table, void *to, void *from);

#endif
