/**
 * Maps: every type as a typed collection, and event buffers as async iterables.
 *
 * @module
 */

// Fills the table of map types, which BpfMap.create() and BpfMap.open() look up.
import "./families.ts";

export { adoptMap, type KnownCodecs } from "./adopt.ts";
export { Arena } from "./arena.ts";
export { ArrayMap, type MemoryView, type MemoryViewConstructor } from "./array.ts";
export { BloomFilter } from "./bloom_filter.ts";
export { BpfMap, type GetOptions, type SetOptions } from "./bpf_map.ts";
export { MapHandle, type MapParts } from "./map_handle.ts";
export {
  type EventsOptions,
  type EventSource,
  EventStream,
  mergeEvents,
  type NamedEvent,
  NOTHING,
} from "./event_stream.ts";
export { type MapClasses, type MapOf, type WithDefault } from "./families.ts";
export { type CgroupStorageKey, type CpuMapValue, type DevMapValue, type InsnArrayValue } from "./fd_codecs.ts";
export { type BpfMapOptions, type MapFlag, mapFlags } from "./map_options.ts";
export { type OpenByFd, type OpenById, type OpenByName, type OpenByPath, type OpenOptions } from "./open_options.ts";
export { MapOfMaps } from "./map_of_maps.ts";
export { type MapOperation, mapOperations, type OperationsOf } from "./operations.ts";
export { max, perCpu, PerCpuMap, sum, type Summand } from "./per_cpu.ts";
export { PerfBuffer, type PerfBufferOptions, type PerfEvent, PerfEventArray } from "./perf_buffer.ts";
export { type PushOptions, QueueMap } from "./queue.ts";
export { type RecordSource, RecordView } from "./record_view.ts";
export { RingBuffer, type RingPositions } from "./ring_buffer.ts";
export { RingBufferMap } from "./ring_buffer_map.ts";
export { type StackBuildId, stackBuildId, stackOf, StackTraceMap } from "./stack_trace.ts";
export { UserRecord, UserRingBuffer } from "./user_ring_buffer.ts";
