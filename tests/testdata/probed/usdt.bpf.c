/* What a program that was written for libbpf sees of a USDT probe. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

struct seen {
  long runs, count, cookie, arguments[8];
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, int);
  __type(value, struct seen);
} seen_map SEC(".maps");

SEC("usdt")
int seen(struct pt_regs *ctx) {
  int key = 0;
  struct seen *seen = bpf_map_lookup_elem(&seen_map, &key);
  if (!seen) return 0;
  seen->runs++;
  seen->count = bpf_usdt_arg_cnt(ctx);
  seen->cookie = bpf_usdt_cookie(ctx);
  for (int index = 0; index < 8; index++) bpf_usdt_arg(ctx, index, &seen->arguments[index]);
  return 0;
}

char _license[] SEC("license") = "GPL";
