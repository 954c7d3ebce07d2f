// Programs for the places of the network and of security modules that not every kernel has. Each is loaded only where it
// is asked for; each counts its runs, and lets everything pass.
#include "kernel.h"

u64 hits[16];
enum { PRIMARY_HIT, PEER_HIT, CLASSIFIER_HIT, OUT_HIT, PACKET_HIT, CHOICE_HIT, MIGRATE_HIT, CREATE_HIT, GOES_ON = -1 };

static __always_inline int count(int what, int answer) {
  __sync_fetch_and_add(&hits[what], 1);
  return answer;
}

struct {
  __uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
  __uint(max_entries, 2);
  __type(key, u32);
  __type(value, u64);
} sharing SEC(".maps");

SEC("?netkit/primary")
int on_primary(struct __sk_buff *skb) { return count(PRIMARY_HIT, GOES_ON); }

SEC("?netkit/peer")
int on_peer(struct __sk_buff *skb) { return count(PEER_HIT, GOES_ON); }

SEC("?classifier")
int on_classifier(struct __sk_buff *skb) { return count(CLASSIFIER_HIT, GOES_ON); }

SEC("?tc/egress")
int on_out(struct __sk_buff *skb) { return count(OUT_HIT, GOES_ON); }

SEC("?action")
int on_action(struct __sk_buff *skb) { return 0; }

SEC("?netfilter")
int on_packet(void *ctx) { return count(PACKET_HIT, 1); }

// The second socket gets what was sent, whoever of the group was hashed to.
static __always_inline int choose(struct sk_reuseport_md *ctx, int what) {
  u32 key = 1;
  if (bpf_sk_select_reuseport(ctx, &sharing, &key, 0) == 0) count(what, 0);
  return SK_PASS;
}

SEC("?sk_reuseport")
int on_choice(struct sk_reuseport_md *ctx) { return choose(ctx, CHOICE_HIT); }

SEC("?sk_reuseport/migrate")
int on_migrate(struct sk_reuseport_md *ctx) { return choose(ctx, MIGRATE_HIT); }

SEC("?lsm_cgroup/socket_create")
int BPF_PROG(on_create, int family, int type, int protocol, int kern) { return count(CREATE_HIT, 1); }

SEC("?lirc_mode2")
int on_light(unsigned int *sample) { return 0; }

char LICENSE[] SEC("license") = "GPL";
