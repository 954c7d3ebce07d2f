/*
 * Loads usdt.bpf.o with libbpf and pins it: usdt_libbpf OBJECT DIRECTORY. With PROGRAM PROVIDER NAME it attaches it, too,
 * and prints what libbpf wrote to its maps: a line of hexadecimal for each spec.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>

static int fail(const char *what) {
  perror(what);
  return 1;
}

int main(int argc, char **argv) {
  char path[512];
  struct bpf_object *object = bpf_object__open(argv[1]);
  if (!object || bpf_object__load(object)) return fail("load");
  struct bpf_program *program = bpf_object__find_program_by_name(object, "seen");
  if (argc > 5) {
    LIBBPF_OPTS(bpf_usdt_opts, options, .usdt_cookie = 77);
    if (!bpf_program__attach_usdt(program, -1, argv[3], argv[4], argv[5], &options)) return fail("attach");
    int specs = bpf_object__find_map_fd_by_name(object, "__bpf_usdt_specs");
    for (int id = 0; id < 4; id++) {
      unsigned char value[208];
      if (bpf_map_lookup_elem(specs, &id, value)) return fail("lookup");
      for (unsigned at = 0; at < sizeof value; at++) printf("%02x", value[at]);
      puts("");
    }
    return 0;
  }
  struct bpf_map *map;
  bpf_object__for_each_map(map, object) {
    snprintf(path, sizeof path, "%s/%s", argv[2], bpf_map__name(map));
    if (bpf_map__is_internal(map)) continue;
    if (bpf_obj_pin(bpf_map__fd(map), path)) return fail("pin a map");
  }
  snprintf(path, sizeof path, "%s/prog", argv[2]);
  if (bpf_obj_pin(bpf_program__fd(program), path)) return fail("pin the program");
  return 0;
}
