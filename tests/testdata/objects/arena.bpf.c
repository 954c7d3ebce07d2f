// Variables in an arena, which programs and user space share.
#include "kernel.h"

#define __arena __attribute__((address_space(1)))

struct {
  __uint(type, MAP_TYPE_ARENA);
  __uint(map_flags, 1 << 10); // BPF_F_MMAPABLE
  __uint(max_entries, 16);
} arena SEC(".maps");

u64 __arena shared = 42;
u64 __arena counts[4];

SEC("syscall")
int touch(void *ctx) {
  shared += 1;
  counts[2] = shared;
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
