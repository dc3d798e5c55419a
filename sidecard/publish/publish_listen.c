/* The listening socket: the service manager's, or one of our own at RUNTIME_DIR/io.sidecard. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "publish/varlink_server.h"

#define SOCKET_NAME "io.sidecard"

static int address_of(const char *directory, const char *name, struct sockaddr_un *ret_address,
		      struct fault *fault)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", directory, name);

	if (n < 0 || (size_t)n >= sizeof(address.sun_path))
		return fault_set(fault, -ENAMETOOLONG,
				 "socket '%s/%s': the path is too long, expected at most %zu bytes",
				 directory, name, sizeof(address.sun_path) - 1);
	*ret_address = address;
	return 0;
}

/* Refuses to take the place of a socket that somebody serves; one that a dead daemon left may be
 * replaced. */
static int check_nobody_answers(const struct sockaddr_un *address, struct fault *fault)
{
	cleanup(close_fdp) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return fault_set(fault, -errno, "cannot make a socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
	    errno != EAGAIN) /* EAGAIN: alive, with a full queue */
		return 0;
	return fault_set(fault, -EADDRINUSE, "socket '%s': another sidecard answers there",
			 address->sun_path);
}

/* Binds to a name of its own and renames, so that the socket is never missing and never refuses
 * while we start. */
static int listener_bind(struct sockets *sockets, int fd, struct fault *fault)
{
	char temporary[64];
	struct sockaddr_un address;
	struct stat status;
	mode_t mask;
	int r;

	snprintf(temporary, sizeof(temporary), ".new." SOCKET_NAME ".%lld", (long long)getpid());
	r = address_of(sockets->runtime_dir, temporary, &address, fault);
	if (r < 0)
		return r;
	unlinkat(sockets->runtime_dirfd, temporary, 0);
	mask = umask(0111); /* 0666 from the beginning; a chmod afterwards would follow a link */
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return fault_set(fault, r, "socket '%s': cannot bind: %s", address.sun_path,
				 strerror(-r));
	if (listen(fd, SOMAXCONN) < 0 ||
	    fstatat(sockets->runtime_dirfd, temporary, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
	    renameat(sockets->runtime_dirfd, temporary, sockets->runtime_dirfd, SOCKET_NAME) < 0) {
		r = -errno;
		unlinkat(sockets->runtime_dirfd, temporary, 0);
		return fault_set(fault, r,
				 "socket '%s/" SOCKET_NAME "': cannot be put in place: %s",
				 sockets->runtime_dir, strerror(-r));
	}
	sockets->socket_inode = status.st_ino;
	sockets->is_own_listener = true;
	return 0;
}

static int listener_make(struct sockets *sockets, struct fault *fault)
{
	cleanup(close_fdp) int fd = -1;
	struct sockaddr_un address;
	int r = address_of(sockets->runtime_dir, SOCKET_NAME, &address, fault);

	if (r == 0)
		r = check_nobody_answers(&address, fault);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fault_set(fault, -errno, "cannot make the listening socket: %s",
				 strerror(errno));
	r = listener_bind(sockets, fd, fault);
	if (r < 0)
		return r;
	sockets->listen_fd = TAKE_FD(fd);
	return 0;
}

/* A socket of the service manager's: whatever it is, it must be ours to accept from without
 * waiting. */
static int listener_adopt(struct sockets *sockets, int listen_fd, struct fault *fault)
{
	int is_listening = 0, domain = 0, flags;
	socklen_t n_bytes = sizeof(is_listening), n_domain = sizeof(domain);

	sockets->listen_fd = listen_fd;
	if (getsockopt(listen_fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &n_bytes) < 0 ||
	    getsockopt(listen_fd, SOL_SOCKET, SO_DOMAIN, &domain, &n_domain) < 0 || !is_listening ||
	    domain != AF_UNIX)
		return fault_set(
			fault, -EINVAL,
			"descriptor %d was passed as the socket, expected a listening unix stream"
			" socket",
			listen_fd);
	flags = fcntl(listen_fd, F_GETFL);
	if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(listen_fd, F_SETFD, FD_CLOEXEC) < 0)
		return fault_set(fault, -errno, "descriptor %d cannot be made non-blocking: %s",
				 listen_fd, strerror(errno));
	return 0;
}

int listener_open(struct sockets *sockets, int listen_fd, struct fault *fault)
{
	return listen_fd >= 3 ? listener_adopt(sockets, listen_fd, fault)
			      : listener_make(sockets, fault);
}

/* Only what is still ours: the next daemon may have put its own there already. */
void listener_remove(const struct sockets *sockets)
{
	struct stat status;

	if (sockets->is_own_listener &&
	    fstatat(sockets->runtime_dirfd, SOCKET_NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    status.st_ino == sockets->socket_inode)
		unlinkat(sockets->runtime_dirfd, SOCKET_NAME, 0);
}
