// What libbpf makes of an object: `object_libbpf OBJECT [PINS]`. Prints a line for each map, with its definition as the
// kernel has it, and one for each program that was loaded: its name, type, what it is loaded for, and its instructions,
// in which descriptors of maps are replaced by the number of the map's line.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int print(enum libbpf_print_level level, const char *format, va_list args) {
  return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

// `object_libbpf --sections NAME...`: the types of programs of sections, or "unknown".
static int sections(char **names) {
  for (; *names; names++) {
    enum bpf_prog_type type;
    enum bpf_attach_type attach;
    if (libbpf_prog_type_by_name(*names, &type, &attach)) printf("%s unknown\n", *names);
    else printf("%s %d %d\n", *names, type, attach);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--sections") == 0) {
    libbpf_set_print(NULL);
    return sections(argv + 2);
  }
  LIBBPF_OPTS(bpf_object_open_opts, options, .pin_root_path = argc > 2 ? argv[2] : NULL);
  libbpf_set_print(print);
  struct bpf_object *object = bpf_object__open_file(argv[1], &options);
  if (!object) return 1;
  if (bpf_object__load(object)) return 1;
  struct bpf_map *map;
  bpf_object__for_each_map(map, object) {
    struct bpf_map_info info = {};
    unsigned int size = sizeof(info);
    if (bpf_obj_get_info_by_fd(bpf_map__fd(map), &info, &size)) return 1;
    printf("map %s %u %u %u %u %u %s %u %u\n", bpf_map__name(map), info.type, info.key_size, info.value_size,
           info.max_entries, info.map_flags, info.name, info.btf_key_type_id != 0, info.btf_value_type_id != 0);
  }
  struct bpf_program *program;
  bpf_object__for_each_program(program, object) {
    int fd = bpf_program__fd(program);
    if (fd < 0) continue;
    struct bpf_prog_info info = {};
    unsigned int info_size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &info_size)) return 1;
    printf("prog %s %d %d %u %u ", bpf_program__name(program), bpf_program__type(program),
           bpf_program__expected_attach_type(program), info.nr_func_info, info.nr_line_info);
    const struct bpf_insn *insns = bpf_program__insns(program);
    for (size_t at = 0; at < bpf_program__insn_cnt(program); at++) {
      struct bpf_insn insn = insns[at];
      if (insn.code == 0x18 && (insn.src_reg == BPF_PSEUDO_MAP_FD || insn.src_reg == BPF_PSEUDO_MAP_VALUE)) {
        int number = 0, found = -1;
        bpf_object__for_each_map(map, object) {
          if (bpf_map__fd(map) == insn.imm) found = number;
          number++;
        }
        insn.imm = found;
      }
      const unsigned char *bytes = (const unsigned char *)&insn;
      for (size_t byte = 0; byte < sizeof(insn); byte++) printf("%02x", bytes[byte]);
    }
    puts("");
  }
  return 0;
}
