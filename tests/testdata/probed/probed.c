/* A program to be traced: each byte that it reads is one round of calls. */
#include <stdio.h>
#include "probe.h"

extern int lib_add(int a, int b), lib_one(int x), lib_two(int x), other(int x);

unsigned short counter __attribute__((section(".probes")));

__attribute__((noinline)) int work(int x) {
  __asm__ __volatile__("");
  return x * 3;
}

static __attribute__((noinline)) long hidden(long x) {
  __asm__ __volatile__("");
  return x - 7;
}

static volatile long table[4] = {100, 200, 300, 400};

__attribute__((noinline)) void probes(int round) {
  signed char small = -5 - round;
  unsigned short half = 65000;
  long big = 0x1122334455667788;
  volatile long *third = table;
  __asm__("" : "+r"(third));
  NOTE("probed", "arguments", "0", "-4@%0 -1@%b1 2@%w2 8@%3 -4@%4 8@%5",
       "r"(round), "q"(small), "r"(half), "r"(big), "n"(-9), "m"(third[2]));
  NOTE("probed", "counted", "counter", "-4@%0", "r"(round));
  NOTE("probed", "twice", "0", "-4@%0", "n"(1));
  NOTE("probed", "twice", "0", "-4@%0", "n"(2));
#ifdef __x86_64__
  long index = 3;
  NOTE("probed", "indexed", "0", "8@(%0,%1,8)", "r"(table), "r"(index));
  NOTE("probed", "unreadable", "0", "8f@%%xmm0", "n"(0));
#endif
}

int main(void) {
  int round = 0;
  setvbuf(stdout, 0, _IONBF, 0);
  printf("ready\n");
  while (getchar() != EOF) {
    probes(round);
    long sum = work(round) + hidden(round) + lib_add(1, 2) + lib_one(round) + lib_two(round) + other(round);
    printf("%d %d %ld\n", round++, counter, sum);
  }
  return 0;
}
