import { assert, assertEquals, assertGreater, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import { btfLoad } from "../../cmds/btf.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { PermissionError, VerifierError } from "../../errors.ts";
import { commands } from "../../uapi/enums.gen.ts";
import { kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { BtfBytes } from "./_btf_bytes.ts";
import { keyValueBtf } from "./_map_types.ts";
import { assertRefused, interpose, type RootToken, rootToken } from "./_objects.ts";

kernelTest("btfLoad() loads types that bpftool prints", { tools: ["bpftool"] }, async () => {
  const token = rootToken();
  const types = new BtfBytes();
  const int = types.int("int", 4, 1);
  const long = types.int("unsigned long", 8);
  types.struct("pair_of_mine", 16, [{ name: "first", type: int, bit: 0 }, { name: "second", type: long, bit: 64 }]);
  using btf = btfLoad(token, types.bytes());
  const { id } = objGetInfoByFd(token, btf, { kind: "btf" });
  const { stdout } = await run("bpftool", ["btf", "dump", "id", `${id}`, "format", "raw"]);
  assertStringIncludes(stdout, "STRUCT 'pair_of_mine' size=16 vlen=2");
  assertStringIncludes(stdout, "'second' type_id=2 bits_offset=64");
});

kernelTest("btfLoad() throws a VerifierError with the log of what is wrong", {}, () => {
  const token = rootToken();
  const types = new BtfBytes();
  const int = types.int("int", 4, 1);
  types.struct("too_small", 4, [{ name: "past", type: int, bit: 32 }]);
  const error = assertRefused(() => btfLoad(token, types.bytes()), "EINVAL");
  assertInstanceOf(error, VerifierError);
  assertEquals(error.command, "btf_load");
  assertStringIncludes(error.log, "too_small");
  assertStringIncludes(error.log, "Member exceeds struct_size");
  const cut = keyValueBtf().slice(0, 30);
  assertInstanceOf(assertRefused(() => btfLoad(token, cut), "EINVAL"), VerifierError);
  assertRefused(() => btfLoad(token, new Uint8Array(17 << 20)), "E2BIG", /16 MiB/);
  assertThrows(() => btfLoad(token.only({ commands: ["map_create"] }), keyValueBtf()).close(), PermissionError);
  assertThrows(
    () => btfLoad(token.drop("CAP_BPF", "CAP_SYS_ADMIN") as RootToken, cut).close(),
    PermissionError,
    "CAP_BPF",
  );
});

kernelTest("btfLoad() gives the log of what succeeds, however large it is", {}, () => {
  const token = rootToken();
  const types = new BtfBytes();
  for (let index = 0; index < 4000; index++) types.int(`a_rather_long_name_of_a_type_${index}`, 4);
  let log = "";
  using interposed = interpose();
  using _btf = btfLoad(token, types.bytes(), { logLevel: 2, onLog: (text) => void (log = text) });
  assertGreater(log.length, 128 * 1024);
  for (const index of [0, 1999, 3999]) assert(log.includes(`a_rather_long_name_of_a_type_${index} `), `${index}`);
  assertGreater(interposed.calls.filter((command) => command === commands.btf_load).length, 1);
});
