// Variables of which each CPU has its own.
#include "kernel.h"

u64 hits SEC(".percpu") = 3;
u32 last SEC(".percpu.named");

SEC("socket")
int look(struct __sk_buff *skb) {
  hits += 1;
  last = skb->len;
  return hits;
}

char LICENSE[] SEC("license") = "GPL";
