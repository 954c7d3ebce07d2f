/* A library with a function in two versions, some of one family, and a USDT probe. */
#include "probe.h"

__attribute__((noinline)) int first_add(int a, int b) { return a + b; }
__attribute__((noinline)) int second_add(int a, int b) { return a + b + 1000; }
__asm__(".symver first_add,lib_add@PROBED_1");
__asm__(".symver second_add,lib_add@@PROBED_2");

__attribute__((noinline)) int lib_one(int x) { return x + 1; }
__attribute__((noinline)) int lib_two(int x) { return x + 2; }

int other(int x) {
  NOTE("probed", "in_library", "0", "-4@%0", "r"(x));
  return x;
}
