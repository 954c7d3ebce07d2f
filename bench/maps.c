/*
 * The baseline of maps.ts, on libbpf: the same work on the same maps.
 *
 * Usage: maps HASH_FD ARRAY_FD ENTRIES ELEMENTS. Reads "OPERATION PASSES" lines, answers each with
 * "NANOSECONDS CHECKSUM".
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 4096

static int hash_fd, array_fd;
static uint32_t entries, elements;

static void must(int result, const char *what)
{
	if (result >= 0)
		return;
	perror(what);
	exit(1);
}

static uint64_t get(void)
{
	uint64_t value, sum = 0;

	for (uint32_t key = 0; key < entries; key++) {
		must(bpf_map_lookup_elem(hash_fd, &key, &value), "lookup");
		sum += value;
	}
	return sum;
}

static uint64_t set(void)
{
	uint64_t sum = 0;

	for (uint32_t key = 0; key < entries; key++) {
		uint64_t value = key;

		must(bpf_map_update_elem(hash_fd, &key, &value, BPF_ANY), "update");
		sum += key;
	}
	return sum;
}

static uint64_t batch(void)
{
	static uint32_t keys[BATCH];
	static uint64_t values[BATCH];
	uint64_t in, out, sum = 0;
	void *from = NULL;
	int result;

	do {
		uint32_t count = BATCH;

		result = bpf_map_lookup_batch(hash_fd, from, &out, keys, values, &count, NULL);
		if (result < 0 && errno != ENOENT)
			must(result, "batch");
		for (uint32_t i = 0; i < count; i++)
			sum += values[i];
		in = out;
		from = &in;
	} while (result == 0);
	return sum;
}

static uint64_t walk(void)
{
	uint32_t key, *before = NULL, next;
	uint64_t value, sum = 0;

	while (bpf_map_get_next_key(hash_fd, before, &next) == 0) {
		must(bpf_map_lookup_elem(hash_fd, &next, &value), "lookup");
		sum += value;
		key = next;
		before = &key;
	}
	if (errno != ENOENT)
		must(-1, "walk");
	return sum;
}

static uint64_t array(void)
{
	uint64_t value, sum = 0;

	for (uint32_t key = 0; key < elements; key++) {
		must(bpf_map_lookup_elem(array_fd, &key, &value), "lookup");
		sum += value;
	}
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
		{ "get", get }, { "set", set }, { "batch", batch }, { "walk", walk }, { "array", array },
	};
	char name[16];
	unsigned int passes;

	if (argc != 5)
		return 2;
	hash_fd = atoi(argv[1]);
	array_fd = atoi(argv[2]);
	entries = atoi(argv[3]);
	elements = atoi(argv[4]);
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
