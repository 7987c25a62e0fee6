/* Linked into the static binary only: name look-ups that always fail.
 *
 * libnl refers to these for features kist does not use (host names instead of addresses, protocol names). Without
 * definitions of our own the link takes glibc's, which load NSS modules from the host, or from a container after a
 * chroot, into a process that is root. Answering 'not found' here keeps all of NSS out of the file. */
#include <netdb.h>
#include <stddef.h>
#include <sys/socket.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *request, struct addrinfo **result)
{
	(void)name;
	(void)service;
	(void)request;
	(void)result;
	return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *list)
{
	(void)list;
}

int getnameinfo(const struct sockaddr *address, socklen_t length, char *host, socklen_t host_size, char *service,
                socklen_t service_size, int flags)
{
	(void)address;
	(void)length;
	(void)host;
	(void)host_size;
	(void)service;
	(void)service_size;
	(void)flags;
	return EAI_FAIL;
}

struct protoent *getprotobyname(const char *name)
{
	(void)name;
	return NULL;
}

struct protoent *getprotobynumber(int number)
{
	(void)number;
	return NULL;
}
