// A process that opens a pinned map, another one that it begins then, and a thread of the first that takes a table of files
// for itself: the kernel's iterator over open files comes to that thread after the other process. Prints the two processes'
// numbers, and ends when the standard input does.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_for_end(void) {
  char byte;
  while (read(0, &byte, 1) > 0) {}
}

static void *own_files(void *other) {
  if (unshare(CLONE_FILES) != 0) _exit(3);
  printf("%d %d\n", getpid(), *(int *)other);
  fflush(stdout);
  wait_for_end();
  return NULL;
}

int main(int count, char **arguments) {
  struct { uint64_t path; uint32_t fd, flags; } attr;
  memset(&attr, 0, sizeof(attr));
  attr.path = (uintptr_t)arguments[1];
  enum { OBJ_GET = 7 };
  if (count != 2 || syscall(SYS_bpf, OBJ_GET, &attr, sizeof(attr)) < 0) return 1;
  int other = fork();
  if (other == 0) {
    wait_for_end();
    return 0;
  }
  pthread_t thread;
  if (pthread_create(&thread, NULL, own_files, &other) != 0) return 2;
  pthread_join(thread, NULL);
  return 0;
}
