// Programs at functions: of the kernel by name, by system call, by pattern and by type; of programs by symbol. Each is
// loaded only where it is asked for, since not every kernel has them all.
#include "kernel.h"

u64 hits[16];
enum { KPROBE_HIT, KRETPROBE_HIT, KSYSCALL_HIT, KRETSYSCALL_HIT, MULTI_HIT, FENTRY_HIT, FEXIT_HIT, LSM_HIT, UPROBE_HIT,
       URETPROBE_HIT, SESSION_HIT, UPROBE_MULTI_HIT, FENTRY_MULTI_HIT, FSESSION_HIT };
u64 cookie;
const volatile int target_pid = 0;

static __always_inline int count(int what) {
  if (bpf_get_current_pid_tgid() >> 32 == target_pid) __sync_fetch_and_add(&hits[what], 1);
  return 0;
}

SEC("?kprobe/bpf_map_copy_value")
int at_entry(struct pt_regs *ctx) { return count(KPROBE_HIT); }

SEC("?kretprobe/bpf_map_copy_value")
int at_return(struct pt_regs *ctx) { return count(KRETPROBE_HIT); }

SEC("?ksyscall/getpid")
int at_syscall(struct pt_regs *ctx) { return count(KSYSCALL_HIT); }

SEC("?kretsyscall/getpid")
int after_syscall(struct pt_regs *ctx) { return count(KRETSYSCALL_HIT); }

SEC("?kprobe.multi/bpf_map_copy_valu*")
int at_many(struct pt_regs *ctx) { return count(MULTI_HIT); }

SEC("?kprobe.session/bpf_map_copy_value")
int at_session(struct pt_regs *ctx) { return count(SESSION_HIT); }

SEC("?fentry/bpf_map_copy_value")
int BPF_PROG(before, void *map) { return count(FENTRY_HIT); }

SEC("?fexit/bpf_map_copy_value")
int BPF_PROG(after, void *map) { return count(FEXIT_HIT); }

SEC("?fentry.multi/bpf_map_copy_valu*")
int BPF_PROG(before_many, void *map) { return count(FENTRY_MULTI_HIT); }

SEC("?fsession/bpf_map_copy_value")
int BPF_PROG(around, void *map) { return count(FSESSION_HIT); }

SEC("?lsm/file_open")
int BPF_PROG(on_open, void *file, int ret) {
  count(LSM_HIT);
  return ret;
}

SEC("?uprobe//lib/x86_64-linux-gnu/libc.so.6:getppid")
int in_user(struct pt_regs *ctx) {
  cookie = bpf_get_attach_cookie(ctx);
  return count(UPROBE_HIT);
}

SEC("?uretprobe//lib/x86_64-linux-gnu/libc.so.6:getppid")
int after_user(struct pt_regs *ctx) { return count(URETPROBE_HIT); }

SEC("?uprobe.multi//lib/x86_64-linux-gnu/libc.so.6:getppi*")
int in_many(struct pt_regs *ctx) { return count(UPROBE_MULTI_HIT); }

SEC("?freplace/replaced")
int replacement(struct __sk_buff *skb) { return 77; }

__noinline int replaced(struct __sk_buff *skb) {
  volatile int x = 1;
  return x;
}

SEC("?tc")
int calls_replaced(struct __sk_buff *skb) { return replaced(skb); }

char LICENSE[] SEC("license") = "GPL";
