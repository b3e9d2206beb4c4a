/* Lets fsync and fdatasync fail with EIO, for SQLite's files only, while the byte that the file FAILING_SYNC begins with
   is '1'. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails (int file) {
  const char *path = getenv("FAILING_SYNC");
  if (path == NULL) return 0;
  char link[64], target[4096], state = '0';
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, target, sizeof target - 1);
  if (length < 0) return 0;
  target[length] = 0;
  if (strstr(target, ".sqlite3") == NULL) return 0;
  int control = open(path, O_RDONLY | O_CLOEXEC);
  if (control < 0) return 0;
  if (read(control, &state, 1) != 1) state = '0';
  close(control);
  return state == '1';
}

int fsync (int file) {
  static int (*real) (int);
  if (real == NULL) real = dlsym(RTLD_NEXT, "fsync");
  if (fails(file)) { errno = EIO; return -1; }
  return real(file);
}

int fdatasync (int file) {
  static int (*real) (int);
  if (real == NULL) real = dlsym(RTLD_NEXT, "fdatasync");
  if (fails(file)) { errno = EIO; return -1; }
  return real(file);
}
