// Maps of all attributes: sizes and types, flags, pins, maps of maps and program arrays with what they hold from the start.
#include "kernel.h"

struct pair {
  u32 one;
  u64 other;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 100);
  __uint(key_size, 6);
  __uint(value_size, 24);
} sized SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
  __uint(max_entries, 64);
  __type(key, struct pair);
  __type(value, struct pair);
} typed SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 8);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, u32);
  __type(value, u64);
  __uint(pinning, LIBBPF_PIN_BY_NAME);
} pinned SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 5000); // which becomes 8192
} ring SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __type(key, int);
  __type(value, u32);
} perf SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_QUEUE);
  __uint(max_entries, 4);
  __type(value, struct pair);
} queue SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_STACK_TRACE);
  __uint(max_entries, 32);
  __uint(key_size, sizeof(u32));
  __uint(value_size, 127 * sizeof(u64));
} stacks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 16);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(key_size, 8);
  __type(value, u32);
} routes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, 4);
  __uint(key_size, sizeof(u32));
  __uint(value_size, 8);
} devices SEC(".maps");

struct inner {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 4);
  __type(key, u32);
  __type(value, u64);
} first SEC(".maps"), second SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 5);
  __type(key, u32);
  __array(values, struct inner);
} outer SEC(".maps") = {
  .values = {[1] = &first, [4] = &second},
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
  __uint(max_entries, 3);
  __type(key, u32);
  __array(values, struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 2);
    __type(key, u32);
    __type(value, struct pair);
  });
} empty_outer SEC(".maps");

int tail_one(struct xdp_md *ctx);

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 3);
  __uint(key_size, sizeof(u32));
  __array(values, int(struct xdp_md *));
} tails SEC(".maps") = {
  .values = {[2] = &tail_one},
};

SEC("xdp")
int tail_one(struct xdp_md *ctx) {
  u32 key = 3;
  u64 *count = bpf_map_lookup_elem(&pinned, &key);
  if (count) *count += 7;
  return XDP_TX;
}

SEC("xdp")
int start_here(struct xdp_md *ctx) {
  u32 slot = 1;
  u64 value = 40;
  void *inner = bpf_map_lookup_elem(&outer, &slot);
  if (inner) bpf_map_update_elem(inner, &slot, &value, BPF_ANY);
  struct pair pair = {1, 2};
  bpf_map_update_elem(&typed, &pair, &pair, BPF_ANY);
  bpf_map_push_elem(&queue, &pair, BPF_ANY);
  bpf_tail_call(ctx, &tails, 2);
  return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
