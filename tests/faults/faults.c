/* Faults of a disk and of a machine, put between a server and the C library by LD_PRELOAD.
 *
 * The file that TANDEM_FAULTS names says what goes wrong, and is read at every call, so that a test
 * switches faults while the server runs. A line of it is
 *
 *     CALL WHAT [PART OF THE PATH]
 *
 * CALL is fsync (and fdatasync), write, rename, unlink or fork; WHAT is the name of an error, or
 * `stall`: the call waits for as long as the line stands. For rename the path is the new one.
 * A part that ends in $ is meant to be the end of the path, as that of a folder is.
 * What was hit is appended to the file with `.hits` behind its name: `CALL WHAT PATH`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define NONE 0
#define STALL -1

static const struct {
    const char *name;
    int number;
} ERRORS[] = {
    {"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EAGAIN", EAGAIN},
    {"ENOMEM", ENOMEM}, {"EROFS", EROFS},   {"stall", STALL},
};

static ssize_t (*real_write)(int, const void *, size_t);

static int number_of(const char *name) {
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++) {
        if (strcmp(ERRORS[i].name, name) == 0) return ERRORS[i].number;
    }
    return NONE;
}

static int is_part(char *part, const char *path) {
    size_t len = strlen(part), path_len = strlen(path);
    if (len == 0 || part[len - 1] != '$') return strstr(path, part) != NULL;
    part[--len] = 0;
    return path_len >= len && strcmp(path + path_len - len, part) == 0;
}

/* What the control file says of such a call now. */
static int asked_for(const char *call, const char *path, char *what, size_t size) {
    const char *control = getenv("TANDEM_FAULTS");
    if (!control) return NONE;
    int fd = open(control, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NONE;
    char text[4096];
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    if (len <= 0) return NONE;
    text[len] = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char name[32], error[32], part[1024] = "";
        if (sscanf(line, "%31s %31s %1023s", name, error, part) < 2) continue;
        if (strcmp(name, call) != 0 || !is_part(part, path)) continue;
        snprintf(what, size, "%s", error);
        return number_of(error);
    }
    return NONE;
}

static void note(const char *call, const char *what, const char *path) {
    char name[1100], line[5000];
    snprintf(name, sizeof name, "%s.hits", getenv("TANDEM_FAULTS"));
    int len = snprintf(line, sizeof line, "%s %s %s\n", call, what, path);
    int fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return;
    if (real_write(fd, line, len) < 0) abort();
    close(fd);
}

/* 0, or the error that the call is to end with. Waits where the control file says so. */
static int fault(const char *call, const char *path) {
    if (!real_write) real_write = dlsym(RTLD_NEXT, "write");
    char what[32];
    int stalled = 0;
    int saved = errno;
    for (;;) {
        int error = asked_for(call, path, what, sizeof what);
        if (error != NONE && !stalled) note(call, what, path);
        if (error != STALL) {
            errno = saved;
            return error;
        }
        stalled = 1;
        struct timespec pause = {0, 2000000};
        nanosleep(&pause, NULL);
    }
}

static int fault_of_fd(const char *call, int fd) {
    char link[64], path[4096];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    errno = saved;
    /* Sockets, pipes and the like are no files. */
    if (len <= 0 || path[0] != '/') return NONE;
    path[len] = 0;
    return fault(call, path);
}

#define FAIL_IF(error, failed)     \
    do {                           \
        int number = (error);      \
        if (number != NONE) {      \
            errno = number;        \
            return (failed);       \
        }                          \
    } while (0)

ssize_t write(int fd, const void *bytes, size_t len) {
    if (!real_write) real_write = dlsym(RTLD_NEXT, "write");
    FAIL_IF(fault_of_fd("write", fd), -1);
    return real_write(fd, bytes, len);
}

int fsync(int fd) {
    FAIL_IF(fault_of_fd("fsync", fd), -1);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    FAIL_IF(fault_of_fd("fsync", fd), -1);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

int rename(const char *from, const char *to) {
    FAIL_IF(fault("rename", to), -1);
    return ((int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename"))(from, to);
}

int unlink(const char *path) {
    FAIL_IF(fault("unlink", path), -1);
    return ((int (*)(const char *))dlsym(RTLD_NEXT, "unlink"))(path);
}

pid_t fork(void) {
    FAIL_IF(fault("fork", ""), -1);
    return ((pid_t(*)(void))dlsym(RTLD_NEXT, "fork"))();
}
