// Programs that ask for what no kernel has, and do not ask whether it is there.
#include "kernel.h"

struct task_struct___gone {
  struct {
    long no_such_member;
  } no_such_struct;
} __attribute__((preserve_access_index));

u64 value;

static __noinline int ask(struct task_struct___gone *task) {
  value = BPF_CORE_READ(task, no_such_struct.no_such_member);
  return 0;
}

SEC("tp_btf/sys_enter")
int poisoned(void *ctx) {
  value = 1;
  return ask((void *)bpf_get_current_task());
}

void no_such_function(int x) __ksym __weak;

SEC("?tp_btf/sys_exit")
int no_function(void *ctx) {
  no_such_function(3);
  return 0;
}

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, u32);
} left_out SEC(".maps");

SEC("?tp_btf/sched_switch")
int no_map(void *ctx) {
  u32 key = 0;
  return bpf_map_lookup_elem(&left_out, &key) != 0;
}

char LICENSE[] SEC("license") = "GPL";
