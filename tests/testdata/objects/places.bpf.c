// A program for each kind of place that a section's name does not tell in full: the caller says which interface, cgroup,
// socket or map.
#include "kernel.h"

u64 hits[16];
enum { XDP_HIT, TCX_HIT, TC_HIT, CGROUP_HIT, CONNECT_HIT, LOOKUP_HIT, MSG_HIT, SOCKET_HIT, RAW_HIT, PERF_HIT, FILTER_HIT };

struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP);
  __uint(max_entries, 2);
  __type(key, u32);
  __type(value, u64);
} sockets SEC(".maps");

SEC("xdp")
int on_xdp(struct xdp_md *ctx) {
  hits[XDP_HIT]++;
  return XDP_PASS;
}

SEC("tcx/ingress")
int on_tcx(struct __sk_buff *skb) {
  hits[TCX_HIT]++;
  return -1;
}

SEC("tc")
int on_tc(struct __sk_buff *skb) {
  hits[TC_HIT]++;
  return -1;
}

SEC("cgroup_skb/egress")
int on_egress(struct __sk_buff *skb) {
  hits[CGROUP_HIT]++;
  return 1;
}

SEC("cgroup/connect4")
int on_connect(struct bpf_sock_addr *ctx) {
  hits[CONNECT_HIT]++;
  return 1;
}

SEC("sk_lookup")
int on_lookup(struct bpf_sk_lookup *ctx) {
  hits[LOOKUP_HIT]++;
  return 1;
}

SEC("sk_msg")
int on_msg(struct sk_msg_md *msg) {
  hits[MSG_HIT]++;
  return 1;
}

SEC("socket")
int on_socket(struct __sk_buff *skb) {
  hits[SOCKET_HIT]++;
  return skb->len;
}

SEC("raw_tp/sched_process_exec")
int on_raw(void *ctx) {
  hits[RAW_HIT]++;
  return 0;
}

SEC("perf_event")
int on_sample(void *ctx) {
  hits[PERF_HIT]++;
  return 0;
}

SEC("?netfilter")
int on_packet(void *ctx) {
  hits[FILTER_HIT]++;
  return 1;
}

struct seq_file;
struct bpf_iter_meta {
  struct seq_file *seq;
} __attribute__((preserve_access_index));
struct bpf_iter__task {
  struct bpf_iter_meta *meta;
  struct task_struct *task;
} __attribute__((preserve_access_index));

SEC("iter/task")
int each_task(struct bpf_iter__task *ctx) {
  struct task_struct *task = ctx->task;
  if (task && task->pid == task->tgid) {
    int pid = task->pid;
    bpf_seq_write(ctx->meta->seq, &pid, sizeof(pid));
  }
  return 0;
}

SEC("syscall")
int on_demand(void *ctx) {
  return 5;
}

char LICENSE[] SEC("license") = "GPL";
