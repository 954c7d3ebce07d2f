// What libbpf makes of an object's instructions on the types of another kernel: `core_libbpf OBJECT TARGET_BTF`. Prints a
// line for each relocation, after #, and one for each program, its name and its instructions; "failed" where libbpf gives up before any is loaded.
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int gave_up;

static int print(enum libbpf_print_level level, const char *format, va_list args) {
  char line[8192];
  vsnprintf(line, sizeof line, format, args);
  if (strstr(line, "failed to perform CO-RE relocations")) gave_up = 1;
  // What each relocation asks for, as a comment before the programs.
  const char *relo = strstr(line, ": relo #");
  const char *text = relo ? strstr(relo, ": <") : NULL;
  if (text && strchr(relo + 1, ':') == text) printf("# %s", text + 2);
  if (level == LIBBPF_WARN) fputs(line, stderr);
  return 0;
}

int main(int argc, char **argv) {
  LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = argv[2]);
  if (argc != 3) return 2;
  libbpf_set_print(print);
  struct bpf_object *object = bpf_object__open_file(argv[1], &options);
  if (!object) return 1;
  // The kernel refuses programs that were poisoned, or do nothing that it likes: it is not asked here.
  bpf_object__load(object);
  if (gave_up) {
    puts("failed");
    return 0;
  }
  struct bpf_program *program;
  bpf_object__for_each_program(program, object) {
    printf("%s ", bpf_program__name(program));
    const unsigned char *bytes = (const unsigned char *)bpf_program__insns(program);
    for (size_t at = 0; at < 8 * bpf_program__insn_cnt(program); at++) printf("%02x", bytes[at]);
    puts("");
  }
  return 0;
}
