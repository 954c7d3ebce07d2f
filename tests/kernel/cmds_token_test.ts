import { assertThrows } from "@std/assert";
import { tokenCreate } from "../../cmds/token.ts";
import { PermissionError } from "../../errors.ts";
import { openPath } from "../../ffi/kernel_file.ts";
import { kernelTest } from "../_kernel_test.ts";
import { assertRefused, place, rootToken, trying } from "./_objects.ts";

kernelTest("tokenCreate() is refused in the initial user namespace, and for what is no bpffs", {
  needs: ["bpffs", trying((token) => tokenCreate(token, 9999))],
}, () => {
  const token = rootToken();
  using bpffs = openPath(place("BPFFS"));
  using other = openPath("/proc");
  assertRefused(() => tokenCreate(token, bpffs), "EOPNOTSUPP", /initial user namespace/);
  assertRefused(() => tokenCreate(token, other), "EINVAL", /no file descriptor of the root of a bpffs/);
  assertRefused(() => tokenCreate(token, 9999), "EBADF");
  assertRefused(() => tokenCreate(token, bpffs, { flags: 1 }), "EINVAL");
  Deno.mkdirSync(`${place("BPFFS")}/deep`);
  {
    using deep = openPath(`${place("BPFFS")}/deep`);
    assertRefused(() => tokenCreate(token, deep), "EINVAL", /root of a bpffs/);
  }
  Deno.removeSync(`${place("BPFFS")}/deep`);
  assertThrows(() => tokenCreate(token.drop("CAP_BPF", "CAP_SYS_ADMIN") as typeof token, bpffs), PermissionError);
});
