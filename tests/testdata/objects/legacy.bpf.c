// Maps as they were defined before BTF.
#include "kernel.h"

struct map_def {
  unsigned int type, key_size, value_size, max_entries, map_flags;
};

struct map_def SEC("maps") old_hash = {BPF_MAP_TYPE_HASH, 4, 8, 32, BPF_F_NO_PREALLOC};
struct map_def SEC("maps") old_array = {BPF_MAP_TYPE_ARRAY, 4, 4, 2, 0};

SEC("socket")
int look(struct __sk_buff *skb) {
  u32 key = 1;
  u64 value = 5;
  bpf_map_update_elem(&old_hash, &key, &value, BPF_ANY);
  u32 *found = bpf_map_lookup_elem(&old_array, &key);
  return found ? *found : 0;
}

char LICENSE[] SEC("license") = "GPL";
