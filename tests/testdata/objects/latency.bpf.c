// A tool like runqlat and biolatency: how long things take, as histograms in a map, by sections of both kinds of
// tracepoints, of which the first is loaded only where it is asked for.
#include "kernel.h"

#define SLOTS 26

const volatile u64 min_ns = 0;
const volatile bool by_milliseconds = false;

struct hist {
  u32 slots[SLOTS];
  char comm[16];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 10240);
  __type(key, u32);
  __type(value, u64);
} start SEC(".maps");

static struct hist zero;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 128);
  __type(key, u32);
  __type(value, struct hist);
} hists SEC(".maps");

static __always_inline u64 log2l(u64 v) {
  u64 r, shift;
  r = (v > 0xffffffff) << 5;
  v >>= r;
  shift = (v > 0xffff) << 4;
  v >>= shift;
  r |= shift;
  shift = (v > 0xff) << 3;
  v >>= shift;
  r |= shift;
  shift = (v > 0xf) << 2;
  v >>= shift;
  r |= shift;
  shift = (v > 0x3) << 1;
  v >>= shift;
  r |= shift;
  return r | (v >> 1);
}

static int enqueued(u32 pid) {
  u64 now = bpf_ktime_get_ns();
  return pid == 0 ? 0 : bpf_map_update_elem(&start, &pid, &now, BPF_ANY);
}

SEC("?tp_btf/sched_wakeup_new")
int BPF_PROG(on_wakeup_new, struct task_struct *task) {
  enqueued(task->pid);
  return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task) {
  enqueued(task->pid);
  return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next) {
  u32 pid = next->pid, key = 0;
  u64 *began = bpf_map_lookup_elem(&start, &pid);
  if (!began) return 0;
  s64 delta = bpf_ktime_get_ns() - *began;
  if (delta < 0 || delta < min_ns) goto done;
  struct hist *hist = bpf_map_lookup_elem(&hists, &key);
  if (!hist) {
    bpf_map_update_elem(&hists, &key, &zero, BPF_NOEXIST);
    hist = bpf_map_lookup_elem(&hists, &key);
    if (!hist) goto done;
    BPF_CORE_READ_STR_INTO(&hist->comm, next, comm);
  }
  u64 slot = log2l(by_milliseconds ? delta / 1000000U : delta / 1000U);
  if (slot >= SLOTS) slot = SLOTS - 1;
  __sync_fetch_and_add(&hist->slots[slot], 1);
done:
  bpf_map_delete_elem(&start, &pid);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
