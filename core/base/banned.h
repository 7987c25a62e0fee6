/* Calls that have no place in kist become compile errors. base.h includes this, so that it holds everywhere.
 *
 * The headers that declare them come first: a later #include of the same header is then empty, and the macros
 * never meet a declaration. Macros with arguments leave members and variables of the same name alone. */
#ifndef KIST_BANNED_H
#define KIST_BANNED_H

#include <glob.h>
#include <grp.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wordexp.h>

#define KIST_BANNED(name) kist_##name##_is_banned_see_core_base_banned_h

/* Unbounded or unchecked: kist_str_*, snprintf and kist_parse_* instead. */
#undef strcpy
#define strcpy(...) KIST_BANNED(strcpy)
#undef stpcpy
#define stpcpy(...) KIST_BANNED(stpcpy)
#undef strcat
#define strcat(...) KIST_BANNED(strcat)
#undef strncat
#define strncat(...) KIST_BANNED(strncat)
#undef sprintf
#define sprintf(...) KIST_BANNED(sprintf)
#undef vsprintf
#define vsprintf(...) KIST_BANNED(vsprintf)
#undef gets
#define gets(...) KIST_BANNED(gets)
#undef strtok
#define strtok(...) KIST_BANNED(strtok)
#undef atoi
#define atoi(...) KIST_BANNED(atoi)
#undef atol
#define atol(...) KIST_BANNED(atol)
#undef atoll
#define atoll(...) KIST_BANNED(atoll)
#undef atof
#define atof(...) KIST_BANNED(atof)

/* A shell between us and the kernel. */
#undef system
#define system(...) KIST_BANNED(system)
#undef popen
#define popen(...) KIST_BANNED(popen)
#undef wordexp
#define wordexp(...) KIST_BANNED(wordexp)

/* These load libraries behind our back (NSS, iconv, locale): a static binary crashes, and after a chroot it
 * would load a container's own code as root. fgetpwent and fgetgrent are fine. */
#undef getpwnam
#define getpwnam(...) KIST_BANNED(getpwnam)
#undef getpwnam_r
#define getpwnam_r(...) KIST_BANNED(getpwnam_r)
#undef getpwuid
#define getpwuid(...) KIST_BANNED(getpwuid)
#undef getpwuid_r
#define getpwuid_r(...) KIST_BANNED(getpwuid_r)
#undef getgrnam
#define getgrnam(...) KIST_BANNED(getgrnam)
#undef getgrnam_r
#define getgrnam_r(...) KIST_BANNED(getgrnam_r)
#undef getgrgid
#define getgrgid(...) KIST_BANNED(getgrgid)
#undef getgrgid_r
#define getgrgid_r(...) KIST_BANNED(getgrgid_r)
#undef getgrouplist
#define getgrouplist(...) KIST_BANNED(getgrouplist)
#undef initgroups
#define initgroups(...) KIST_BANNED(initgroups)
#undef getaddrinfo
#define getaddrinfo(...) KIST_BANNED(getaddrinfo)
#undef getnameinfo
#define getnameinfo(...) KIST_BANNED(getnameinfo)
#undef gethostbyname
#define gethostbyname(...) KIST_BANNED(gethostbyname)
#undef getservbyname
#define getservbyname(...) KIST_BANNED(getservbyname)
#undef setlocale
#define setlocale(...) KIST_BANNED(setlocale)
#undef glob
#define glob(...) KIST_BANNED(glob)

#endif
