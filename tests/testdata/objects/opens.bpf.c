// A tool like opensnoop: what is opened by whom, told through a ring buffer.
#include "kernel.h"

struct args {
  const char *path;
  int flags;
};

struct event {
  u32 pid;
  u32 parent;
  int ret;
  int flags;
  char comm[16];
  char path[64];
};

const volatile u32 targ_pid = 0;
const volatile bool only_failed = false;
u64 seen;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 10240);
  __type(key, u32);
  __type(value, struct args);
} start SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 256 * 1024);
} events SEC(".maps");

// Without it BTF would not know the type, which is used in functions only.
const struct event *unused __attribute__((unused));

static __always_inline bool is_wanted(u32 pid) {
  return targ_pid == 0 || targ_pid == pid;
}

SEC("tracepoint/syscalls/sys_enter_openat")
int enter_openat(struct trace_event_raw_sys_enter *ctx) {
  u32 id = bpf_get_current_pid_tgid();
  if (!is_wanted(bpf_get_current_pid_tgid() >> 32)) return 0;
  struct args args = {.path = (const char *)ctx->args[1], .flags = (int)ctx->args[2]};
  bpf_map_update_elem(&start, &id, &args, BPF_ANY);
  return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int exit_openat(struct trace_event_raw_sys_exit *ctx) {
  u32 id = bpf_get_current_pid_tgid();
  struct args *args = bpf_map_lookup_elem(&start, &id);
  if (!args) return 0;
  int ret = ctx->ret;
  if (only_failed && ret >= 0) goto done;
  struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event) goto done;
  struct task_struct *task = (struct task_struct *)bpf_get_current_task();
  event->pid = bpf_get_current_pid_tgid() >> 32;
  event->parent = BPF_CORE_READ(task, real_parent, tgid);
  event->ret = ret;
  event->flags = args->flags;
  bpf_get_current_comm(event->comm, sizeof(event->comm));
  bpf_probe_read_user_str(event->path, sizeof(event->path), args->path);
  bpf_ringbuf_submit(event, 0);
  __sync_fetch_and_add(&seen, 1);
done:
  bpf_map_delete_elem(&start, &id);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
