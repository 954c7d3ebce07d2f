// What the kernel has to tell: of its configuration, its symbols by address and by type, its functions.
#include "kernel.h"

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool LINUX_HAS_BPF_COOKIE __kconfig;
extern bool LINUX_HAS_SYSCALL_WRAPPER __kconfig;
extern bool CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_BPF_JIT __kconfig __weak;
extern int CONFIG_HZ __kconfig;
extern char CONFIG_DEFAULT_HOSTNAME[32] __kconfig;
extern unsigned long long CONFIG_NO_SUCH_THING __kconfig __weak;
extern const void bpf_map_release __ksym;
extern const void no_such_symbol __ksym __weak;
extern const int no_such_variable __ksym __weak;
void no_such_function(int x, int y) __ksym __weak;

u64 version, address, missing;
bool cookie, wrapper, syscall, typed_missing, function_missing;
enum libbpf_tristate jit;
int hz;
char hostname[32];
u64 nothing = 1;

SEC("tp_btf/sys_enter")
int look(void *ctx) {
  version = LINUX_KERNEL_VERSION;
  cookie = LINUX_HAS_BPF_COOKIE;
  wrapper = LINUX_HAS_SYSCALL_WRAPPER;
  syscall = CONFIG_BPF_SYSCALL;
  jit = CONFIG_BPF_JIT;
  hz = CONFIG_HZ;
  nothing = CONFIG_NO_SUCH_THING;
  for (int i = 0; i < 32; i++) hostname[i] = CONFIG_DEFAULT_HOSTNAME[i];
  address = (u64)&bpf_map_release;
  missing = (u64)&no_such_symbol;
  typed_missing = &no_such_variable == 0;
  if (no_such_function) no_such_function(1, 2);
  else function_missing = true;
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
