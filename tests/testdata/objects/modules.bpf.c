// What modules of the kernel have: functions that programs call, and functions that are traced, by the module's name or
// without. Loaded where nf_conntrack is there, since 6.1.
#include "kernel.h"

struct nf_conn {
  unsigned long status;
} __attribute__((preserve_access_index));

struct bpf_ct_opts___local {
  __s32 netns_id, error;
  u8 l4proto, dir, reserved[2];
};

struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, u32 tuple_size,
                                  struct bpf_ct_opts___local *opts, u32 opts_size) __ksym;
void bpf_ct_release(struct nf_conn *conn) __ksym;

int error;
u64 calls;

SEC("?xdp")
int look_up(struct xdp_md *ctx) {
  struct bpf_sock_tuple tuple = {};
  struct bpf_ct_opts___local opts = {.netns_id = -1, .l4proto = 6};
  struct nf_conn *conn = bpf_xdp_ct_lookup(ctx, &tuple, sizeof(tuple.ipv4), &opts, sizeof(opts));
  error = opts.error;
  if (conn) bpf_ct_release(conn);
  return XDP_PASS;
}

SEC("?fentry/nf_conntrack:nf_conntrack_in")
int BPF_PROG(by_module, void *skb, void *state) {
  __sync_fetch_and_add(&calls, 1);
  return 0;
}

SEC("?fexit/nf_conntrack_in")
int BPF_PROG(by_name, void *skb, void *state) {
  __sync_fetch_and_add(&calls, 1);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
