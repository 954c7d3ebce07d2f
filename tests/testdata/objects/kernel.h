// What the objects here need of the kernel: its API, and the few members of its types that they look at. CO-RE finds out
// at load time where those are.
#pragma once
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/types.h>
#define __VMLINUX_H__ // registers by the names that the kernel's own types have
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

// Newer than the headers of some systems.
#define MAP_TYPE_USER_RINGBUF 31
#define MAP_TYPE_CGRP_STORAGE 32
#define MAP_TYPE_ARENA 33

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs {
  unsigned long di, si, dx, cx, r8, r9, r10, sp, bp, ax, ip;
};

struct mm_struct {
  unsigned long arg_start;
};

struct nsproxy;

struct task_struct {
  int pid;
  int tgid;
  unsigned int flags;
  char comm[16];
  struct task_struct *real_parent;
  struct mm_struct *mm;
};

struct trace_event_raw_sys_enter {
  long id;
  unsigned long args[6];
};

struct trace_event_raw_sys_exit {
  long id;
  long ret;
};

struct linux_binprm {
  const char *filename;
};

#pragma clang attribute pop
