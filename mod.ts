/**
 * Linux eBPF for Deno: the whole bpf(2) system call from TypeScript, every call gated by a permission token that
 * mirrors the kernel's own checks. It needs `--allow-ffi` and nothing else; importing it opens nothing.
 *
 * @example
 * ```ts
 * import { acquire, mapCreate, mapLookupElem, mapUpdateElem } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using map = mapCreate(token, { type: "hash", keySize: 4, valueSize: 8, maxEntries: 16, name: "hits" });
 * const key = new Uint8Array([1, 0, 0, 0]);
 * mapUpdateElem(token, map, { key, value: new Uint8Array(8).fill(7) });
 * console.log(mapLookupElem(token, map, { key }));
 * ```
 *
 * @module
 */

// Permission tokens
export { capabilities, type Capability } from "./tokens/capabilities.ts";
export { type PermissionRequest } from "./tokens/check.ts";
export { type Environment, type Release } from "./tokens/environment.ts";
export { type Restrictions } from "./tokens/restrictions.ts";
export { type Clause, type ClauseName, clauses, type MapFeature, type ProgFeature, rules } from "./tokens/rules.ts";
export {
  type Always,
  type AttachToken,
  type CommandToken,
  type MapToken,
  type Needs,
  type ProgToken,
  type TokenFor,
} from "./tokens/requirements.ts";
export {
  acquire,
  acquireDelegated,
  type AnyToken,
  type AuditedCall,
  type AuditListener,
  type Handle,
  PermissionToken,
  type Verdict,
} from "./tokens/token.ts";
export { BpfToken, type BpfTokenRights } from "./tokens/bpf_token.ts";

// Errors
export { errnoMeaning, errnoName, NotSupportedError, PermissionError, SyscallError, VerifierError } from "./errors.ts";

export {
  parseVerifierLog,
  type VerifierReport,
  type VerifierSource,
  type VerifierState,
  type VerifierStats,
  type VerifierStep,
  verifierSteps,
} from "./verifier_log.ts";

// File descriptors and memory
export { type Bytes } from "./ffi/kernel.ts";
export { Fd, type FdSource } from "./ffi/fd.ts";
export {
  FdChannel,
  FdListener,
  type FdMessage,
  fdOfProcess,
  openPidfd,
  type ReceiveOptions,
} from "./ffi/fd_channel.ts";
export { type DenoSocket, socketCookie, socketFd } from "./ffi/socket.ts";
export { type KernelSymbol, KernelSymbols } from "./ffi/kallsyms.ts";
export { openPath } from "./ffi/kernel_file.ts";

// Commands
export { type MapBtf, mapCreate, type MapCreateOptions, mapFreeze } from "./cmds/map.ts";
export {
  type ElemCommand,
  type ElemOptions,
  type LookupElemOptions,
  mapDeleteElem,
  MapElemCall,
  mapGetNextKey,
  mapLookupAndDeleteElem,
  mapLookupElem,
  mapUpdateElem,
  type UpdateElemOptions,
  type UpdateMode,
} from "./cmds/map_elem.ts";
export {
  type BatchError,
  type BatchOptions,
  type BatchResult,
  type LookupBatchOptions,
  mapDeleteBatch,
  mapLookupAndDeleteBatch,
  mapLookupBatch,
  mapUpdateBatch,
  type UpdateBatchOptions,
} from "./cmds/map_batch.ts";
export {
  progAssocStructOps,
  progBindMap,
  type ProgBtf,
  progLoad,
  type ProgLoadOptions,
  type RecordArray,
} from "./cmds/prog.ts";
export { type LogOptions } from "./cmds/log.ts";
export {
  type Anchor,
  type AttachTarget,
  progAttach,
  type ProgAttachOptions,
  progDetach,
  type ProgDetachOptions,
  progQuery,
  type ProgQueryOptions,
  type ProgQueryResult,
} from "./cmds/prog_attach.ts";
export {
  type ProgStream,
  progStreamRead,
  progTestRun,
  type ProgTestRunOptions,
  type ProgTestRunResult,
} from "./cmds/prog_run.ts";
export {
  type InfoOf,
  type ObjectKind,
  objGet,
  objGetInfoByFd,
  type ObjGetOptions,
  type ObjInfoOptions,
  objPin,
  type PathOptions,
} from "./cmds/obj.ts";
export {
  type BtfInfo,
  type InfoDetail,
  type LinkInfo,
  type LinkInfoBase,
  type MapInfo,
  type PerfEventLinkInfo,
  type ProgInfo,
} from "./cmds/info.ts";
export {
  btfGetFdById,
  btfGetNextId,
  linkGetFdById,
  linkGetNextId,
  mapGetFdById,
  mapGetNextId,
  progGetFdById,
  progGetNextId,
} from "./cmds/id.ts";
export { rawTracepointOpen, type RawTracepointOptions } from "./cmds/raw_tracepoint.ts";
export { taskFdQuery, type TaskFdQueryResult, type TaskFdType } from "./cmds/task.ts";
export { btfLoad, type BtfLoadOptions } from "./cmds/btf.ts";
export {
  type IterLinkInfo,
  type KprobeMulti,
  linkCreate,
  type LinkCreateOptions,
  linkDetach,
  type LinkPlace,
  linkUpdate,
  type LinkUpdateOptions,
  type TracingMulti,
  type UprobeMulti,
} from "./cmds/link.ts";
export { iterCreate } from "./cmds/iter.ts";
export { enableStats, type StatsType } from "./cmds/stats.ts";
export { tokenCreate } from "./cmds/token.ts";

// Maps
export {
  Arena,
  ArrayMap,
  BloomFilter,
  BpfMap,
  type BpfMapOptions,
  type CgroupStorageKey,
  type CpuMapValue,
  type DevMapValue,
  type GetOptions,
  type InsnArrayValue,
  type MapClasses,
  type MapFlag,
  mapFlags,
  MapHandle,
  type MapOf,
  MapOfMaps,
  type MapOperation,
  mapOperations,
  type MapParts,
  max,
  type MemoryView,
  type MemoryViewConstructor,
  type OpenByFd,
  type OpenById,
  type OpenByName,
  type OpenByPath,
  type OpenOptions,
  type OperationsOf,
  perCpu,
  PerCpuMap,
  PerfEventArray,
  type PushOptions,
  QueueMap,
  type SetOptions,
  type StackBuildId,
  stackBuildId,
  stackOf,
  StackTraceMap,
  sum,
  type Summand,
  UserRecord,
  UserRingBuffer,
  type WithDefault,
} from "./maps/mod.ts";

// Programs
export {
  btfOfProgram,
  type DumpOptions,
  type FunctionAt,
  functionsOf,
  type LineAt,
  linesOf,
  type OutputOptions,
  parseTraceLine,
  type ProgFlag,
  progFlags,
  Program,
  type ProgramBtf,
  type ProgramByFd,
  type ProgramById,
  type ProgramByName,
  type ProgramByPath,
  type ProgramByTag,
  type ProgramOptions,
  type ProgramParts,
  type ProgramRuns,
  type ProgramSource,
  programTag,
  type ProgramTarget,
  type RunFlag,
  type RunOptions,
  RunStats,
  type TagHash,
  type TagOptions,
  type TraceLine,
  tracePipe,
  type TracePipeOptions,
  type WholeProgInfo,
  withRunStats,
} from "./progs/mod.ts";

// What the kernel supports
export {
  type Feature,
  features,
  hasAttachType,
  hasFeature,
  hasHelper,
  hasMapType,
  hasProgType,
  helpersFor,
  type JitSettings,
  jitSettings,
  kernelBtf,
} from "./features/mod.ts";

// Event buffers
export {
  type EventsOptions,
  type EventSource,
  EventStream,
  mergeEvents,
  type NamedEvent,
  NOTHING,
  PerfBuffer,
  type PerfBufferOptions,
  type PerfEvent,
  type RecordSource,
  RecordView,
  RingBuffer,
  RingBufferMap,
  type RingPositions,
} from "./maps/mod.ts";

// Links: attaching programs
export {
  attachCgroup,
  type AttachCgroupOptions,
  type Attached,
  attached,
  type AttachedBase,
  type AttachedByLink,
  type AttachedByProcess,
  type AttachedToCgroup,
  type AttachedToInterface,
  type AttachedToNetns,
  type AttachedWhere,
  attachFreplace,
  type AttachFreplaceOptions,
  attachIter,
  type AttachIterOptions,
  attachKprobe,
  attachKprobeMulti,
  type AttachKprobeMultiOptions,
  type AttachKprobeOptions,
  attachKsyscall,
  attachLwt,
  type AttachLwtOptions,
  Attachment,
  AttachmentGroup,
  attachNetfilter,
  type AttachNetfilterOptions,
  attachNetkit,
  type AttachNetkitOptions,
  attachNetns,
  type AttachNetnsOptions,
  attachPerfEvent,
  attachPerfSampling,
  type AttachPerfSamplingOptions,
  attachRawTracepoint,
  attachSeg6Local,
  attachSocket,
  type AttachSocketOptions,
  attachSockmap,
  type AttachSockmapOptions,
  attachStructOps,
  attachTc,
  type AttachTcOptions,
  attachTcx,
  type AttachTcxOptions,
  attachTracepoint,
  type AttachTracepointOptions,
  attachTracing,
  attachTracingMulti,
  type AttachTracingMultiOptions,
  type AttachTracingOptions,
  attachUnlinked,
  type AttachUnlinkedOptions,
  attachUprobe,
  attachUprobeMulti,
  type AttachUprobeMultiOptions,
  type AttachUprobeOptions,
  attachUsdt,
  type AttachUsdtOptions,
  attachXdp,
  attachXdpByNetlink,
  type AttachXdpByNetlinkOptions,
  type AttachXdpOptions,
  type CgroupAttachType,
  type CgroupIterOrder,
  type CookieOptions,
  IterLink,
  Link,
  type LinkSource,
  type ListAnchor,
  type ListPlace,
  type LwtPrograms,
  type NetfilterFamily,
  type NetfilterHook,
  parseUsdtArguments,
  type PerfCounter,
  type PerfEventOptions,
  type ProbeMode,
  type ProbeOptions,
  queryTc,
  queryXdp,
  type RouteOptions,
  type SockmapAttachType,
  type TcFilter,
  type TracingAttachType,
  UnlinkedAttachment,
  type UnlinkedTarget,
  type UsdtArgument,
  type UsdtArgumentBase,
  type UsdtMachine,
  type UsdtMaps,
  type UsdtProbe,
  usdtProbes,
  type XdpMode,
  type XdpState,
} from "./links/mod.ts";

// Codecs: C types as JavaScript values
export {
  array,
  BitfieldCodec,
  type BitfieldMember,
  type BitfieldOptions,
  bits,
  bool,
  bytes,
  Codec,
  cstr,
  decode,
  encode,
  enumOf,
  f32,
  f64,
  type FieldValue,
  i128,
  i128be,
  i128le,
  i16,
  i16be,
  i16le,
  i32,
  i32be,
  i32le,
  i64,
  i64be,
  i64le,
  i8,
  IntegerCodec,
  ipv4,
  ipv4Prefix,
  ipv6,
  ipv6Prefix,
  mac,
  offsetOf,
  pad,
  Padding,
  port,
  struct,
  structAt,
  type StructFields,
  type StructLayout,
  type StructMember,
  type StructOptions,
  type StructValue,
  u128,
  u128be,
  u128le,
  u16,
  u16be,
  u16le,
  u32,
  u32be,
  u32le,
  u64,
  u64be,
  u64le,
  u8,
  union,
  type UnionMembers,
  type UnionValue,
  type ValueOf,
} from "./codec.ts";

// The kernel's type information
export {
  Btf,
  type BtfArray,
  BtfBuilder,
  type BtfBuilderOptions,
  type BtfComposite,
  type BtfCoreRelo,
  type BtfDatasec,
  type BtfDeclTag,
  type BtfEnum,
  type BtfEnum64,
  type BtfEnumValue,
  type BtfExt,
  type BtfExtSection,
  type BtfFloat,
  type BtfFunc,
  type BtfFuncInfo,
  type BtfFuncProto,
  type BtfFwd,
  type BtfInt,
  type BtfIntEncoding,
  type BtfKind,
  btfKindNumber,
  btfKinds,
  type BtfLineInfo,
  type BtfLinkage,
  type BtfMember,
  type BtfMemberInit,
  type BtfModifier,
  type BtfParam,
  type BtfParseOptions,
  type BtfSecVar,
  type BtfType,
  BtfTypeBuilder,
  type BtfTypedef,
  type BtfTypeOf,
  type BtfTypeTag,
  type BtfVar,
  type BtfVoid,
  codecFrom,
  type CoreReloKind,
  coreReloKinds,
  encodeBtfExt,
  formatValue,
  type FormatValueOptions,
  parseBtfExt,
  printC,
  printTypeScript,
  type PrintTypeScriptOptions,
} from "./btf/mod.ts";

// Instructions; the rest of the assembler is in @bpf/deno/asm
export { asm, type AsmValue } from "./asm/mod.ts";

// Numbers and names of the kernel's API
export {
  type AttachType,
  attachTypes,
  type CommandName,
  commands,
  type HelperName,
  helpers,
  type LinkType,
  linkTypes,
  type MapType,
  mapTypes,
  type ProgType,
  progTypes,
} from "./uapi/enums.gen.ts";
