/** Numbers of the kernel's API that the permission test spells out by itself. @module */

/** `BPF_F_NO_PREALLOC`. */
export const BPF_F_NO_PREALLOC = 1;
/** `BPF_F_ZERO_SEED`. */
export const BPF_F_ZERO_SEED = 64;
/** `BPF_F_MMAPABLE`. */
export const BPF_F_MMAPABLE = 1024;
/** `BPF_F_SLEEPABLE`. */
export const BPF_F_SLEEPABLE = 16;
/** `BPF_NETFILTER`. */
export const BPF_NETFILTER = 45;
