// The same in C as bench/object.ts does, on libbpf: `object OBJECT`. Reads lines `OPERATION PASSES` and answers with
// nanoseconds and a sum. "relocate" opens and loads while calls of bpf(2) are answered here, so that what is left is
// libbpf's own work; "load" does it with the kernel.
#define _GNU_SOURCE
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/bpf.h>

static int faking;

// libbpf's calls of bpf(2) come through here: this symbol stands before libc's.
long syscall(long number, ...) {
  static long (*real)(long, ...);
  va_list args;
  va_start(args, number);
  long a = va_arg(args, long), b = va_arg(args, long), c = va_arg(args, long), d = va_arg(args, long),
       e = va_arg(args, long), f = va_arg(args, long);
  va_end(args);
  if (!real) real = dlsym(RTLD_NEXT, "syscall");
  if (faking && number == SYS_bpf) {
    if (a == BPF_MAP_CREATE || a == BPF_PROG_LOAD || a == BPF_BTF_LOAD) return dup(0);
    return 0;
  }
  return real(number, a, b, c, d, e, f);
}

static int silent(enum libbpf_print_level level, const char *format, va_list args) {
  return 0;
}

static char *bytes;
static long size;

static long pass(void) {
  struct bpf_object *object = bpf_object__open_mem(bytes, size, NULL);
  if (!object || bpf_object__load(object)) exit(1);
  long sum = 0;
  struct bpf_program *program;
  bpf_object__for_each_program(program, object) sum += bpf_program__insn_cnt(program);
  bpf_object__close(object);
  return sum;
}

int main(int argc, char **argv) {
  FILE *file = fopen(argv[1], "rb");
  if (argc != 2 || !file) return 2;
  fseek(file, 0, SEEK_END);
  size = ftell(file);
  rewind(file);
  bytes = malloc(size);
  if (fread(bytes, 1, size, file) != (size_t)size) return 2;
  libbpf_set_print(silent);
  char operation[32];
  long passes;
  while (scanf("%31s %ld", operation, &passes) == 2) {
    faking = strcmp(operation, "relocate") == 0;
    struct timespec start, end;
    long sum = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long each = 0; each < passes; each++) sum += pass();
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%ld %ld\n", (end.tv_sec - start.tv_sec) * 1000000000L + end.tv_nsec - start.tv_nsec, sum);
    fflush(stdout);
  }
  return 0;
}
