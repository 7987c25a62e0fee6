#include "core/base/clock.h"
#include "core/base/str.h"

#include <ctype.h>
#include <errno.h>
#include <time.h>

static int64_t now(clockid_t clock)
{
	struct timespec ts = { 0 };

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * KIST_NSEC_PER_SEC + ts.tv_nsec;
}

int64_t kist_now_wall(void)
{
	return now(CLOCK_REALTIME);
}

int64_t kist_now_boot(void)
{
	return now(CLOCK_BOOTTIME);
}

void kist_sleep_ns(int64_t nanoseconds)
{
	int64_t until = kist_now_boot() + nanoseconds;
	struct timespec ts = { .tv_sec = until / KIST_NSEC_PER_SEC, .tv_nsec = (long)(until % KIST_NSEC_PER_SEC) };

	if (nanoseconds <= 0)
		return;
	while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* The proleptic Gregorian calendar in years that begin in March, so that the leap day is the last of its year; an
 * era is 400 years, 146,097 days. Day 0 is 1970-01-01. */
static void civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
	int64_t era, y;
	unsigned doe, yoe, doy, mp;

	days += 719468;
	era = floor_div(days, 146097);
	doe = (unsigned)(days - era * 146097);
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	y = (int64_t)yoe + era * 400;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = y + (*month <= 2);
}

static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
	int64_t y = year - (month <= 2);
	int64_t era = floor_div(y, 400);
	unsigned yoe = (unsigned)(y - era * 400);
	unsigned doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + (int64_t)doe - 719468;
}

static long local_offset(int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	return localtime_r(&t, &tm) ? tm.tm_gmtoff : 0;
}

char *kist_time_format(char out[40], int64_t wall, bool utc)
{
	int64_t seconds = floor_div(wall, KIST_NSEC_PER_SEC);
	unsigned nanos = (unsigned)(wall - seconds * KIST_NSEC_PER_SEC);
	long offset = utc ? 0 : local_offset(seconds);
	int64_t days, year;
	unsigned month, day, rest, minutes = (unsigned)(offset < 0 ? -offset : offset) / 60;
	int n;

	seconds += offset;
	days = floor_div(seconds, 86400);
	rest = (unsigned)(seconds - days * 86400);
	civil_from_days(days, &year, &month, &day);
	n = snprintf(out, 40, "%04d-%02u-%02uT%02u:%02u:%02u.%09u", (int)year, month, day, rest / 3600, rest / 60 % 60,
	             rest % 60, nanos);
	if (utc)
		snprintf(out + n, 40 - (size_t)n, "Z");
	else
		snprintf(out + n, 40 - (size_t)n, "%c%02u:%02u", offset < 0 ? '-' : '+', minutes / 60 % 100,
		         minutes % 60);
	return out;
}

char *kist_time_format_shortest(char out[40], int64_t wall)
{
	kist_time_format(out, wall, true);
	size_t n = strlen(out) - 1; /* where the Z stands */

	while (out[n - 1] == '0')
		n--;
	if (out[n - 1] == '.')
		n--;
	out[n] = 'Z';
	out[n + 1] = '\0';
	return out;
}

/* Exactly n digits at *text, which moves past them. */
static bool scan_digits(const char **text, size_t n, unsigned *out)
{
	unsigned value = 0;

	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)(*text)[i]))
			return false;
		value = value * 10 + (unsigned)((*text)[i] - '0');
	}
	*text += n;
	*out = value;
	return true;
}

static bool scan_char(const char **text, const char *any_of)
{
	if (!**text || !strchr(any_of, **text))
		return false;
	(*text)++;
	return true;
}

/* ".5": nanoseconds; what is finer than one is cut off. */
static bool scan_nanos(const char **text, unsigned *nanos)
{
	unsigned scale = 100000000;

	*nanos = 0;
	if (!scan_char(text, "."))
		return true;
	if (!isdigit((unsigned char)**text))
		return false;
	for (; isdigit((unsigned char)**text); (*text)++, scale /= 10)
		*nanos += (unsigned)(**text - '0') * scale;
	return true;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* The offset that holds at a local time: the one of the moment that has it. Where a clock change makes the time
 * ambiguous or void, either side will do. */
static int64_t from_local(int64_t local_seconds)
{
	int64_t guess = local_seconds - local_offset(local_seconds);

	return local_seconds - local_offset(guess);
}

struct calendar {
	unsigned year, month, day, hour, minute, second, nanos;
};

/* "2026-01-02", then optionally T or a space and "15", "15:04", "15:04:05", "15:04:05.123". */
static bool scan_calendar(const char **text, struct calendar *c)
{
	*c = (struct calendar){ 0 };
	if (!scan_digits(text, 4, &c->year) || !scan_char(text, "-") || !scan_digits(text, 2, &c->month) ||
	    !scan_char(text, "-") || !scan_digits(text, 2, &c->day))
		return false;
	if (c->month < 1 || c->month > 12 || c->day < 1 || c->day > days_in_month(c->year, c->month))
		return false;
	if (!scan_char(text, "Tt "))
		return true;
	if (!scan_digits(text, 2, &c->hour) || c->hour > 23)
		return false;
	if (scan_char(text, ":")) {
		if (!scan_digits(text, 2, &c->minute) || c->minute > 59)
			return false;
		if (scan_char(text, ":") &&
		    (!scan_digits(text, 2, &c->second) || c->second > 59 || !scan_nanos(text, &c->nanos)))
			return false;
	}
	return true;
}

static int parse_calendar(const char *text, int64_t *wall)
{
	struct calendar c;
	unsigned hours, minutes;
	int64_t seconds, ns;

	if (!scan_calendar(&text, &c))
		return -EINVAL;
	seconds = days_from_civil(c.year, c.month, c.day) * 86400 + c.hour * 3600 + c.minute * 60 + c.second;
	if (*text == '+' || *text == '-') {
		int64_t sign = *text++ == '-' ? -1 : 1;

		if (!scan_digits(&text, 2, &hours) || !scan_char(&text, ":") || !scan_digits(&text, 2, &minutes) ||
		    hours > 23 || minutes > 59)
			return -EINVAL;
		seconds -= sign * (int64_t)(hours * 3600 + minutes * 60);
	} else if (!scan_char(&text, "Zz")) {
		seconds = from_local(seconds);
	}
	if (*text)
		return -EINVAL;
	if (__builtin_mul_overflow(seconds, KIST_NSEC_PER_SEC, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)c.nanos, &ns))
		return -ERANGE;
	*wall = ns;
	return 0;
}

static int parse_unix(const char *text, int64_t *wall)
{
	const char *point = strchrnul(text, '.');
	char *whole KIST_FREE = kist_strndup(text, (size_t)(point - text));
	int64_t seconds, ns;
	unsigned nanos;
	int r = kist_parse_i64(whole, &seconds);

	if (r < 0)
		return r;
	if (!scan_nanos(&point, &nanos) || *point)
		return -EINVAL;
	if (__builtin_mul_overflow(seconds, KIST_NSEC_PER_SEC, &ns) || __builtin_add_overflow(ns, (int64_t)nanos, &ns))
		return -ERANGE;
	*wall = ns;
	return 0;
}

int kist_time_parse(const char *text, int64_t *wall)
{
	int64_t ago, then;
	int r;

	if (kist_empty(text))
		return -EINVAL;
	if (strlen(text) >= 5 && text[4] == '-')
		return parse_calendar(text, wall);
	if (isdigit((unsigned char)*text) && !text[strspn(text, "0123456789.")])
		return parse_unix(text, wall);
	r = kist_parse_duration(text, &ago);
	if (r < 0)
		return r;
	if (__builtin_sub_overflow(kist_now_wall(), ago, &then))
		return -ERANGE;
	*wall = then;
	return 0;
}

char *kist_time_human(char out[40], int64_t nanoseconds)
{
	/* From this many hours on, in this unit. Steps and words are those of docker's go-units. */
	static const struct {
		int64_t below, hours;
		const char *unit;
	} steps[] = {
		{ 48, 1, "hours" },
		{ 24 * 7 * 2, 24, "days" },
		{ 24 * 30 * 2, 24 * 7, "weeks" },
		{ 24 * 365 * 2, 24 * 30, "months" },
	};
	int64_t seconds = nanoseconds / KIST_NSEC_PER_SEC, hours = (seconds + 1800) / 3600;

	if (seconds < 1)
		snprintf(out, 40, "Less than a second");
	else if (seconds == 1)
		snprintf(out, 40, "1 second");
	else if (seconds < 60)
		snprintf(out, 40, "%d seconds", (int)seconds);
	else if (seconds < 120)
		snprintf(out, 40, "About a minute");
	else if (seconds < 3600)
		snprintf(out, 40, "%d minutes", (int)(seconds / 60));
	else if (hours == 1)
		snprintf(out, 40, "About an hour");
	else {
		for (size_t i = 0; i < KIST_COUNT(steps); i++) {
			if (hours < steps[i].below) {
				snprintf(out, 40, "%d %s", (int)(hours / steps[i].hours), steps[i].unit);
				return out;
			}
		}
		snprintf(out, 40, "%d years", (int)(seconds / 3600 / 24 / 365));
	}
	return out;
}

/* value / 10^digits with its fraction, trailing zeros cut off. */
static void decimal(char out[40], uint64_t value, int digits, const char *unit)
{
	uint64_t scale = 1;

	for (int i = 0; i < digits; i++)
		scale *= 10;
	int n = snprintf(out, 40, "%llu.%0*llu", (unsigned long long)(value / scale), digits,
	                 (unsigned long long)(value % scale));
	while (out[n - 1] == '0')
		n--;
	if (out[n - 1] == '.')
		n--;
	snprintf(out + n, 40 - (size_t)n, "%s", unit);
}

char *kist_duration_format(char out[40], int64_t nanoseconds)
{
	uint64_t ns = nanoseconds < 0 ? -(uint64_t)nanoseconds : (uint64_t)nanoseconds;
	uint64_t seconds = ns / 1000000000;
	char text[40];

	if (ns == 0)
		snprintf(text, sizeof(text), "0s");
	else if (ns < 1000)
		snprintf(text, sizeof(text), "%lluns", (unsigned long long)ns);
	else if (ns < 1000000)
		decimal(text, ns, 3, "\xc2\xb5s"); /* the micro sign, as Go has it */
	else if (ns < 1000000000)
		decimal(text, ns, 6, "ms");
	else
		decimal(text, ns - seconds / 60 * 60000000000, 9, "s");
	out[0] = '\0';
	int n = 0;
	if (nanoseconds < 0)
		n = snprintf(out, 40, "-");
	if (seconds >= 3600)
		n += snprintf(out + n, 40 - (size_t)n, "%lluh", (unsigned long long)(seconds / 3600));
	if (seconds >= 60)
		n += snprintf(out + n, 40 - (size_t)n, "%llum", (unsigned long long)(seconds / 60 % 60));
	snprintf(out + n, 40 - (size_t)n, "%s", text);
	return out;
}

/* limit: from where on the rounded number would take the next unit. */
static char *human(char out[24], uint64_t bytes, double base, int digits, double limit, const char *const *units)
{
	double value = (double)bytes;

	while (value >= limit && units[1]) {
		value /= base;
		units++;
	}
	snprintf(out, 24, "%.*g%s", digits, value, *units);
	return out;
}

char *kist_size_human(char out[24], uint64_t bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB", NULL };

	return human(out, bytes, 1000, 3, 999.5, units);
}

char *kist_size_human_binary(char out[24], uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", NULL };

	return human(out, bytes, 1024, 4, 1023.5, units);
}
