#include "core/base/str.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <strings.h>

void kist_str_free(struct kist_str *s)
{
	free(s->data);
	*s = (struct kist_str){ 0 };
}

void kist_str_clear(struct kist_str *s)
{
	s->len = 0;
	if (s->data)
		s->data[0] = '\0';
}

void kist_str_reserve(struct kist_str *s, size_t more)
{
	size_t need;

	/* An impossible size: the allocation fails, which ends the process. */
	if (__builtin_add_overflow(s->len, more, &need) || __builtin_add_overflow(need, 1, &need))
		need = SIZE_MAX;
	if (need <= s->cap)
		return;
	if (need < 64)
		need = 64;
	if (need < s->cap + s->cap / 2)
		need = s->cap + s->cap / 2;
	s->data = kist_realloc(s->data, need);
	s->cap = need;
	s->data[s->len] = '\0';
}

void kist_str_addn(struct kist_str *s, const void *bytes, size_t n)
{
	kist_str_reserve(s, n);
	if (n)
		memcpy(s->data + s->len, bytes, n);
	s->len += n;
	s->data[s->len] = '\0';
}

void kist_str_add(struct kist_str *s, const char *text)
{
	if (text)
		kist_str_addn(s, text, strlen(text));
}

void kist_str_addc(struct kist_str *s, char c)
{
	kist_str_addn(s, &c, 1);
}

void kist_str_addf(struct kist_str *s, const char *fmt, ...)
{
	va_list ap;
	int n;

	kist_str_reserve(s, 63);
	va_start(ap, fmt);
	n = vsnprintf(s->data + s->len, s->cap - s->len, fmt, ap);
	va_end(ap);
	if (n < 0) { /* longer than INT_MAX, or a conversion that cannot be made */
		s->data[s->len] = '\0';
		return;
	}
	if ((size_t)n >= s->cap - s->len) {
		kist_str_reserve(s, (size_t)n);
		va_start(ap, fmt);
		vsnprintf(s->data + s->len, s->cap - s->len, fmt, ap);
		va_end(ap);
	}
	s->len += (size_t)n;
}

char *kist_str_take(struct kist_str *s)
{
	char *data = s->data ? s->data : kist_strdup("");

	*s = (struct kist_str){ 0 };
	return data;
}

const char *kist_str_get(const struct kist_str *s)
{
	return s->data ? s->data : "";
}

/* Digits of the base from *text on; *text moves past them. -EINVAL without any digit. */
static int scan_u64(const char **text, unsigned base, uint64_t *out)
{
	const char *p = *text;
	uint64_t value = 0;
	bool overflow = false;

	if (*p < '0' || *p >= (char)('0' + base))
		return -EINVAL;
	for (; *p >= '0' && *p < (char)('0' + base); p++) {
		overflow = overflow || __builtin_mul_overflow(value, base, &value) ||
		           __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value);
	}
	*text = p;
	*out = value;
	return overflow ? -ERANGE : 0;
}

/* The whole text, not above max. Junk is -EINVAL even where the digits overflow. */
static int parse_whole(const char *text, unsigned base, uint64_t max, uint64_t *out)
{
	uint64_t value;
	int r;

	if (!text)
		return -EINVAL;
	r = scan_u64(&text, base, &value);
	if (r == -EINVAL || *text)
		return -EINVAL;
	if (r < 0 || value > max)
		return -ERANGE;
	*out = value;
	return 0;
}

int kist_parse_u64(const char *text, uint64_t *out)
{
	return parse_whole(text, 10, UINT64_MAX, out);
}

int kist_parse_i64(const char *text, int64_t *out)
{
	bool negative = text && *text == '-';
	uint64_t value;
	int r = parse_whole(text + negative, 10, (uint64_t)INT64_MAX + negative, &value);

	if (r < 0)
		return r;
	*out = negative ? (int64_t)(0 - value) : (int64_t)value;
	return 0;
}

int kist_parse_u32(const char *text, uint32_t *out)
{
	uint64_t value;
	int r = parse_whole(text, 10, UINT32_MAX, &value);

	if (r == 0)
		*out = (uint32_t)value;
	return r;
}

int kist_parse_octal(const char *text, uint32_t *out)
{
	uint64_t value;
	int r = parse_whole(text, 8, UINT32_MAX, &value);

	if (r == 0)
		*out = (uint32_t)value;
	return r;
}

int kist_parse_bool(const char *text, bool *out)
{
	static const struct {
		const char *name;
		bool value;
	} names[] = {
		{ "true", true }, { "false", false }, { "1", true },  { "0", false },
		{ "yes", true },  { "no", false },    { "on", true }, { "off", false },
	};

	for (size_t i = 0; text && i < KIST_COUNT(names); i++) {
		if (strcasecmp(text, names[i].name) == 0) {
			*out = names[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

/* What follows a decimal point: numerator and denominator. 18 digits fit, and are finer than any unit here. */
static int scan_fraction(const char **text, uint64_t *numerator, uint64_t *denominator)
{
	const char *p = *text;

	*numerator = 0;
	*denominator = 1;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (*denominator >= 1000000000000000000ULL)
			return -EINVAL;
		*numerator = *numerator * 10 + (uint64_t)(*p - '0');
		*denominator *= 10;
	}
	*text = p;
	return 0;
}

int kist_parse_size(const char *text, uint64_t *out)
{
	static const char units[] = "bkmgt";
	uint64_t whole = 0, numerator = 0, denominator = 1, scale = 1;
	unsigned __int128 value;
	const char *unit;
	int r;

	if (!text)
		return -EINVAL;
	r = scan_u64(&text, 10, &whole);
	if (r == -EINVAL)
		return r;
	if (*text == '.') {
		text++;
		if (!isdigit((unsigned char)*text) || scan_fraction(&text, &numerator, &denominator) < 0)
			return -EINVAL;
	}
	if (*text) {
		unit = strchr(units, tolower((unsigned char)*text++));
		if (!unit)
			return -EINVAL;
		scale <<= 10 * (unit - units);
		if (unit != units && *text && strcasecmp(text, "b") != 0 && strcasecmp(text, "ib") != 0)
			return -EINVAL;
		if (unit == units && *text)
			return -EINVAL;
	}
	if (scale == 1 && numerator)
		return -EINVAL;
	value = (unsigned __int128)whole * scale + (unsigned __int128)numerator * scale / denominator;
	if (r < 0 || value > UINT64_MAX)
		return -ERANGE;
	*out = (uint64_t)value;
	return 0;
}

/* The unit at *text in nanoseconds, 0 if there is none; *text moves past it. */
static uint64_t scan_duration_unit(const char **text)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		/* the longer of two that start alike comes first */
		{ "ns", 1 },
		{ "us", 1000 },
		{ "\xc2\xb5s", 1000 }, /* U+00B5 and U+03BC: both are in use */
		{ "\xce\xbcs", 1000 },
		{ "ms", 1000000 },
		{ "s", 1000000000 },
		{ "m", 60000000000 },
		{ "h", 3600000000000 },
	};

	for (size_t i = 0; i < KIST_COUNT(units); i++) {
		if (kist_has_prefix(*text, units[i].name)) {
			*text += strlen(units[i].name);
			return units[i].ns;
		}
	}
	return 0;
}

int kist_parse_duration(const char *text, int64_t *nanoseconds)
{
	unsigned __int128 total = 0;
	bool negative, overflow = false;

	if (kist_empty(text))
		return -EINVAL;
	negative = *text == '-';
	text += *text == '-' || *text == '+';
	if (kist_streq(text, "0")) {
		*nanoseconds = 0;
		return 0;
	}
	do {
		uint64_t whole = 0, numerator = 0, denominator = 1, unit;
		bool has_whole = isdigit((unsigned char)*text);

		if (has_whole && scan_u64(&text, 10, &whole) < 0)
			overflow = true;
		if (*text == '.') {
			text++;
			if (!isdigit((unsigned char)*text) && !has_whole)
				return -EINVAL;
			if (scan_fraction(&text, &numerator, &denominator) < 0)
				return -EINVAL;
		} else if (!has_whole) {
			return -EINVAL;
		}
		unit = scan_duration_unit(&text);
		if (!unit)
			return -EINVAL;
		total += (unsigned __int128)whole * unit + (unsigned __int128)numerator * unit / denominator;
		overflow = overflow || total > (uint64_t)INT64_MAX;
	} while (*text);
	if (overflow)
		return -ERANGE;
	*nanoseconds = negative ? -(int64_t)total : (int64_t)total;
	return 0;
}

/* The kernel's numbers. 32 and 33 belong to the C library and have no name; 34 is the first real-time signal that a
 * program sees (nptl(7)). */
static const char *const signal_names[65] = {
	[SIGHUP] = "HUP",
	[SIGINT] = "INT",
	[SIGQUIT] = "QUIT",
	[SIGILL] = "ILL",
	[SIGTRAP] = "TRAP",
	[SIGABRT] = "ABRT",
	[SIGBUS] = "BUS",
	[SIGFPE] = "FPE",
	[SIGKILL] = "KILL",
	[SIGUSR1] = "USR1",
	[SIGSEGV] = "SEGV",
	[SIGUSR2] = "USR2",
	[SIGPIPE] = "PIPE",
	[SIGALRM] = "ALRM",
	[SIGTERM] = "TERM",
#ifdef SIGSTKFLT
	[SIGSTKFLT] = "STKFLT",
#endif
	[SIGCHLD] = "CHLD",
	[SIGCONT] = "CONT",
	[SIGSTOP] = "STOP",
	[SIGTSTP] = "TSTP",
	[SIGTTIN] = "TTIN",
	[SIGTTOU] = "TTOU",
	[SIGURG] = "URG",
	[SIGXCPU] = "XCPU",
	[SIGXFSZ] = "XFSZ",
	[SIGVTALRM] = "VTALRM",
	[SIGPROF] = "PROF",
	[SIGWINCH] = "WINCH",
	[SIGIO] = "IO",
	[SIGPWR] = "PWR",
	[SIGSYS] = "SYS",
	[34] = "RTMIN",
	"RTMIN+1",
	"RTMIN+2",
	"RTMIN+3",
	"RTMIN+4",
	"RTMIN+5",
	"RTMIN+6",
	"RTMIN+7",
	"RTMIN+8",
	"RTMIN+9",
	"RTMIN+10",
	"RTMIN+11",
	"RTMIN+12",
	"RTMIN+13",
	"RTMIN+14",
	"RTMIN+15",
	"RTMAX-14",
	"RTMAX-13",
	"RTMAX-12",
	"RTMAX-11",
	"RTMAX-10",
	"RTMAX-9",
	"RTMAX-8",
	"RTMAX-7",
	"RTMAX-6",
	"RTMAX-5",
	"RTMAX-4",
	"RTMAX-3",
	"RTMAX-2",
	"RTMAX-1",
	"RTMAX",
};

const char *kist_signal_name(int signal_number)
{
	if (signal_number < 1 || signal_number >= (int)KIST_COUNT(signal_names))
		return NULL;
	return signal_names[signal_number];
}

/* RTMIN+n and RTMAX-n for every n, not only the half that the table names. */
static int parse_realtime(const char *name)
{
	bool from_min = strncasecmp(name, "RTMIN+", 6) == 0;
	uint32_t n;

	if (!from_min && strncasecmp(name, "RTMAX-", 6) != 0)
		return -EINVAL;
	if (kist_parse_u32(name + 6, &n) < 0 || n > 30)
		return -EINVAL;
	return from_min ? 34 + (int)n : 64 - (int)n;
}

int kist_parse_signal(const char *text)
{
	static const struct {
		const char *name;
		int number;
	} aliases[] = { { "CLD", SIGCHLD }, { "IOT", SIGABRT }, { "POLL", SIGIO } };
	uint32_t number;

	if (kist_empty(text))
		return -EINVAL;
	if (isdigit((unsigned char)*text))
		return kist_parse_u32(text, &number) == 0 && number >= 1 && number <= 64 ? (int)number : -EINVAL;
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (int i = 1; i < (int)KIST_COUNT(signal_names); i++) {
		if (signal_names[i] && strcasecmp(text, signal_names[i]) == 0)
			return i;
	}
	for (size_t i = 0; i < KIST_COUNT(aliases); i++) {
		if (strcasecmp(text, aliases[i].name) == 0)
			return aliases[i].number;
	}
	return parse_realtime(text);
}
