/*
 * The baseline of btf.ts: libbpf reads the BTF of vmlinux, as often as it is asked to.
 *
 * Usage: btf FILE. Reads "OPERATION PASSES" lines, answers each with "NANOSECONDS COUNT".
 */
#include <bpf/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static void *must(void *pointer, const char *what)
{
	if (pointer)
		return pointer;
	perror(what);
	exit(1);
}

/* The whole file in memory, for parsing alone. */
static void *contents(const char *path, size_t *size)
{
	size_t room = 1 << 24;
	char *bytes = must(malloc(room), "malloc");
	FILE *file = must(fopen(path, "rb"), path);

	*size = fread(bytes, 1, room, file);
	fclose(file);
	return bytes;
}

int main(int argc, char **argv)
{
	char operation[32];
	int passes;
	size_t size;
	void *bytes;

	if (argc != 2)
		return 2;
	bytes = contents(argv[1], &size);
	while (scanf("%31s %d", operation, &passes) == 2) {
		double nanoseconds = 0;
		unsigned int count = 0;

		while (passes-- > 0) {
			double start = now();
			struct btf *btf;

			if (!strcmp(operation, "load"))
				btf = must(btf__load_vmlinux_btf(), "btf__load_vmlinux_btf");
			else
				btf = must(btf__new(bytes, size), "btf__new");
			/* Giving the memory back is not part of it. */
			nanoseconds += now() - start;
			count = btf__type_cnt(btf);
			btf__free(btf);
		}
		printf("%.0f %u\n", nanoseconds, count);
		fflush(stdout);
	}
	return 0;
}
