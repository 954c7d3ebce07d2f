import { assert, assertEquals } from "@std/assert";
import { tokenCreate } from "../../cmds/token.ts";
import { attachTypes, commands, mapTypes, progTypes } from "../../uapi/enums.gen.ts";
import { kernelSince, kernelTest, type KernelTestOptions } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { runDelegated } from "./_delegate.ts";
import { trying } from "./_objects.ts";

const OPTIONS: KernelTestOptions = { needs: ["btf", trying((token) => tokenCreate(token, 9999))], tools: ["unshare"] };

/** Whether this machine lets root make a user namespace. */
const namespaces = (await run("unshare", ["--user", "--map-root-user", "true"])).code === 0;

const WITH_NAMESPACES: KernelTestOptions = {
  ...OPTIONS,
  needs: [...OPTIONS.needs ?? [], () => namespaces ? undefined : "user namespaces"],
};

const DELEGATION = {
  delegate_cmds: "map_create:prog_load:btf_load:btf_get_fd_by_id",
  delegate_maps: "lru_hash:hash",
  delegate_progs: "xdp",
  delegate_attachs: "xdp",
};

kernelTest(
  "tokenCreate() makes a token with the rights that the bpffs delegates, and no more",
  WITH_NAMESPACES,
  async () => {
    const { rights, ...steps } = await runDelegated(DELEGATION);
    assertEquals(rights, {
      commands: ["btf_get_fd_by_id", "btf_load", "map_create", "prog_load"],
      mapTypes: ["hash", "lru_hash"],
      progTypes: ["xdp"],
      attachTypes: ["xdp"],
    });
    assertEquals(steps.initialUserNamespace, false);
    // Capabilities in a user namespace do not count.
    assertEquals(steps.acquire, "PermissionError: undefined");
    assertEquals(steps.bareWithout, -1, "the kernel refuses a map of type lru_hash without the token");
    assertEquals(steps.without, "PermissionError: EPERM");
    assertEquals(steps.badFlags, "SyscallError: EINVAL");
    assertEquals(steps.tokenCreate, "done");
    assertEquals(steps.bareWith, 0, "the kernel creates it with the token");
    assertEquals(steps.bareOther, -1, "the kernel refuses a type that is not delegated");
    assertEquals(steps.map, "2,0,0,0,0,0,0,0");
    assertEquals(steps.otherMap, "PermissionError: EPERM");
    assertEquals(steps.prog, 7);
    assertEquals(steps.otherProg, "PermissionError: EPERM");
    assertEquals(steps.otherAttachType, "PermissionError: EPERM");
    assertEquals(steps.btf, "done");
    const since617 = kernelSince("6.17")() === undefined;
    assertEquals(steps.btfById, since617 ? "same" : "PermissionError: EPERM");
    assert((steps.calls as unknown[]).length > 5);
  },
);

kernelTest("tokenCreate() makes a token of everything, where the bpffs delegates that", WITH_NAMESPACES, async () => {
  const any = { delegate_cmds: "any", delegate_maps: "any", delegate_progs: "any", delegate_attachs: "any" };
  const { rights, ...steps } = await runDelegated(any);
  assertEquals(rights, {
    commands: Object.keys(commands).sort(),
    mapTypes: Object.keys(mapTypes).sort(),
    progTypes: Object.keys(progTypes).sort(),
    attachTypes: Object.keys(attachTypes).sort(),
  });
  assertEquals([steps.map, steps.otherProg], ["2,0,0,0,0,0,0,0", "done"]);
});

kernelTest("tokenCreate() is refused where the bpffs delegates nothing", WITH_NAMESPACES, async () => {
  const steps = await runDelegated({});
  assertEquals(steps.tokenCreate, "SyscallError: ENOENT");
  assertEquals(steps.rights, undefined);
});
