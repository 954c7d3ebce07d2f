// Kinds of BTF that came one after the other: floating point numbers, tags of types and declarations, enums of 64 bits.
#include "kernel.h"

#define __tag(x) __attribute__((btf_decl_tag(x)))
#define __typed(x) __attribute__((btf_type_tag(x)))

enum wide { WIDE_ONE = 1, WIDE_TOP = 0x8000000000000000ull };
enum negative { LOWEST = -5, HIGHEST = 7 };

struct tagged {
  u32 plain __tag("a member");
  u32 __typed("pointee") *pointer;
  double ratio;
  enum wide wide;
  enum negative negative;
} __tag("a struct");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, u32);
  __type(value, struct tagged);
} tagged SEC(".maps");

struct tagged variable __tag("a variable");
enum wide wide = WIDE_TOP;

__noinline int global(int x __tag("an argument")) {
  return x + 1;
}

SEC("socket")
int look(struct __sk_buff *skb) {
  u32 key = 1;
  struct tagged *found = bpf_map_lookup_elem(&tagged, &key);
  if (found) {
    found->wide = WIDE_TOP;
    found->negative = LOWEST;
  }
  variable.plain += 1;
  return global(variable.plain);
}

char LICENSE[] SEC("license") = "GPL";
