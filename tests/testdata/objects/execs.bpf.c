// A tool like execsnoop: programs that are executed, told through a perf buffer, from a per-CPU map that is too large for
// the stack.
#include "kernel.h"

struct event {
  u32 pid;
  u32 ppid;
  char comm[16];
  char filename[128];
};

static const struct event empty_event = {};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, u32);
  __type(value, struct event);
} execs SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(key_size, sizeof(u32));
  __uint(value_size, sizeof(u32));
} events SEC(".maps");

struct trace_event_raw_sched_process_exec {
  u32 __data_loc_filename;
  u32 pid;
} __attribute__((preserve_access_index));

SEC("tp/sched/sched_process_exec")
int on_exec(struct trace_event_raw_sched_process_exec *ctx) {
  u32 id = bpf_get_current_pid_tgid();
  if (bpf_map_update_elem(&execs, &id, &empty_event, BPF_NOEXIST)) return 0;
  struct event *event = bpf_map_lookup_elem(&execs, &id);
  if (!event) return 0;
  struct task_struct *task = (struct task_struct *)bpf_get_current_task();
  event->pid = bpf_get_current_pid_tgid() >> 32;
  event->ppid = (u32)BPF_CORE_READ(task, real_parent, tgid);
  bpf_get_current_comm(event->comm, sizeof(event->comm));
  unsigned int at = BPF_CORE_READ(ctx, __data_loc_filename) & 0xffff;
  bpf_probe_read_kernel_str(event->filename, sizeof(event->filename), (void *)ctx + at);
  bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, event, sizeof(*event));
  bpf_map_delete_elem(&execs, &id);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
