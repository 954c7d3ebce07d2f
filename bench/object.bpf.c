// What is loaded by bench/object.ts: 10 maps, 10 programs, 20 CO-RE relocations, and code for the verifier to go through.
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
  int pid, tgid, prio, static_prio, normal_prio;
  unsigned int rt_priority, flags, policy;
  struct task_struct *real_parent, *group_leader;
} __attribute__((preserve_access_index));

struct value {
  __u64 count, sum, last, slots[16];
};

#define MAP(n)                          \
  struct {                              \
    __uint(type, BPF_MAP_TYPE_HASH);    \
    __uint(max_entries, 64);            \
    __type(key, __u32);                 \
    __type(value, struct value);        \
  } map_##n SEC(".maps")

MAP(0); MAP(1); MAP(2); MAP(3); MAP(4); MAP(5); MAP(6); MAP(7);

const volatile __u32 wanted = 0;
__u64 total;

static __noinline void add(struct value *value, __u64 number) {
  value->count++;
  value->sum += number;
  for (int i = 0; i < 16; i++)
    if (number >> i & 1) value->slots[i]++;
  value->last = number;
}

#define PROG(n, one, other)                                              \
  SEC("raw_tp/sched_process_exec")                                       \
  int prog_##n(void *ctx) {                                              \
    struct task_struct *task = (void *)bpf_get_current_task();           \
    __u32 key = bpf_get_current_pid_tgid() >> 32;                        \
    struct value empty = {}, *value;                                     \
    if (wanted && wanted != key) return 0;                               \
    value = bpf_map_lookup_elem(&map_##n, &key);                         \
    if (!value) {                                                        \
      bpf_map_update_elem(&map_##n, &key, &empty, BPF_ANY);              \
      value = bpf_map_lookup_elem(&map_##n, &key);                       \
      if (!value) return 0;                                              \
    }                                                                    \
    add(value, (__u64)BPF_CORE_READ(task, one) + (__u64)BPF_CORE_READ(task, other)); \
    total++;                                                             \
    return 0;                                                            \
  }

#define map_8 map_0
#define map_9 map_1

PROG(0, pid, tgid)
PROG(1, prio, static_prio)
PROG(2, normal_prio, rt_priority)
PROG(3, flags, policy)
PROG(4, real_parent, group_leader)
PROG(5, pid, flags)
PROG(6, tgid, policy)
PROG(7, prio, pid)
PROG(8, static_prio, group_leader)
PROG(9, rt_priority, real_parent)

char LICENSE[] SEC("license") = "GPL";
