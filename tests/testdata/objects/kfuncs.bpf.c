// Functions of the kernel that programs call, and a variable of the kernel by its type.
#include "kernel.h"

struct cpumask;
struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;
void bpf_rcu_read_lock(void) __ksym;
void bpf_rcu_read_unlock___flavor(void) __ksym __weak;
extern const int cpu_number __ksym __weak;

u64 held;

SEC("tp_btf/sched_process_exit")
int BPF_PROG(hold, struct task_struct *task) {
  struct task_struct *own = bpf_task_acquire(task);
  if (!own) return 0;
  held++;
  bpf_task_release(own);
  return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(locked, struct task_struct *task) {
  bpf_rcu_read_lock();
  held += task->pid != 0;
  bpf_rcu_read_unlock___flavor();
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
