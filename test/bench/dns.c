/* How many names a server answers a second: keeps WINDOW queries for one name in flight over UDP, for so many seconds.
 *
 *   dns ADDRESS NAME SECONDS
 *
 * Prints the rate, and how many answers were missing or wrong. Static, so that it runs in any container. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 32, PACKET = 512, LOST_MS = 1000 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A question for the address of a name. */
static size_t question(uint8_t *packet, const char *name)
{
	static const uint8_t header[12] = { 0, 0, 1, 0, 0, 1 }, tail[5] = { 0, 0, 1, 0, 1 };
	size_t len = sizeof(header);

	memcpy(packet, header, sizeof(header));
	while (*name) {
		size_t n = strcspn(name, ".");

		if (n == 0 || n > 63 || len + n + 1 + sizeof(tail) > PACKET)
			return 0;
		packet[len++] = (uint8_t)n;
		memcpy(packet + len, name, n);
		len += n;
		name += n + (name[n] == '.');
	}
	memcpy(packet + len, tail, sizeof(tail));
	return len + sizeof(tail);
}

static void ask(int fd, uint8_t *packet, size_t len, uint16_t id)
{
	packet[0] = (uint8_t)(id >> 8);
	packet[1] = (uint8_t)id;
	if (send(fd, packet, len, 0) < 0 && errno != ENOBUFS)
		perror("dns: send");
}

int main(int argc, char **argv)
{
	struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons(53) };
	uint64_t answered = 0, wrong = 0, lost = 0;
	uint8_t query[PACKET], answer[PACKET];
	uint16_t id = 0;

	size_t len = argc == 4 ? question(query, argv[2]) : 0;
	if (!len || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) {
		fprintf(stderr, "usage: dns ADDRESS NAME SECONDS\n");
		return 2;
	}
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof(server)) < 0) {
		perror("dns");
		return 1;
	}
	double start = now(), end = start + atof(argv[3]);
	for (int i = 0; i < WINDOW; i++)
		ask(fd, query, len, id++);
	while (now() < end) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };

		if (poll(&wait, 1, LOST_MS) == 0) {
			lost += WINDOW;
			for (int i = 0; i < WINDOW; i++)
				ask(fd, query, len, id++);
			continue;
		}
		ssize_t n = recv(fd, answer, sizeof(answer), 0);
		/* No error, and one answer at least. */
		if (n < 12 || (answer[3] & 15) || !(answer[6] | answer[7]))
			wrong++;
		else
			answered++;
		ask(fd, query, len, id++);
	}
	double seconds = now() - start;
	printf("%.0f names a second, %llu lost, %llu wrong\n", (double)answered / seconds, (unsigned long long)lost,
	       (unsigned long long)wrong);
	return lost || wrong;
}
