// CO-RE of all kinds: fields by place, size and existence, bitfields, flavors, types by id, size, existence and match,
// values of enums of 32 and 64 bits, and what the kernel has not, behind a question.
#include "kernel.h"

struct task_struct___renamed {
  int no_such_member;
  struct task_struct___renamed *real_parent;
  char comm[8];
} __attribute__((preserve_access_index));

struct no_such_struct {
  int x;
} __attribute__((preserve_access_index));

struct tcp_sock {
  u32 snd_cwnd;
  u8 is_cwnd_limited : 1, frto : 1;
} __attribute__((preserve_access_index));

enum bpf_map_type___fewer { BPF_MAP_TYPE_HASH___fewer, NO_SUCH_VALUE___fewer = 77 };
enum no_such_enum { NOT_THERE = 1 };
typedef int pid_t;
struct list_head {
  struct list_head *next, *prev;
};

struct results {
  u32 pid_offset, comm_size, mm_exists, renamed_exists, missing_exists;
  u32 bit_exists, bit_offset, bit_size, bit_signed, bit_lshift, bit_rshift;
  u32 task_exists, no_struct_exists, task_size, list_matches, pid_t_exists;
  u32 local_id, target_id;
  u32 hash_exists, hash_value, missing_value_exists, enum_exists;
} results;
int parent;
u64 wide;

SEC("tp_btf/sys_enter")
int look(void *ctx) {
  struct task_struct *task = (void *)bpf_get_current_task();
  struct task_struct___renamed *renamed = (void *)task;
  struct tcp_sock *tcp = 0;
  results.pid_offset = __builtin_preserve_field_info(task->pid, BPF_FIELD_BYTE_OFFSET);
  results.comm_size = bpf_core_field_size(task->comm);
  results.mm_exists = bpf_core_field_exists(task->mm);
  results.renamed_exists = bpf_core_field_exists(renamed->real_parent);
  results.missing_exists = bpf_core_field_exists(renamed->no_such_member);
  results.bit_exists = bpf_core_field_exists(tcp->is_cwnd_limited);
  results.bit_offset = __builtin_preserve_field_info(tcp->frto, BPF_FIELD_BYTE_OFFSET);
  results.bit_size = __builtin_preserve_field_info(tcp->frto, BPF_FIELD_BYTE_SIZE);
  results.bit_signed = __builtin_preserve_field_info(tcp->frto, BPF_FIELD_SIGNED);
  results.bit_lshift = __builtin_preserve_field_info(tcp->frto, BPF_FIELD_LSHIFT_U64);
  results.bit_rshift = __builtin_preserve_field_info(tcp->frto, BPF_FIELD_RSHIFT_U64);
  results.task_exists = bpf_core_type_exists(struct task_struct);
  results.no_struct_exists = bpf_core_type_exists(struct no_such_struct);
  results.task_size = bpf_core_type_size(struct task_struct);
  results.list_matches = __builtin_preserve_type_info(*(struct list_head *)0, 2);
  results.pid_t_exists = bpf_core_type_exists(pid_t);
  results.local_id = bpf_core_type_id_local(struct list_head);
  results.target_id = bpf_core_type_id_kernel(struct list_head);
  results.hash_exists = bpf_core_enum_value_exists(enum bpf_map_type, BPF_MAP_TYPE_LRU_HASH);
  results.hash_value = bpf_core_enum_value(enum bpf_map_type, BPF_MAP_TYPE_LRU_HASH);
  results.missing_value_exists = bpf_core_enum_value_exists(enum bpf_map_type___fewer, NO_SUCH_VALUE___fewer);
  results.enum_exists = bpf_core_enum_value_exists(enum no_such_enum, NOT_THERE);
  parent = BPF_CORE_READ(task, real_parent, tgid);
  if (bpf_core_field_exists(renamed->no_such_member)) parent += BPF_CORE_READ(renamed, no_such_member);
  if (bpf_core_enum_value_exists(enum no_such_enum, NOT_THERE)) wide = bpf_core_enum_value(enum no_such_enum, NOT_THERE);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
