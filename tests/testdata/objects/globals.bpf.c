// Variables of every section: constants, those that start as zero and those that do not, by names of their own, static,
// hidden, of structs, arrays and enums; and one function that reads and writes them all.
#include "kernel.h"

enum color { RED = 1, GREEN = 5 };

struct config {
  u16 port;
  bool on;
  char name[8];
  struct {
    s64 low, high;
  } range;
};

const volatile struct config config = {.port = 80, .name = "web", .range = {-5, 5}};
const volatile u32 table[4] = {1, 2, 3, 4};
const volatile enum color color = GREEN;
const volatile int named SEC(".rodata.named") = 11;
u64 total;
u32 bytes[3];
static volatile u32 calls;
__attribute__((visibility("hidden"))) u32 hidden_calls;
s64 counter = -3;
float unused_float;
static volatile int offset = 100;
u32 custom SEC(".data.custom") = 9;
u16 custom_zero SEC(".bss.custom");

SEC("socket")
int all(struct __sk_buff *skb) {
  calls++;
  hidden_calls += 2;
  total += config.port + table[3];
  counter += config.range.low;
  bytes[calls & 1] = color;
  custom += named;
  custom_zero = custom;
  return offset + config.port;
}

char LICENSE[] SEC("license") = "GPL";
