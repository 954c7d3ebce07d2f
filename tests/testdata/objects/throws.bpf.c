// A program that ends by an exception, and what is called then. Since 6.7.
#include "kernel.h"

void bpf_throw(u64 cookie) __ksym;

__noinline int caught(u64 cookie) {
  return cookie + 100;
}

static __noinline int check(u32 length) {
  if (length > 100) bpf_throw(length);
  return length;
}

SEC("tc")
__attribute__((btf_decl_tag("exception_callback:caught")))
int throwing(struct __sk_buff *skb) {
  return check(skb->len);
}

SEC("tc")
int plain(struct __sk_buff *skb) {
  return check(skb->len);
}

char LICENSE[] SEC("license") = "GPL";
