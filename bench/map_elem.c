/*
 * The baseline of map_elem.ts: the same loops over the same map, on raw syscall(SYS_bpf).
 *
 * Usage: map_elem FD ENTRIES. Reads "OPERATION PASSES" lines, answers each with "NANOSECONDS CHECKSUM".
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint32_t map_fd;
static uint32_t entries;

static long bpf(int cmd, union bpf_attr *attr, unsigned int size)
{
	return syscall(SYS_bpf, cmd, attr, size);
}

static void must(long result, const char *what)
{
	if (result >= 0)
		return;
	perror(what);
	exit(1);
}

static void prepare(union bpf_attr *attr, const void *key, const void *value)
{
	memset(attr, 0, sizeof(*attr));
	attr->map_fd = map_fd;
	attr->key = (uintptr_t)key;
	attr->value = (uintptr_t)value;
}

static uint64_t lookup(void)
{
	union bpf_attr attr;
	uint32_t key;
	uint64_t value, sum = 0;

	prepare(&attr, &key, &value);
	for (uint32_t i = 0; i < entries; i++) {
		key = i;
		must(bpf(BPF_MAP_LOOKUP_ELEM, &attr, 32), "lookup");
		sum += value;
	}
	return sum;
}

static uint64_t update(void)
{
	union bpf_attr attr;
	uint32_t key;
	uint64_t value, sum = 0;

	prepare(&attr, &key, &value);
	for (uint32_t i = 0; i < entries; i++) {
		key = i;
		value = i;
		must(bpf(BPF_MAP_UPDATE_ELEM, &attr, 32), "update");
		sum += i;
	}
	return sum;
}

static uint64_t delete(void)
{
	union bpf_attr attr, again;
	uint32_t key;
	uint64_t value, sum = 0;

	prepare(&attr, &key, NULL);
	prepare(&again, &key, &value);
	for (uint32_t i = 0; i < entries; i++) {
		key = i;
		value = i;
		must(bpf(BPF_MAP_DELETE_ELEM, &attr, 16), "delete");
		must(bpf(BPF_MAP_UPDATE_ELEM, &again, 32), "insert");
		sum += i;
	}
	return sum;
}

static uint64_t walk(void)
{
	union bpf_attr attr;
	uint32_t key, next;
	uint64_t sum = 0;

	prepare(&attr, NULL, &next);
	while (bpf(BPF_MAP_GET_NEXT_KEY, &attr, 24) == 0) {
		sum += next;
		key = next;
		attr.key = (uintptr_t)&key;
	}
	if (errno != ENOENT)
		must(-1, "walk");
	return sum;
}

static uint64_t batch(void)
{
	static uint32_t keys[1024];
	static uint64_t values[1024];
	union bpf_attr attr;
	uint64_t in, out, sum = 0;
	long result;

	memset(&attr, 0, sizeof(attr));
	attr.batch.map_fd = map_fd;
	attr.batch.keys = (uintptr_t)keys;
	attr.batch.values = (uintptr_t)values;
	attr.batch.out_batch = (uintptr_t)&out;
	do {
		attr.batch.count = 1024;
		result = bpf(BPF_MAP_LOOKUP_BATCH, &attr, 56);
		if (result < 0 && errno != ENOENT)
			must(result, "batch");
		for (uint32_t i = 0; i < attr.batch.count; i++)
			sum += values[i];
		in = out;
		attr.batch.in_batch = (uintptr_t)&in;
	} while (result == 0);
	return sum;
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint64_t (*run)(void);
	} operations[] = {
		{ "lookup", lookup }, { "update", update }, { "delete", delete }, { "walk", walk }, { "batch", batch },
	};
	char name[16];
	unsigned int passes;

	if (argc != 3)
		return 2;
	map_fd = atoi(argv[1]);
	entries = atoi(argv[2]);
	while (scanf("%15s %u", name, &passes) == 2) {
		for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
			uint64_t sum = 0, start;

			if (strcmp(name, operations[i].name) != 0)
				continue;
			start = now();
			for (unsigned int pass = 0; pass < passes; pass++)
				sum += operations[i].run();
			printf("%llu %llu\n", (unsigned long long)(now() - start), (unsigned long long)sum);
			fflush(stdout);
		}
	}
	return 0;
}
