/** Names in C: those that are taken, those that C has already, and what makes others out of them. */

/** Words that cannot be names: keywords of C up to C17, of GNU C and of clang, and what clang has built in. */
const RESERVED: ReadonlySet<string> = new Set(
  ("auto break case char const continue default do double else enum extern float for goto if inline int long register " +
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while _Alignas " +
    "_Alignof _Atomic _BitInt _Bool _Complex _Float16 _Generic _Imaginary _Noreturn _Static_assert _Thread_local " +
    "asm typeof __alignof __alignof__ __asm __asm__ __attribute __attribute__ __auto_type __builtin_bit_cast " +
    "__builtin_choose_expr __builtin_offsetof __builtin_types_compatible_p __builtin_va_arg __builtin_va_list " +
    "__builtin_ms_va_list __complex __complex__ __const __const__ __extension__ __float128 __fp16 __func__ __imag " +
    "__imag__ __inline __inline__ __int128 __int128_t __uint128_t __label__ __NSConstantString __real __real__ " +
    "__restrict __restrict__ __signed __signed__ __thread __typeof __typeof__ __volatile __volatile__ __bf16 " +
    "__FUNCTION__ __PRETTY_FUNCTION__ __bpf__ __BPF__").split(" "),
);

/** The integers and floating-point numbers that C has by name, with their bytes for the bpf target. */
const BUILT_IN: Readonly<Record<string, number>> = {
  "_Bool": 1,
  "char": 1,
  "signed char": 1,
  "unsigned char": 1,
  "short": 2,
  "short int": 2,
  "short unsigned int": 2,
  "unsigned short": 2,
  "int": 4,
  "unsigned int": 4,
  "long": 8,
  "long int": 8,
  "long unsigned int": 8,
  "unsigned long": 8,
  "long long": 8,
  "long long int": 8,
  "long long unsigned int": 8,
  "unsigned long long": 8,
  "__int128": 16,
  "__int128 unsigned": 16,
  "unsigned __int128": 16,
  "float": 4,
  "double": 8,
};

/** Integers by their bytes. */
const INTEGERS: Readonly<Record<number, string>> = { 1: "char", 2: "short", 4: "int", 8: "long", 16: "__int128" };

/** Whether C has a number of a name and size. */
export function isBuiltIn(name: string, size: number): boolean {
  return Object.hasOwn(BUILT_IN, name) && BUILT_IN[name] === size;
}

/** The integer of some bytes. */
export function integer(size: number, signed: boolean): string {
  if (signed && size === 1) return "signed char";
  return signed ? INTEGERS[size] : `unsigned ${INTEGERS[size]}`;
}

/** A name that C takes: what it does not take becomes `_`. */
export function identifier(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return RESERVED.has(name) ? `${name}_` : name;
  return `_${name.replaceAll(/[^A-Za-z0-9_]/g, "_")}`;
}

/** Names that have been given in one of C's name spaces. */
export class NameSpace {
  /** How often each name was asked for. */
  readonly #asked = new Map<string, number>();
  readonly #given = new Set<string>();

  /** Gives a name, with `___2` and so on at its end where it has been given already. */
  give(wanted: string): string {
    const name = identifier(wanted);
    let count = this.#asked.get(name) ?? 0;
    let given: string;
    do given = ++count === 1 ? name : `${name}___${count}`; while (this.#given.has(given));
    this.#asked.set(name, count);
    this.#given.add(given);
    return given;
  }
}
