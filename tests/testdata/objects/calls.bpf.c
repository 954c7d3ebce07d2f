// Functions of all kinds: several programs in one section, static and global ones, called in a row and around, callbacks
// by address, weak and hidden ones; some are called by one program only, so that each is linked with others.
#include "kernel.h"

u64 sum;

static __noinline int leaf(int x) {
  sum += x;
  return x + 1;
}

__noinline int middle(int x) {
  return leaf(x) + leaf(x + 1);
}

__attribute__((weak)) __noinline int overridable(int x) {
  return x * 3;
}

__hidden __noinline int secret(int x) {
  return middle(x) - 1;
}

static __noinline int deep(int x) {
  return overridable(secret(x));
}

#ifndef WITHOUT_CALLBACKS
static int each(u32 index, void *context) {
  *(u64 *)context += index;
  return 0;
}

SEC("tc")
int looping(struct __sk_buff *skb) {
  u64 local = 0;
  bpf_loop(10, each, &local, 0);
  return local;
}
#endif

SEC("tc")
int one(struct __sk_buff *skb) {
  return deep(1) + leaf(100);
}

SEC("tc")
int two(struct __sk_buff *skb) {
  return middle(10) + overridable(2);
}

SEC("tc")
int three(struct __sk_buff *skb) {
  return skb->len;
}

char LICENSE[] SEC("license") = "GPL";
