// A tool like tcpconnect and tcpstates: sockets by their state, IPv4 and IPv6, in a union of keys.
#include "kernel.h"

#define AF_INET 2
#define AF_INET6 10

struct in6_addr {
  union {
    u8 u6_addr8[16];
  } in6_u;
} __attribute__((preserve_access_index));

struct sock_common {
  union {
    struct {
      __be32 skc_daddr;
      __be32 skc_rcv_saddr;
    };
  };
  unsigned short skc_family;
  volatile unsigned char skc_state;
  struct in6_addr skc_v6_daddr;
  u16 skc_num;
  __be16 skc_dport;
} __attribute__((preserve_access_index));

struct sock {
  struct sock_common __sk_common;
  u16 sk_protocol;
  unsigned int sk_padding : 1, sk_kern_sock : 1;
} __attribute__((preserve_access_index));

struct trace_event_raw_inet_sock_set_state {
  const void *skaddr;
  int oldstate;
  int newstate;
  u16 sport;
  u16 dport;
  u16 family;
  u16 protocol;
  u8 saddr[4];
  u8 daddr[4];
} __attribute__((preserve_access_index));

struct key {
  union {
    u32 v4;
    u8 v6[16];
  } daddr;
  u16 dport;
  u16 family;
};

struct event {
  struct key key;
  int oldstate, newstate;
  u64 delta_us;
};

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1024);
  __type(key, const void *);
  __type(value, u64);
} stamps SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(max_entries, 64);
  __type(key, struct key);
  __type(value, u64);
} connects SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(key_size, sizeof(u32));
  __uint(value_size, sizeof(u32));
} events SEC(".maps");

const struct event *unused __attribute__((unused));

static __noinline void fill_key(struct key *key, struct sock *sk) {
  key->family = BPF_CORE_READ(sk, __sk_common.skc_family);
  key->dport = BPF_CORE_READ(sk, __sk_common.skc_dport);
  if (key->family == AF_INET) key->daddr.v4 = BPF_CORE_READ(sk, __sk_common.skc_daddr);
  else if (bpf_core_field_exists(sk->__sk_common.skc_v6_daddr))
    BPF_CORE_READ_INTO(&key->daddr.v6, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
}

SEC("tracepoint/sock/inet_sock_set_state")
int set_state(struct trace_event_raw_inet_sock_set_state *ctx) {
  struct sock *sk = (struct sock *)BPF_CORE_READ(ctx, skaddr);
  u64 now = bpf_ktime_get_ns();
  u64 *before = bpf_map_lookup_elem(&stamps, &sk);
  struct event event = {.oldstate = ctx->oldstate, .newstate = ctx->newstate};
  event.delta_us = before ? (now - *before) / 1000 : 0;
  if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock)) return 0;
  fill_key(&event.key, sk);
  u64 one = 1, *count = bpf_map_lookup_elem(&connects, &event.key);
  if (count) *count += 1;
  else bpf_map_update_elem(&connects, &event.key, &one, BPF_ANY);
  bpf_map_update_elem(&stamps, &sk, &now, BPF_ANY);
  bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &event, sizeof(event));
  return 0;
}

// Probes of the same function at entry and return, whose programs share a section.
SEC("kprobe/tcp_v4_connect")
int BPF_KPROBE(v4_connect, struct sock *sk) {
  u64 id = bpf_get_current_pid_tgid();
  bpf_map_update_elem(&stamps, &sk, &id, BPF_ANY);
  return 0;
}

SEC("kretprobe/tcp_v4_connect")
int BPF_KRETPROBE(v4_connect_ret, int ret) {
  return ret == 0 ? 0 : 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
