// TCP congestion control, once without and once with a link.
#include "kernel.h"

struct sock;
struct rate_sample;
struct ack_sample;
struct module;

struct tcp_congestion_ops {
  u32 (*ssthresh)(struct sock *sk);
  void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
  void (*set_state)(struct sock *sk, u8 new_state);
  u32 (*undo_cwnd)(struct sock *sk);
  char name[16];
  struct module *owner;
  u32 no_such_member;
};

u64 calls;

SEC("struct_ops/threshold")
u32 BPF_PROG(threshold, struct sock *sk) {
  calls++;
  return 2;
}

SEC("struct_ops/avoid")
void BPF_PROG(avoid, struct sock *sk, u32 ack, u32 acked) {
  calls++;
}

SEC("struct_ops/undo")
u32 BPF_PROG(undo, struct sock *sk) {
  return 4;
}

SEC("struct_ops/state")
void BPF_PROG(state, struct sock *sk, u8 new_state) {
}

SEC(".struct_ops")
struct tcp_congestion_ops plain = {
  .ssthresh = (void *)threshold,
  .cong_avoid = (void *)avoid,
  .undo_cwnd = (void *)undo,
  .set_state = (void *)state,
  .name = "bpf_deno_plain",
};

SEC(".struct_ops.link")
struct tcp_congestion_ops linked = {
  .ssthresh = (void *)threshold,
  .cong_avoid = (void *)avoid,
  .undo_cwnd = (void *)undo,
  .name = "bpf_deno_link",
};

char LICENSE[] SEC("license") = "GPL";
