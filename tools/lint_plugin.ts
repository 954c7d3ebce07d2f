/**
 * The project's own lint rules: which folder may import from which, and where and how unsafe code stands.
 *
 * @module
 */

/** The folders whose files are each other's base: they import nothing outside it, and everyone may import them. */
const BASE: readonly string[] = ["uapi", "errors.ts", "verifier_log.ts", "codec", "codec.ts"];

/** What each floor may import besides the base and itself, from the bottom up. */
const FLOORS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  asm: [],
  elf: [],
  btf: ["asm"],
  ffi: [],
  tokens: ["ffi"],
  cmds: ["tokens", "ffi"],
  features: ["cmds", "tokens", "ffi", "btf", "asm"],
  maps: ["features", "cmds", "tokens", "ffi", "btf"],
  progs: ["features", "cmds", "tokens", "ffi", "btf", "asm"],
  links: ["progs", "maps", "features", "cmds", "tokens", "ffi", "btf", "elf", "asm"],
  object: ["links", "progs", "maps", "features", "cmds", "tokens", "ffi", "btf", "elf", "asm"],
  "mod.ts": ["object", "links", "progs", "maps", "features", "cmds", "tokens", "ffi", "btf", "elf", "asm"],
  cli: ["mod.ts", "object", "links", "progs", "maps", "features", "cmds", "tokens", "ffi", "btf", "elf", "asm"],
};

/** Folders beside the library: they import what they like. */
const FREE: readonly string[] = ["tests", "bench", "tools", "examples", "docs"];

/** The only floor that may import packages: it is a leaf, which no library user imports. */
const LEAF = "cli";

const ROOT = decodeURIComponent(new URL("..", import.meta.url).pathname);

/** A file's path inside the project, with `/` between its parts. */
function projectPath(filename: string): string {
  const path = filename.startsWith("file://") ? decodeURIComponent(new URL(filename).pathname) : filename;
  return path.startsWith(ROOT) ? path.slice(ROOT.length) : path.replace(/^\.?\//, "");
}

/** The floor of a file: its folder at the root, its name where it lies at the root, or `base`. */
function floorOf(path: string): string {
  const first = path.split("/")[0];
  return BASE.includes(first) ? "base" : first;
}

function isFree(path: string): boolean {
  return FREE.includes(floorOf(path));
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

/** What is wrong with an import, and what to do instead; undefined where it is right. */
function refusal(from: string, specifier: string): { message: string; hint: string } | undefined {
  const floor = floorOf(from);
  if (!specifier.startsWith(".")) {
    if (floor === LEAF || specifier.startsWith("node:")) return undefined;
    return {
      message: `The library depends on nothing but Deno: ${floor} may not import "${specifier}"`,
      hint: "Write what is needed here, or do it in cli/, tests/ or tools/",
    };
  }
  const target = new URL(specifier, `file:///${from}`).pathname.slice(1);
  const name = target.slice(target.lastIndexOf("/") + 1);
  if (name.startsWith("_") && folderOf(target) !== folderOf(from)) {
    return {
      message: `${target} is private to ${folderOf(target) || "its folder"}`,
      hint: "Import what the folder makes public, or give the file a name without the underscore",
    };
  }
  const to = floorOf(target);
  if (to === floor || (to === "base" && floor !== "base")) return undefined;
  const allowed = FLOORS[floor];
  if (allowed === undefined) {
    return { message: `"${floor}" is not a floor of this project`, hint: "Add it to FLOORS in tools/lint_plugin.ts" };
  }
  if (allowed.includes(to)) return undefined;
  const may = floor === "base" ? "nothing outside the base" : ["base", ...allowed].join(", ");
  return {
    message: `${floor} may not import from ${to} ("${specifier}")`,
    hint: `${floor} may import ${may}: pass it in as an argument, or move the code to a floor that may`,
  };
}

const floors: Deno.lint.Rule = {
  create(context): Deno.lint.LintVisitor {
    const from = projectPath(context.filename);
    if (isFree(from)) return {};
    const check = (node: Deno.lint.Node, source: unknown): void => {
      if (typeof source !== "string") return;
      const wrong = refusal(from, source);
      if (wrong !== undefined) context.report({ node, ...wrong });
    };
    return {
      ImportDeclaration: (node) => check(node.source, node.source.value),
      ExportAllDeclaration: (node) => check(node.source, node.source.value),
      ExportNamedDeclaration: (node) => {
        if (node.source) check(node.source, node.source.value);
      },
      ImportExpression: (node) => {
        if (node.source.type === "Literal") check(node.source, node.source.value);
      },
      TSImportType: (node) => {
        if (node.argument.type === "TSLiteralType" && node.argument.literal.type === "Literal") {
          check(node.argument, node.argument.literal.value);
        }
      },
    };
  },
};

/** The name of what an expression takes from Deno's unsafe API, as `Deno.dlopen`; undefined where it takes none. */
function unsafeName(node: Deno.lint.MemberExpression): string | undefined {
  if (node.object.type !== "Identifier" || node.object.name !== "Deno") return undefined;
  const { property } = node;
  let name: string | undefined;
  if (!node.computed && property.type === "Identifier") name = property.name;
  else if (property.type === "Literal") name = String(property.value);
  return name !== undefined && (name === "dlopen" || name.startsWith("Unsafe")) ? `Deno.${name}` : undefined;
}

/** The names that a destructuring of `Deno` takes from its unsafe API. */
function destructuredUnsafe(node: Deno.lint.VariableDeclarator): string[] {
  if (node.init?.type !== "Identifier" || node.init.name !== "Deno" || node.id.type !== "ObjectPattern") return [];
  return node.id.properties.flatMap((property) => {
    if (property.type !== "Property" || property.key.type !== "Identifier") return [];
    const { name } = property.key;
    return name === "dlopen" || name.startsWith("Unsafe") ? [`Deno.${name}`] : [];
  });
}

const unsafeInFfi: Deno.lint.Rule = {
  create(context): Deno.lint.LintVisitor {
    const path = projectPath(context.filename);
    if (isFree(path) || floorOf(path) === "ffi") return {};
    const report = (node: Deno.lint.Node, name: string): void =>
      context.report({
        node,
        message: `${name} stands outside ffi/, the only unsafe folder`,
        hint:
          "Use what ffi/ offers: kernel() for system calls, allocate() and attr.pointer() for memory, Mapping for " +
          "mapped memory; what is missing there is added there",
      });
    return {
      MemberExpression: (node) => {
        const name = unsafeName(node);
        if (name !== undefined) report(node, name);
      },
      VariableDeclarator: (node) => {
        for (const name of destructuredUnsafe(node)) report(node, name);
      },
    };
  },
};

/** Whether a node is the unit that a SAFETY comment speaks for. */
function isStatement(node: Deno.lint.Node): boolean {
  return /(?:Statement|Declaration)$|^PropertyDefinition$/.test(node.type);
}

const safetyComment: Deno.lint.Rule = {
  create(context): Deno.lint.LintVisitor {
    const path = projectPath(context.filename);
    if (floorOf(path) !== "ffi") return {};
    const lines = context.sourceCode.text.split("\n");
    const lineOf = (offset: number): number => context.sourceCode.text.slice(0, offset).split("\n").length - 1;
    /** Whether the comment that ends on a line says SAFETY: in any of its lines. */
    const saysSafety = (line: number): boolean => {
      for (let i = line; i >= 0 && /^\s*(?:\/\/|\/?\*)/.test(lines[i]); i--) {
        if (/^\s*(?:\/\/|\/?\*+)\s*SAFETY: \S/.test(lines[i])) return true;
      }
      return false;
    };
    return {
      MemberExpression: (node) => {
        const name = unsafeName(node);
        if (name === undefined) return;
        let statement: Deno.lint.Node = node;
        for (const ancestor of context.sourceCode.getAncestors(node).reverse()) {
          statement = ancestor;
          if (isStatement(ancestor)) break;
        }
        const first = lineOf(statement.range[0]);
        const last = lineOf(node.range[1]);
        const onIt = lines.slice(first, last + 1).some((line) => /\/\/ SAFETY: \S/.test(line));
        if (onIt || saysSafety(first - 1)) return;
        context.report({
          node,
          message: `${name} has no SAFETY comment`,
          hint: "Write `// SAFETY: why this is sound` directly above the statement",
        });
      },
    };
  },
};

const plugin: Deno.lint.Plugin = {
  name: "bpf",
  rules: { "floors": floors, "unsafe-in-ffi": unsafeInFfi, "safety-comment": safetyComment },
};

export default plugin;
