/**
 * Which helpers need more than their program's type does: the part of the table in rules.ts that is about helpers.
 *
 * @module
 */

/** The helpers that need more than their program's type does, by what they need. */
export const helperRules = [
  {
    rule: ["helper_bpf"],
    helpers: [
      "get_cgroup_classid",
      "current_task_under_cgroup",
      "get_current_cgroup_id",
      "get_current_ancestor_cgroup_id",
      "spin_lock",
      "spin_unlock",
      "jiffies64",
      "per_cpu_ptr",
      "this_cpu_ptr",
      "task_storage_get",
      "task_storage_delete",
      "for_each_map_elem",
      "timer_init",
      "timer_set_callback",
      "timer_start",
      "timer_cancel",
      "loop",
      "kptr_xchg",
      "dynptr_from_mem",
      "ringbuf_reserve_dynptr",
      "ringbuf_submit_dynptr",
      "ringbuf_discard_dynptr",
      "dynptr_read",
      "dynptr_write",
      "dynptr_data",
      "user_ringbuf_drain",
      "cgrp_storage_get",
      "cgrp_storage_delete",
    ],
  },
  {
    rule: ["helper_bpf", "helper_perfmon_old", "helper_perfmon_new"],
    helpers: [
      "trace_printk",
      "perf_event_read",
      "get_current_task",
      "perf_event_read_value",
      "send_signal",
      "probe_read_user",
      "probe_read_kernel",
      "probe_read_user_str",
      "probe_read_kernel_str",
      "send_signal_thread",
      "get_task_stack",
      "copy_from_user",
      "snprintf_btf",
      "get_current_task_btf",
      "snprintf",
      "task_pt_regs",
      "get_branch_snapshot",
      "trace_vprintk",
      "find_vma",
      "copy_from_user_task",
    ],
  },
  // Programs that had this one had it for nothing until it moved among the tracing helpers.
  { rule: ["helper_bpf_new", "helper_perfmon_new"], helpers: ["get_current_comm"] },
  {
    rule: ["helper_socket_cast"],
    helpers: [
      "skc_to_tcp6_sock",
      "skc_to_tcp_sock",
      "skc_to_tcp_timewait_sock",
      "skc_to_tcp_request_sock",
      "skc_to_udp6_sock",
      "skc_to_unix_sock",
      "skc_to_mptcp_sock",
    ],
  },
  { rule: ["helper_perfmon"], helpers: ["sys_bpf"] },
  { rule: ["helper_write_user"], helpers: ["probe_write_user"] },
] as const;
